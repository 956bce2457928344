"""tx: train sequence models from text or audio, and use them in Python and in a shell pipeline.

    translator = tx.load("de-en")
    translator.translate("Ein Hund läuft.")

The names below are the public API; they are imported on use, so that `import tx` costs nothing.
"""

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from tx.api import (
        Entity,
        Hypothesis,
        LanguageModel,
        Recognizer,
        Tagger,
        Translator,
        evaluate,
        load,
        score,
        train,
    )
    from tx.errors import TxError
    from tx.vectors import WordVectors

__all__ = [
    "Entity",
    "Hypothesis",
    "LanguageModel",
    "Recognizer",
    "Tagger",
    "Translator",
    "TxError",
    "WordVectors",
    "__version__",
    "evaluate",
    "load",
    "score",
    "train",
]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'tx' has no attribute '{name}'")
    from importlib import import_module

    return getattr(
        import_module({"TxError": "tx.errors", "WordVectors": "tx.vectors"}.get(name, "tx.api")), name
    )


def __dir__() -> list[str]:
    return __all__
