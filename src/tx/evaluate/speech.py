"""A speech recogniser on sets of speech: what it hears, and what it gets wrong."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import TYPE_CHECKING

import numpy as np

from tx.errors import TxError
from tx.evaluate.edits import align
from tx.evaluate.error_rates import Normalizer, Rates, basic, error_rates, normalizer
from tx.speech.items import Item, Problem
from tx.speech.media import RATE, decode
from tx.speech.windows import SECONDS

if TYPE_CHECKING:
    from tx.speech.transcribe import Options, Transcriber

SPELLING = "normalizer.json"  # in a model's folder


@dataclass(frozen=True)
class Heard:
    """What was made of one item, or why nothing could be."""

    item: Item
    text: str = ""
    problem: Problem | None = None


@dataclass(frozen=True)
class Measured:
    """What a recogniser made of a set, with its error rates: as it stands, and normalised by `normalizer`."""

    heard: list[Heard]
    problems: list[Problem]
    raw: Rates
    normalized: Rates
    normalizer: str


def measure(
    transcriber: "Transcriber",
    items: Iterable[Item],
    options: "Options",
    normalize: str | None = None,
    batch_size: int = 8,
) -> Measured:
    """Transcribe `items` and count the errors. Without `normalize`, English is normalised as such.

    An item with subtitles is transcribed as a whole, and counts as many utterances as it has cues. Raises TxError
    if none of them can be read, and as `tx.evaluate.error_rates.normalizer` does.
    """
    found = list(transcribe_items(transcriber, items, options, batch_size))
    heard = [part for one in found if one.problem is None for part in by_cue(one)]
    problems = [one.problem for one in found if one.problem is not None]
    if not heard:
        raise TxError(f"nothing could be read: {problems[0]}", "`tx data check` names every problem")
    spoken = {
        options.language or one.item.language or transcriber.tokenizer.default_language for one in heard
    }
    name = normalize or ("english" if spoken == {"en"} else "basic")
    refs, hyps = [one.item.text for one in heard], [one.text for one in heard]
    normalized = error_rates(refs, hyps, normalizer(name, _spelling(transcriber)))
    return Measured(heard, problems, error_rates(refs, hyps), normalized, name)


def by_cue(heard: Heard) -> list[Heard]:
    """What was heard of each cue of an item: the whole is aligned once, and cut where the cues are."""
    cues = heard.item.cues
    if len(cues) < 2:
        return [heard]
    starts = list(accumulate((len(cue.text.split()) for cue in cues), initial=0))
    words = heard.text.split()
    parts: list[list[str]] = [[] for _ in cues]
    cue = 0
    for kind, i, j in align(
        [basic(word) for word in heard.item.text.split()], [basic(word) for word in words]
    ):
        # What was put in between two cues belongs to the earlier one.
        while i >= starts[cue + 1] + (kind == "insertion") and cue + 1 < len(cues):
            cue += 1
        if kind != "deletion":
            parts[cue].append(words[j])
    places = zip(cues, heard.item.cue_origins(), parts, strict=True)
    return [
        Heard(replace(heard.item, text=c.text, cues=(), origin=origin), " ".join(part))
        for c, origin, part in places
    ]


def _spelling(transcriber: "Transcriber") -> dict[str, str]:
    """The model's table of British and American words, where it has one."""
    folder = transcriber.folder
    table = folder.read_json(SPELLING) if folder.has(SPELLING) else {}
    return {str(british): str(american) for british, american in table.items()}


def transcribe_items(
    transcriber: "Transcriber", items: Iterable[Item], options: "Options", batch_size: int = 8
) -> Iterator[Heard]:
    """Transcribe each item, in order; the language is the one in `options`, else the item's, else the model's own.

    Up to 30 s are heard as they are, greedily or with a beam; longer sound by windows, as `tx transcribe` does.
    """
    batch: list[tuple[Item, np.ndarray]] = []
    for item in items:
        try:
            sound = decode(item.media, item.start, item.end)
        except TxError as error:
            yield from _flush(transcriber, batch, options)
            yield Heard(item, problem=Problem(item.origin, "media that cannot be read", error.message))
            continue
        if batch and (len(batch) == batch_size or batch[0][0].language != item.language or _is_long(sound)):
            yield from _flush(transcriber, batch, options)
        batch.append((item, sound))
        if _is_long(sound):
            yield from _flush(transcriber, batch, options)
    yield from _flush(transcriber, batch, options)


def _is_long(sound: np.ndarray) -> bool:
    return len(sound) > SECONDS * RATE


def _flush(
    transcriber: "Transcriber", batch: list[tuple[Item, np.ndarray]], options: "Options"
) -> Iterator[Heard]:
    """Transcribe what has gathered, and empty it."""
    if not batch:
        return
    items, sounds = [item for item, _ in batch], [sound for _, sound in batch]
    batch.clear()
    if options.language is None and items[0].language is not None and transcriber.tokenizer.languages:
        options = replace(options, language=items[0].language)
    if _is_long(sounds[0]):
        texts = [" ".join(segment.text.strip() for segment in transcriber.transcribe(sounds[0], options))]
    else:
        texts = transcriber.transcribe_batch(sounds, replace(options, temperatures=(0.0,)))
    for item, text in zip(items, texts, strict=True):
        yield Heard(item, " ".join(text.split()))


def worst(rates: Rates, n: int) -> list[int]:
    """The utterances with the most errors, of those the ones with the higher rate first."""
    errors, lengths = rates.words[:, 1:].sum(axis=1), rates.words[:, :3].sum(axis=1)
    order = sorted(range(len(errors)), key=lambda i: (-errors[i], lengths[i]))
    return [i for i in order if errors[i]][:n]


def changes(ref: str, hyp: str, normalize: Normalizer | None = None) -> list[tuple[str, str, bool]]:
    """The words of both as they are written, side by side, and whether they count as the same.

    What normalising takes away altogether, a dash for instance, is no error.
    """
    said, heard = ref.split(), hyp.split()
    keys: Callable[[str], str] = normalize or str
    said_keys, heard_keys = [keys(word) for word in said], [keys(word) for word in heard]
    found = []
    for kind, i, j in align(said_keys, heard_keys):
        if kind == "deletion":
            found.append((said[i], "", not said_keys[i]))
        elif kind == "insertion":
            found.append(("", heard[j], not heard_keys[j]))
        else:
            found.append((said[i], heard[j], kind == "hit"))
    return found
