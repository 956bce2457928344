"""`tx evaluate` for speech recognisers: word and character error rates of what they hear."""

from collections.abc import Iterator, Sequence
from itertools import chain, groupby
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.text import Text

from tx.cli import console
from tx.errors import TxError, UsageError
from tx.package import Package, add_scores, find_package
from tx.text.lines import LineWriter

if TYPE_CHECKING:
    from tx.evaluate.speech import Measured
    from tx.speech.items import Item
    from tx.speech.transcribe.transcriber import EngineName

N_BOOTSTRAP = 1000
COLUMNS = ("data", "model", "measure", "text", "%", "± 95%", "p", "sub", "del", "ins", "of")
ENGINES = ("native", "ctranslate2")
Scores = list[dict[str, Any]]


def evaluate_speech(
    model: Package | Path,
    files: list[str],
    store: bool,
    as_json: bool,
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
) -> None:
    """Transcribe each set and count the errors, as written and normalised; `against` is a model to compare with."""
    if engine not in ENGINES:
        raise UsageError(f"there is no engine '{engine}'", f"the engines are {' and '.join(ENGINES)}")
    paths = [
        model if isinstance(model, Path) else model.path,
        *([find_package(against, "")] if against else []),
    ]
    code = _code(paths[0], language, bool(against))
    writer = LineWriter(output) if output else None  # what is wrong with its name is told now
    sets = {file: _items(file, code) for file in files}
    from tx.evaluate.speech import measure
    from tx.speech.transcribe import Options, open_transcriber

    options = Options(language=code, beam_size=beam_size)
    found: list[list[Measured]] = []
    for path in paths:
        transcriber = open_transcriber(path, cast("EngineName", engine), device, threads, console.note)
        found.append(
            [measure(transcriber, _watched(file, items), options, normalize) for file, items in sets.items()]
        )
    for file, measured in zip(sets, found[0], strict=True):
        console.note(f"{file}: {len(measured.heard):,} utterances")
    if writer is not None:
        with writer:
            writer.write(heard.text for measured in found[0] for heard in measured.heard)
    told = f"beam:{beam_size}|engine:{engine}|lang:{code or 'own'}"
    reports = [_report(Path(file).name, results, told) for file, *results in zip(sets, *found, strict=True)]
    if store and isinstance(model, Package):
        add_scores(model, [_record(score) for score in chain(*reports) if not score["model"]])
    names = [path.resolve().name for path in paths]
    if as_json:
        sentences = [_sentences(results) for results in zip(*found, strict=True)]
        console.print_json({"models": names, "scores": [*chain(*reports)], "sentences": [*chain(*sentences)]})
        return
    shown = [i for i, column in enumerate(COLUMNS) if against or column not in ("model", "p")]
    rows = [_row(score, names) for score in chain(*reports)]
    console.print_table([COLUMNS[i] for i in shown], [[row[i] for i in shown] for row in rows])
    for measured in found[0]:
        _print_worst(measured, worst)


def _code(path: Path, language: str | None, for_both: bool) -> str | None:
    """The language that was named, by its code; without one the model's own, if another shall hear the same.

    Raises UsageError if the model does not know it.
    """
    from tx.package.hf_folder import open_hf_folder
    from tx.speech.whisper_tokenizer import WhisperTokenizer

    if language is None and not for_both:
        return None
    vocabulary = WhisperTokenizer(open_hf_folder(path))
    return vocabulary.default_language if language is None else vocabulary.language(language)


def _items(file: str, language: str | None) -> "list[Item]":
    """What is in a set, or in its test part. Raises TxError if that is nothing."""
    from tx.speech.datasets import read_set
    from tx.speech.items import report_problems

    found = read_set(file, language, split="test")
    for line in report_problems(found.problems):
        console.note(line)
    if not found.items:
        raise TxError(f"there is nothing usable in {file}", f"`tx data check {file}` names every problem")
    return found.items


def _watched(file: str, items: "Sequence[Item]") -> "Iterator[Item]":
    """The items, with a bar on a terminal."""
    parts = TextColumn("{task.description}", markup=False), BarColumn(bar_width=20), MofNCompleteColumn()
    hidden = not console.is_terminal()
    with Progress(*parts, console=console.stderr(), transient=True, disable=hidden) as bar:
        yield from bar.track(items, description=Path(file).name)


