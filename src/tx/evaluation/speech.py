"""Evaluating a speech recogniser: the error rates of its transcripts of test sets, as written and normalised."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, chain, groupby, islice, product
from pathlib import Path
from typing import Any, cast

import numpy as np

from tx.errors import TxError, UsageError
from tx.evaluation.error_rates import (
    Normalizer,
    Rates,
    align,
    basic,
    counts_of,
    error_rates,
    normalizer,
    rate_score,
    significance,
)
from tx.evaluation.report import Example, Report, Track, record, untracked
from tx.package import Package, find_package
from tx.package.hf_folder import open_hf_folder
from tx.speech.datasets import read_set
from tx.speech.items import Item, Problem, report_problems
from tx.speech.media import RATE, decode
from tx.speech.transcribe import Options, Transcriber, open_transcriber
from tx.speech.transcribe.transcriber import EngineName
from tx.speech.whisper_tokenizer import WhisperTokenizer
from tx.speech.windows import SECONDS
from tx.text.lines import LineWriter

N_BOOTSTRAP = 1000
ENGINES = ("native", "ctranslate2")
SPELLING = "normalizer.json"  # British and American words, in a model's folder
COLUMNS = ("data", "model", "metric", "text", "%", "95%", "p", "sub", "del", "ins", "ref")


@dataclass(frozen=True)
class Transcript:
    """The transcript of an item, or the reason why there is none."""

    item: Item
    text: str = ""
    problem: Problem | None = None


@dataclass(frozen=True)
class ScoredSet:
    """The transcripts of a test set, and their error rates as written (`raw`) and normalised by `normalizer`."""

    transcripts: list[Transcript]
    problems: list[Problem]
    raw: Rates
    normalized: Rates
    normalizer: str


def evaluate(
    model: Package | Path,
    files: Sequence[str],
    *,
    output: str | None = None,
    language: str | None = None,
    normalize: str | None = None,
    against: str | None = None,
    worst: int = 5,
    engine: str = "native",
    beam_size: int = 1,
    device: str = "auto",
    threads: int = 0,
    track: Track = untracked,
) -> Report:
    """Transcribe each test set and compute WER and CER, as written and normalised.

    `against` names a second model, whose difference is tested for significance; it transcribes the same language.
    `output` is a file to write the transcripts to. The report shows the `worst` utterances. Raises UsageError for an
    unknown engine, normaliser or language, and TxError for a set without usable items.
    """
    if engine not in ENGINES:
        raise UsageError(f"there is no engine '{engine}'", f"the engines are {' and '.join(ENGINES)}")
    if normalize is not None:
        normalizer(normalize)  # an unknown name is reported before hours of transcribing
    paths = [model if isinstance(model, Path) else model.path]
    if against is not None:
        paths.append(find_package(against, ""))
    code = None
    # With `against`, a model that has to detect the language would be at a disadvantage.
    if language is not None or against is not None:
        tokenizer = WhisperTokenizer(open_hf_folder(paths[0]))
        code = tokenizer.default_language if language is None else tokenizer.language(language)
    writer = LineWriter(output) if output else None  # before transcribing: it checks the path
    notes: list[str] = []
    sets: dict[str, list[Item]] = {}
    for file in files:
        found = read_set(file, code, split="test")
        notes += report_problems(found.problems)
        if not found.items:
            raise TxError(f"{file} has no usable items", f"`tx data check {file}` lists all problems")
        sets[file] = found.items
    options = Options(language=code, beam_size=beam_size)
    results: list[list[ScoredSet]] = []
    for path in paths:
        transcriber = open_transcriber(path, cast("EngineName", engine), device, threads, notes.append)
        results.append([score(transcriber, track(sets[f], Path(f).name), options, normalize) for f in sets])
    if writer is not None:
        with writer:
            writer.write(transcript.text for each in results[0] for transcript in each.transcripts)
    names = [path.resolve().name for path in paths]
    signature = f"beam:{beam_size}|engine:{engine}|lang:{code or 'own'}"
    by_set = dict(zip(sets, zip(*results, strict=True), strict=True))
    notes += [f"{file}: {len(first.transcripts):,} utterances" for file, (first, *_) in by_set.items()]
    scores = [*chain(*(_scores(Path(file).name, each, signature) for file, each in by_set.items()))]
    sentences = [*chain(*(_sentences(each) for each in by_set.values()))]
    shown = [i for i, column in enumerate(COLUMNS) if against or column not in ("model", "p")]
    rows = [_row(each, names) for each in scores]
    return Report(
        [_record(each) for each in scores if not each["model"]],
        {"models": names, "scores": scores, "sentences": sentences},
        [COLUMNS[i] for i in shown],
        [[row[i] for i in shown] for row in rows],
        notes,
        [str(problem) for each in results[0] for problem in each.problems],
        [*chain(*(_examples(each, worst) for each in results[0]))],
    )


def score(
    transcriber: Transcriber,
    items: Iterable[Item],
    options: Options,
    normalize: str | None = None,
    batch_size: int = 8,
) -> ScoredSet:
    """Transcribe `items` and compute the error rates. By default, English is normalised as such, the rest as "basic".

    An item with subtitles is transcribed as a whole and counts as one utterance for each cue. Raises TxError if none
    of the items can be read, and as `tx.evaluation.error_rates.normalizer` does.
    """
    found = list(transcribe_items(transcriber, items, options, batch_size))
    problems = [one.problem for one in found if one.problem is not None]
    transcripts = [part for one in found if one.problem is None for part in split_by_cue(one)]
    if not transcripts:
        raise TxError(f"no item could be read: {problems[0]}", "`tx data check` lists all problems")
    default = transcriber.tokenizer.default_language
    languages = {options.language or one.item.language or default for one in transcripts}
    name = normalize or ("english" if languages == {"en"} else "basic")
    folder = transcriber.folder
    spelling: dict[str, str] = folder.read_json(SPELLING) if folder.has(SPELLING) else {}
    refs, hyps = [one.item.text for one in transcripts], [one.text for one in transcripts]
    normalized = error_rates(refs, hyps, normalizer(name, spelling))
    return ScoredSet(transcripts, problems, error_rates(refs, hyps), normalized, name)


def transcribe_items(
    transcriber: Transcriber, items: Iterable[Item], options: Options, batch_size: int = 8
) -> Iterator[Transcript]:
    """Transcribe each item, in order, in the language of `options`, else of the item, else of the model.

    Up to 30 s are decoded as one window, greedily or with a beam; longer audio as by `tx transcribe`.
    """

    def read(item: Item) -> tuple[Item, np.ndarray, str | None]:
        """An item, its audio, and the reason why that cannot be read."""
        try:
            return item, decode(item.media, item.start, item.end), None
        except TxError as error:
            return item, np.zeros(0, np.float32), error.message

    def kind(one: tuple[Item, np.ndarray, str | None]) -> tuple[str | None, bool, bool]:
        item, audio, fault = one
        return item.language, len(audio) > SECONDS * RATE, fault is not None

    for (language, is_long, is_unreadable), group in groupby(map(read, items), kind):
        known = options
        if options.language is None and language is not None and transcriber.tokenizer.languages:
            known = replace(options, language=language)
        while batch := list(islice(group, 1 if is_long else batch_size)):
            sounds = [audio for _, audio, _ in batch]
            if is_unreadable:
                texts = [""] * len(batch)
            elif is_long:
                texts = [" ".join(segment.text for segment in transcriber.transcribe(sounds[0], known))]
            else:
                texts = transcriber.transcribe_batch(sounds, replace(known, temperatures=(0.0,)))
            for (item, _, fault), text in zip(batch, texts, strict=True):
                problem = Problem(item.origin, "media that cannot be read", fault) if fault else None
                yield Transcript(item, " ".join(text.split()), problem)


def split_by_cue(transcript: Transcript) -> list[Transcript]:
    """The transcript of each cue of an item: the whole is aligned once, and split where the cues are."""
    cues = transcript.item.cues
    if len(cues) < 2:
        return [transcript]
    starts = list(accumulate((len(cue.text.split()) for cue in cues), initial=0))
    words = transcript.text.split()
    parts: list[list[str]] = [[] for _ in cues]
    cue = 0
    ref = [basic(word) for word in transcript.item.text.split()]
    for kind, i, j in align(ref, [basic(word) for word in words]):
        # An insertion between two cues belongs to the earlier one.
        while i >= starts[cue + 1] + (kind == "insertion") and cue + 1 < len(cues):
            cue += 1
        if kind != "deletion":
            parts[cue].append(words[j])
    return [
        Transcript(replace(transcript.item, text=cue.text, cues=(), origin=origin), " ".join(part))
        for cue, origin, part in zip(cues, transcript.item.cue_origins(), parts, strict=True)
    ]


# --- the report ---


def _scores(data: str, results: Sequence[ScoredSet], signature: str) -> list[dict[str, Any]]:
    """The scores of each model on a set; `model` is the number of the model, 0 for the one that is evaluated."""
    scores = []
    for number, result in enumerate(results):
        for metric, text in product(("wer", "cer"), ("normalized", "raw")):
            counts, base = (counts_of(getattr(each, text), metric) for each in (result, results[0]))
            found = rate_score(counts, metric, N_BOOTSTRAP)
            norm = result.normalizer if text == "normalized" else "none"
            p = significance(base, counts, n_samples=N_BOOTSTRAP) if number else None
            signed = f"norm:{norm}|n:{len(counts)}|{signature}"
            score = {"data": data, "model": number, "metric": found.name, "text": text}
            score |= {"value": found.value, "ci": found.ci, "p_value": p, "signature": signed}
            scores.append(score | found.details)
    return scores


def _record(score: Mapping[str, Any]) -> dict[str, Any]:
    name = score["metric"] + ("" if score["text"] == "normalized" else " as written")
    return record(name, score["value"], score["signature"], score["data"], score["ci"])


def _row(score: Mapping[str, Any], names: Sequence[str]) -> tuple[str, ...]:
    p = "-" if score["p_value"] is None else f"{score['p_value']:.4f}"
    counts = (f"{score[name]:,}" for name in ("substitutions", "deletions", "insertions", "ref_len"))
    value, ci = f"{score['value']:.2f}", f"± {score['ci']:.2f}"
    return (score["data"], names[score["model"]], score["metric"], score["text"], value, ci, p, *counts)


def _sentences(results: Sequence[ScoredSet]) -> list[dict[str, Any]]:
    """Each utterance with the transcript of each model, and the number of word errors in it."""
    sentences = []
    for i, transcript in enumerate(results[0].transcripts):
        errors = [int(result.normalized.words[i, 1:].sum()) for result in results]
        hyps, item = [result.transcripts[i].text for result in results], transcript.item
        sentences.append({"origin": item.origin, "ref": item.text, "hyps": hyps, "errors": errors})
    return sentences


def _examples(result: ScoredSet, n: int) -> Iterator[Example]:
    """The `n` utterances with the most errors."""
    normalize = normalizer(result.normalizer)
    for i in worst_utterances(result.normalized, n):
        hits, *errors = (int(number) for number in result.normalized.words[i])
        transcript = result.transcripts[i]
        n_errors, n_words = sum(errors), hits + errors[0] + errors[1]
        heading = f"{n_errors} error{'s' * (n_errors != 1)} in {n_words} words  {transcript.item.origin}"
        yield Example(heading, word_differences(transcript.item.text, transcript.text, normalize))


def worst_utterances(rates: Rates, n: int) -> list[int]:
    """The indices of the `n` utterances with the most errors; of equal ones, those with the higher rate first."""
    errors, lengths = rates.words[:, 1:].sum(axis=1), rates.words[:, :3].sum(axis=1)
    order = sorted(range(len(errors)), key=lambda i: (-errors[i], lengths[i]))
    return [i for i in order if errors[i]][:n]


def word_differences(ref: str, hyp: str, normalize: Normalizer | None = None) -> list[tuple[str, str, bool]]:
    """The aligned words of both as they are written, and whether they count as equal.

    A word that is empty after normalising, such as a dash, is not an error.
    """
    normalize = normalize or str
    refs, hyps = ref.split(), hyp.split()
    ref_keys, hyp_keys = [normalize(word) for word in refs], [normalize(word) for word in hyps]
    found = []
    for kind, i, j in align(ref_keys, hyp_keys):
        if kind == "deletion":
            found.append((refs[i], "", not ref_keys[i]))
        elif kind == "insertion":
            found.append(("", hyps[j], not hyp_keys[j]))
        else:
            found.append((refs[i], hyps[j], kind == "hit"))
    return found
