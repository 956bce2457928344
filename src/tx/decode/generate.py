"""Going on with a text, token by token, with any language model.

On the CPU the models of `tx.decode.numpy_lm` are read without torch; other models, and every model on a GPU, by
torch. Both draw the same tokens. A text begins behind a newline, `</s>`, and `<unk>` is never drawn.
"""

from collections.abc import Iterator, Sequence
from copy import copy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import numpy as np

from tx.decode.numpy_lm import NUMPY_MODELS, Array, IncrementalLM, load_numpy_model
from tx.decode.sampling import Sampling, draw
from tx.errors import TxError
from tx.package import Package, load_package
from tx.text.incremental import IncrementalDecoder, encode_text, last_line
from tx.text.load_tokenizer import open_tokenizer
from tx.text.tokenizer import Tokenizer


@dataclass
class GenerationOptions:
    """How to go on with a text: for `length` tokens at most, or up to the first of `stops`.

    `repetition_penalty` is CTRL's (Keskar et al. 2019): the scores of tokens that the text has, prompt included, are
    divided by it where positive and multiplied where negative, so that more than 1 makes these rarer.
    """

    length: int = 300
    sampling: Sampling = field(default_factory=Sampling)
    repetition_penalty: float = 1.0
    stops: Sequence[str] = ()


class Context:
    """What a model has read of one text, of any length.

    A recurrent model remembers all of it. A model with a context of `max_len` tokens that is full begins again
    with the last `max_len // 2` of them, read as one block: each token follows at least that many.
    """

    def __init__(self, empty: IncrementalLM, max_len: int | None) -> None:
        self._empty, self._max_len = empty, max_len
        self._reader = empty.copy()
        self._ids: list[int] = []  # in the context

    def feed(self, ids: Sequence[int]) -> Array:
        """Go on with `ids`, one at least; the logits of what follows, `[V - 1]`."""
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
        """What the hidden units of each layer say of the last token."""
        return self._reader.activations

    def copy(self) -> Self:
        """The same text once more, to be gone on with in another way."""
        twin = copy(self)
        twin._ids, twin._reader = list(self._ids), self._reader.copy()
        return twin


class LanguageModel:
    """A reader of nothing yet, and its tokenizer."""

    def __init__(self, empty: IncrementalLM, tokenizer: Tokenizer, max_len: int | None = None) -> None:
        self.empty, self.tokenizer, self.max_len = empty, tokenizer, max_len

    def begin(self, ids: Sequence[int]) -> tuple[Context, Array]:
        """Read `ids` from the beginning of a text; the text so far, and the logits of what follows."""
        text = Context(self.empty, self.max_len)
        return text, text.feed([self.tokenizer.eos_id, *ids])

    def unknown(self, prompt: str) -> str:
        """The characters of `prompt` that the model has never seen, which read as `<unk>`."""
        unk, encode = self.tokenizer.unk_id, self.tokenizer.encode
        return "".join(sorted(c for c in set(prompt) - {"\n"} if unk in encode(c)))

    def generate(
        self, prompt: str, options: GenerationOptions, line: int = 0, n: int = 1
    ) -> Iterator[Iterator[str]]:
        """`n` ways to go on with `prompt`, each as pieces of text that come as they are drawn.

        What is drawn depends on the seed, `line`, and the number of the sample alone.
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
    """The pieces up to where the first of `stops` begins; what may turn out to be one is held back."""
    held = ""
    for piece in pieces:
        held += piece
        if found := [at for stop in stops if (at := held.find(stop)) >= 0]:
            yield held[: min(found)]
            return
        kept = next((n for n in range(len(held), 0, -1) if any(s.startswith(held[-n:]) for s in stops)), 0)
        yield held[: len(held) - kept]
        held = held[len(held) - kept :]
    yield held


class TorchLM:
    """A language model of `tx.models` that torch reads."""

    def __init__(self, model: Any) -> None:
        self._model, self._state = model, model.start(1)
        self._device = next(model.parameters()).device
        self.activations: list[Array] = []  # torch keeps them to itself

    def feed(self, ids: Sequence[int]) -> Array:
        import torch

        with torch.inference_mode():
            logits, self._state = self._model.feed(torch.tensor([ids], device=self._device), self._state)
            return logits[0].float().cpu().numpy()  # type: ignore[no-any-return]

    def copy(self) -> Self:
        import torch

        twin = copy(self)
        twin._state = copy(self._state)
        with torch.inference_mode():
            twin._state.reorder(
                torch.arange(1, device=self._device), 1
            )  # which copies what read would change
        return twin


def open_language_model(path: Path, device: str = "cpu") -> LanguageModel:
    """The language model in the package at `path`, on `device`, "cpu" or a name that torch knows.

    Raises TxError if there is none, or if it is damaged.
    """

    def build(package: Package) -> LanguageModel:
        tokenizer = open_tokenizer(package)
        if package.config.get("vocab_size") != len(tokenizer):
            raise TxError(
                f"{path}: its tokenizer has {len(tokenizer):,} pieces, and the model another number",
                "the package was put together from different models; export it again from where it was made",
            )
        max_len = package.config.get("max_len")
        return LanguageModel(_open_reader(package, device), tokenizer, max_len)

    return load_package(path, build, "language-model")


def _open_reader(package: Package, device: str) -> IncrementalLM:
    if device == "cpu" and package.arch in NUMPY_MODELS:
        return load_numpy_model(package)
    from tx.models import load_model
    from tx.nn.device import choose_device

    return TorchLM(load_model(package, choose_device(device)))
