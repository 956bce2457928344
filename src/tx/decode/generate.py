"""Text generation with any language model, token by token.

On a CPU the models of `tx.decode.numpy_lm` run without torch; other models, and all models on a GPU, run in torch.
Both sample the same tokens. A text begins after a newline, `</s>`, and `<unk>` is never sampled.

Shape letters: V vocabulary.
"""

from collections.abc import Iterator, Sequence
from copy import copy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import numpy as np

from tx.decode.numpy_lm import NUMPY_MODELS, Array, IncrementalLM, load_numpy_model
from tx.decode.sampling import Sampling, draw
from tx.errors import TxError, UsageError
from tx.package import Package, load_package
from tx.text.incremental import IncrementalDecoder, encode_text, last_line
from tx.text.load_tokenizer import open_tokenizer
from tx.text.tokenizer import Tokenizer


@dataclass
class GenerationOptions:
    """How to generate: at most `length` tokens, ending before the first of the strings `stops`.

    `repetition_penalty` is CTRL's (Keskar et al. 2019): the logits of tokens that occur in the text, prompt included,
    are divided by it if positive and multiplied by it if negative. A value above 1 makes repetitions rarer.
    """

    length: int = 300
    sampling: Sampling = field(default_factory=Sampling)
    repetition_penalty: float = 1.0
    stops: Sequence[str] = ()

    def __post_init__(self) -> None:
        if self.length < 1 or not self.repetition_penalty > 0:
            raise UsageError(
                f"the length is {self.length} and the repetition penalty {self.repetition_penalty}",
                "the length is at least 1, and the penalty more than 0",
            )


class Context:
    """The context of a text of any length: the model's state after the tokens so far.

    The state of a recurrent model covers the whole text. When another model's context window of
    `max_len` tokens is full, the last `max_len // 2` are read again as one block: each token follows at least those.
    """

    def __init__(self, empty: IncrementalLM, max_len: int | None) -> None:
        self._empty, self._max_len = empty, max_len
        self._reader = empty.copy()
        self._ids: list[int] = []  # in the context window

    def feed(self, ids: Sequence[int]) -> Array:
        """Read `ids`, at least one; the logits of the next token, `[V - 1]`."""
        if self._max_len is not None:
            self._ids += ids
            over = len(self._ids) - self._max_len
            if over > 0:
                hop = self._max_len - self._max_len // 2
                del self._ids[: -(-over // hop) * hop]
                self._reader, ids = self._empty.copy(), self._ids
        return self._reader.feed(ids)

    @property
    def activations(self) -> list[Array]:
        """The activations of the hidden units of each layer for the last token."""
        return self._reader.activations

    def copy(self) -> Self:
        """An independent copy."""
        other = copy(self)
        other._ids, other._reader = list(self._ids), self._reader.copy()
        return other


class LanguageModel:
    """A model that has read nothing yet, with its tokenizer."""

    def __init__(self, empty: IncrementalLM, tokenizer: Tokenizer, max_len: int | None = None) -> None:
        self.empty, self.tokenizer, self.max_len = empty, tokenizer, max_len

    def begin(self, ids: Sequence[int]) -> tuple[Context, Array]:
        """Read `ids` as the beginning of a text; its context, and the logits of the next token."""
        text = Context(self.empty, self.max_len)
        return text, text.feed([self.tokenizer.eos_id, *ids])

    def unknown(self, prompt: str) -> str:
        """The characters of `prompt` that the tokenizer encodes as `<unk>`."""
        unk, encode = self.tokenizer.unk_id, self.tokenizer.encode
        return "".join(sorted(c for c in set(prompt) - {"\n"} if unk in encode(c)))

    def generate(
        self, prompt: str, options: GenerationOptions, line: int = 0, n: int = 1
    ) -> Iterator[Iterator[str]]:
        """Generate `n` continuations of `prompt`, each as an iterator over pieces of text.

        The tokens depend only on the seed, `line` (the number of the prompt) and the number of the sample.
        """
        ids = encode_text(prompt, self.tokenizer)
        text, logits = self.begin(ids)
        for sample in range(n):
            source = options.sampling.generator(line, sample)
            yield until_stop(self._pieces(text.copy(), logits, ids, options, source), options.stops)

    def _pieces(
        self,
        text: Context,
        logits: Array,
        ids: list[int],
        options: GenerationOptions,
        source: np.random.Generator,
    ) -> Iterator[str]:
        decoder = IncrementalDecoder(self.tokenizer, last_line(ids, self.tokenizer))
        penalty, seen = options.repetition_penalty, np.zeros(len(logits), bool)
        seen[ids] = True
        for _ in range(options.length):
            scores = logits.copy()
            scores[self.tokenizer.unk_id] = -np.inf
            if penalty != 1:
                scores[seen] *= np.where(scores[seen] > 0, 1 / penalty, penalty)
            id = int(draw(scores[None], options.sampling, [source])[0])
            seen[id] = True
            yield decoder.decode(id)
            logits = text.feed([id])
        yield decoder.flush()


def until_stop(pieces: Iterator[str], stops: Sequence[str]) -> Iterator[str]:
    """The text of `pieces` up to where the first of `stops` begins, wherever the pieces are cut.

    Text that may be the beginning of a stop is held back until the next pieces decide.
    """
    held = ""
    for piece in pieces:
        held += piece
        end = next(
            (n for n in range(len(held)) if any(_may_begin(stop, held, n) for stop in stops)), len(held)
        )
        yield held[:end]
        held = held[end:]
        if any(held.startswith(stop) for stop in stops):
            return
    yield held[: min((n for stop in stops if (n := held.find(stop)) >= 0), default=len(held))]


def _may_begin(stop: str, text: str, at: int) -> bool:
    """Whether `stop` begins at a place of `text`, or would if the text continued."""
    rest = text[at : at + len(stop)]
    return stop.startswith(rest)


class TorchLM:
    """A language model of `tx.models` as an `IncrementalLM`."""

    def __init__(self, model: Any) -> None:
        self._model, self._state = model, model.start(1)
        self._device = next(model.parameters()).device
        self.activations: list[Array] = []  # not available

    def feed(self, ids: Sequence[int]) -> Array:
        import torch

        with torch.inference_mode():
            logits, self._state = self._model.feed(torch.tensor([ids], device=self._device), self._state)
            return logits[0].float().cpu().numpy()  # type: ignore[no-any-return]

    def copy(self) -> Self:
        import torch

        other = copy(self)
        other._state = copy(self._state)
        with torch.inference_mode():
            other._state.reorder(
                torch.arange(1, device=self._device), 1
            )  # copies the tensors that `feed` writes to
        return other


def open_language_model(path: Path, device: str = "cpu") -> LanguageModel:
    """The language model of the package at `path` on `device`, a name that torch knows.

    Raises TxError if there is no such package, or if it is damaged.
    """

    def build(package: Package) -> LanguageModel:
        tokenizer = open_tokenizer(package)
        if package.config.get("vocab_size") != len(tokenizer):
            raise TxError(
                f"{path}: its tokenizer has {len(tokenizer):,} pieces, but its model has another vocabulary",
                "the files come from different models; copy, download or train the package again",
            )
        max_len = package.config.get("max_len")
        if device == "cpu" and package.arch in NUMPY_MODELS:
            return LanguageModel(load_numpy_model(package), tokenizer, max_len)
        from tx.models import load_model
        from tx.nn.device import choose_device

        return LanguageModel(TorchLM(load_model(package, choose_device(device))), tokenizer, max_len)

    return load_package(path, build, "language-model")