# --- scores ---


def _report(data: str, results: "Sequence[Measured]", told: str) -> Scores:
    """The scores of each model on a set; `model` counts them from 0, the one that is evaluated."""
    from tx.evaluate.error_rates import rate_score, significance

    scores: Scores = []
    for problem in results[0].problems:
        console.warn(str(problem))
    for number, measured in enumerate(results):
        for metric in ("wer", "cer"):
            for text in ("normalized", "raw"):
                counts, base = (_counts(each, metric, text) for each in (measured, results[0]))
                score = rate_score(counts, metric, N_BOOTSTRAP)
                norm = measured.normalizer if text == "normalized" else "none"
                p_value = significance(base, counts, n_samples=N_BOOTSTRAP) if number else None
                signature = f"norm:{norm}|n:{len(counts)}|{told}"
                scores.append(
                    {"data": data, "model": number, "metric": score.name, "text": text, "value": score.value}
                    | {"ci": score.ci, "p_value": p_value, "signature": signature, **score.details}
                )
    return scores


def _counts(measured: "Measured", metric: str, text: str) -> Any:
    rates = measured.normalized if text == "normalized" else measured.raw
    return rates.words if metric == "wer" else rates.characters


def _record(score: dict[str, Any]) -> dict[str, Any]:
    """A score as packages keep it."""
    name = score["metric"] + ("" if score["text"] == "normalized" else " as written")
    return {"metric": name} | {key: score[key] for key in ("value", "ci", "signature", "data")}


def _row(score: dict[str, Any], names: Sequence[str]) -> tuple[str, ...]:
    p = "-" if score["p_value"] is None else f"{score['p_value']:.4f}"
    parts = (f"{score[name]:,}" for name in ("substitutions", "deletions", "insertions", "ref_len"))
    value, ci = f"{score['value']:.2f}", f"{score['ci']:.2f}"
    return (score["data"], names[score["model"]], score["metric"], score["text"], value, ci, p, *parts)


def _sentences(results: "Sequence[Measured]") -> list[dict[str, Any]]:
    """Each utterance, what each model heard, and how many of its words each got wrong."""
    found = []
    for i, heard in enumerate(results[0].heard):
        wrong = [int(measured.normalized.words[i, 1:].sum()) for measured in results]
        hyps = [measured.heard[i].text for measured in results]
        found.append({"origin": heard.item.origin, "ref": heard.item.text, "hyps": hyps, "errors": wrong})
    return found


# --- the worst ---


def _print_worst(measured: "Measured", n: int) -> None:
    """The utterances with the most errors, with what was said and heard where they differ."""
    from tx.evaluate.error_rates import normalizer
    from tx.evaluate.speech import changes, worst

    out, normalize = console.stdout(), normalizer(measured.normalizer)
    for i in worst(measured.normalized, n):
        hits, *wrong = (int(number) for number in measured.normalized.words[i])
        heard = measured.heard[i]
        errors = f"{sum(wrong)} error{'s' * (sum(wrong) != 1)} in {hits + wrong[0] + wrong[1]} words"
        out.print(Text(f"\n{errors}  {heard.item.origin}", "dim"), soft_wrap=True)
        colored = out.is_terminal and console.wants_style()
        words = changes(heard.item.text, heard.text, normalize)
        out.print(Text(" ").join(_differences(words, colored)), soft_wrap=True)


def _differences(words: "Sequence[tuple[str, str, bool]]", colored: bool) -> Iterator[Text]:
    """What was said crossed out in red and what was heard instead in green; without colours as wdiff does."""
    for same, run in groupby(words, key=itemgetter(2)):
        said, heard = (" ".join(filter(None, side)) for side in list(zip(*run, strict=True))[:2])
        if same:
            yield Text(heard or said)
            continue
        if said:
            yield Text(said, "red strike") if colored else Text(f"[-{said}-]")
        if heard:
            yield Text(heard, "green") if colored else Text(f"{{+{heard}+}}")
