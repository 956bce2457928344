"""`tx transcribe`: audio and video in, text or subtitles out."""

import io
import sys
from collections.abc import Iterable, Iterator
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from tx.cli import console
from tx.errors import TxError, UsageError
from tx.package import find_package
from tx.text.lines import LineWriter

if TYPE_CHECKING:
    from tx.speech.transcribe import Options, Segment, Transcriber

SPEECH, CUES, BELIEF = "Speech", "Subtitles", "What is believed"
SUFFIX = {"text": ".txt", "srt": ".srt", "vtt": ".vtt", "tsv": ".tsv", "json": ".jsonl"}


def transcribe(
    files: Annotated[
        list[str] | None,
        typer.Argument(metavar="FILE", help="Audio, video, or folders of them; - is stdin."),
    ] = None,
    model: console.Model = None,
    output: Annotated[
        str,
        typer.Option("--output", "-o", metavar="FILE|FOLDER", help="Write here, not to stdout; see below."),
    ] = "-",
    format: Annotated[
        Literal["text", "srt", "vtt", "tsv", "json"] | None,
        typer.Option("--format", "-f", help="What to write (text, or what the name in -o says)."),
    ] = None,
    as_json: console.Json = False,
    language: Annotated[
        str | None,
        typer.Option(
            metavar="LANG",
            help="As in de or German; else the model's own, else detected.",
            rich_help_panel=SPEECH,
        ),
    ] = None,
    task: Annotated[
        Literal["transcribe", "translate"] | None,
        typer.Option(help="translate: into English.", rich_help_panel=SPEECH),
    ] = None,
    prompt: Annotated[
        str | None,
        typer.Option(metavar="TEXT", help="Names and spellings to expect.", rich_help_panel=SPEECH),
    ] = None,
    activity: Annotated[
        Literal["energy", "silero", "none"],
        typer.Option(
            help="Who finds the speech: the level of the sound, Silero's network, nobody.",
            rich_help_panel=SPEECH,
        ),
    ] = "energy",
    condition: Annotated[
        bool,
        typer.Option(
            "--condition-on-previous",
            help="The text so far is the prompt of what follows.",
            rich_help_panel=SPEECH,
        ),
    ] = False,
    beam_size: Annotated[
        int, typer.Option("--beam-size", "-b", min=1, max=100, help="1: greedy.", rich_help_panel=SPEECH)
    ] = 1,
    batch_size: Annotated[
        int, typer.Option(min=1, help="Windows of 30 s heard together.", rich_help_panel=SPEECH)
    ] = 8,
    width: Annotated[
        int, typer.Option(min=0, help="Characters of a line of subtitles; 0: any.", rich_help_panel=CUES)
    ] = 42,
    lines: Annotated[int, typer.Option(min=1, help="Lines of a cue.", rich_help_panel=CUES)] = 2,
    fallback: Annotated[
        bool,
        typer.Option(
            "--fallback/--no-fallback",
            help="Hear again, more freely, what is doubtful.",
            rich_help_panel=BELIEF,
        ),
    ] = True,
    compression_threshold: Annotated[
        float, typer.Option(min=0, help="Doubtful: zlib shortens the text more.", rich_help_panel=BELIEF)
    ] = 2.4,
    logprob_threshold: Annotated[
        float, typer.Option(help="Doubtful: fewer nats a token.", rich_help_panel=BELIEF)
    ] = -1.0,
    no_speech_threshold: Annotated[
        float,
        typer.Option(min=0, max=1, help="Silence: more probable, and doubtful.", rich_help_panel=BELIEF),
    ] = 0.6,
    seed: Annotated[int, typer.Option(help="Of what is heard more freely.", rich_help_panel=BELIEF)] = 1,
    engine: Annotated[
        Literal["native", "ctranslate2"], typer.Option(help="ctranslate2: faster, in 8 bits.")
    ] = "native",
    check: Annotated[
        str | None,
        typer.Option(
            metavar="DATA",
            help="Transcribed speech, on which the engine ctranslate2 and the native one are scored.",
        ),
    ] = None,
    device: console.Device = "auto",
    threads: console.Threads = 0,
    quiet: console.Quiet = False,
) -> None:
    """Write down what is said in audio and video files, as it is understood.

    ```
    $ tx transcribe -m my-whisper talk.mp4
    $ tx transcribe -m my-whisper talk.mp4 -o talk.srt
    $ tx transcribe -m my-whisper videos/ -f vtt -o subtitles/
    $ tx transcribe -m my-whisper talk.mp4 | tx translate -m de-en > talk.en
    $ curl -s https://example.org/talk.mp3 | tx transcribe -m my-whisper -
    $ tx transcribe -m my-whisper talk.mp4 --json | jq -r .text
    $ tx transcribe -m my-whisper --engine ctranslate2 --check test/ talk.mp4
    ```

    Text has a line for each sentence; with --json each segment is a line, with its times, the file, and how far it
    is to be believed. With several files and -o, FOLDER gets a file for each. Any Whisper model in Hugging Face's
    form can be named with -m ./FOLDER. A language that nobody names is told once for a file, by its first speech.
    Silence gives nothing, nor do hum and hiss alone; in music and noise --activity silero knows speech better.
    """
    console.set_quiet(quiet)
    if as_json and format not in (None, "json"):
        raise UsageError(f"--json and --format {format} are two formats", "leave one of them away")
    if not files and not check:
        raise UsageError(
            "there is nothing to transcribe", "name files, or - for stdin: tx transcribe FILE..."
        )
    sources = list(_sources(files or []))
    outputs, chosen = _outputs(sources, output, "json" if as_json else format)
    path = find_package(model, "speech")
    from tx.speech.transcribe import Options, open_transcriber

    options = Options(
        language=language,
        task=task,
        beam_size=beam_size,
        batch_size=batch_size,
        temperatures=Options.temperatures if fallback else (0.0,),
        compression_threshold=compression_threshold,
        logprob_threshold=logprob_threshold,
        no_speech_threshold=no_speech_threshold,
        condition_on_previous=condition,
        prompt=prompt,
        activity=activity,
        seed=seed,
    )
    if check and engine == "native":
        raise UsageError(
            "--check compares the engines", "add --engine ctranslate2; `tx evaluate` scores a model"
        )
    transcriber = open_transcriber(path, engine, device, threads, console.note)
    if check:
        native = open_transcriber(path, "native", device, threads)
        _compare({"native": native, "ctranslate2": transcriber}, check, options)
    _write(transcriber, options, sources, outputs, chosen, (width, lines))


def _compare(engines: dict[str, "Transcriber"], data: str, options: "Options") -> None:
    """Say on stderr how well the converted model does beside the one it was made of."""
    from tx.evaluate.speech import measure
    from tx.speech.datasets import read_set

    items = read_set(data, options.language, split="test").items
    if not items:
        raise TxError(f"there is nothing usable in {data}", f"`tx data check {data}` names every problem")
    for engine, one in engines.items():
        found = measure(one, items, options)
        wer, cer = 100 * found.normalized.wer, 100 * found.normalized.cer
        console.note(
            f"{data}, {len(found.heard):,} items, {engine}: WER {wer:.1f} %, CER {cer:.1f} % ({found.normalizer})"
        )


def _sources(files: list[str]) -> Iterator[str]:
    """The media that were named, those in folders included. Raises TxError for a folder without any."""
    from tx.speech.media import SUFFIXES

    for name in files:
        path = Path(name)
        if name == "-" and sys.stdin is not None and sys.stdin.isatty():
            raise UsageError("- is audio from a pipe, and stdin is a terminal", "name a file, or pipe one in")
        if name == "-" or not path.is_dir():
            if name != "-" and not path.exists():
                raise TxError(
                    f"there is no file {name}", "check the path; a relative one starts at this folder"
                )
            yield name
            continue
        found = sorted(file for file in path.rglob("*") if file.suffix.lower() in SUFFIXES and file.is_file())
        if not found:
            raise TxError(f"there is no audio or video file in {name}", "name the files themselves")
        yield from map(str, found)


def _outputs(sources: list[str], output: str, format: str | None) -> tuple[list[str], str]:
    """Where the transcript of each file goes, and in which format."""
    from tx.speech.transcript_formats import SUFFIXES

    path = Path(output)
    is_folder = output != "-" and (output.endswith("/") or path.is_dir() or len(sources) > 1)
    if is_folder and path.exists() and not path.is_dir():
        raise UsageError(
            f"{output} is a file, and there are {len(sources)} transcripts", "name a folder with -o"
        )
    chosen = format or (
        SUFFIXES.get(path.suffix.lower(), "text") if output != "-" and not is_folder else "text"
    )
    if not is_folder:
        if len(sources) > 1 and chosen in ("srt", "vtt", "tsv"):
            raise UsageError(
                f"the times of {len(sources)} files would stand in one {chosen} file", "add -o FOLDER/"
            )
        return [output] * len(sources), chosen
    names = ["stdin" if name == "-" else Path(name).stem for name in sources]
    if twice := {name for name in names if names.count(name) > 1}:
        names = ["stdin" if name == "-" else Path(name).name for name in sources]
    if len(set(names)) < len(names):
        raise UsageError(f"two files are called {sorted(twice)[0]}", "transcribe them into different folders")
    path.mkdir(parents=True, exist_ok=True)
    outputs = [path / f"{name}{SUFFIX[chosen]}" for name in names]
    for source, made in zip(sources, outputs, strict=True):
        if made.exists() and source != "-" and made.samefile(Path(source).with_name(made.name)):
            raise UsageError(
                f"{made} stands beside {Path(source).name} already, and may be somebody's work",
                "name another folder with -o, or move it away",
            )
    return list(map(str, outputs)), chosen


def _write(
    transcriber: "Transcriber",
    options: "Options",
    sources: list[str],
    outputs: list[str],
    format: str,
    layout: tuple[int, int],
) -> None:
    """Transcribe each file into its output; what cannot be read is told, and the others go on."""
    from tx.speech.transcript_formats import Layout, caption_lines

    failed: list[TxError] = []
    together = (
        LineWriter(outputs[0]) if len(set(outputs)) == 1 else None
    )  # what is wrong with its name is told now
    with together or nullcontext():
        for source, output in zip(sources, outputs, strict=True):
            said = transcriber.transcribe(_opened(source), options)
            if options.language is None and transcriber.tokenizer.default_language is None:
                said = _told_language(said, source)
            said = _watched(said, source, len(sources))
            extra: Any = lambda one, name=source: {"file": name, **_record(one)}  # noqa: E731
            try:
                with nullcontext(together) if together else LineWriter(output) as writer:
                    for line in caption_lines(said, format, Layout(*layout), extra):
                        writer.write([line])
            except TxError as error:
                if len(sources) == 1 or isinstance(error, UsageError):
                    raise
                failed.append(error)
                console.error(error.message, error.hint)
                continue
            if output != "-":
                console.note(f"{source} -> {output}")
    if failed:
        raise TxError(f"{len(failed)} of {len(sources)} files could not be transcribed", "see above")


def _opened(source: str) -> Any:
    """The path, or all that stdin holds: a container may have its index at the end."""
    return io.BytesIO(sys.stdin.buffer.read()) if source == "-" else source


def _told_language(said: "Iterator[Segment]", source: str) -> "Iterator[Segment]":
    """Say which language was understood, where nobody had named it: a wrong guess is seen at once."""
    from tx.speech.languages import NAMES

    for number, one in enumerate(said):
        if not number:
            name = NAMES.get(one.language, one.language).capitalize()
            console.note(f"{source}: understood as {name}; --language names another", style="dim")
        yield one


def _watched(said: "Iterable[Segment]", source: str, n_sources: int) -> "Iterator[Segment]":
    """Say on a terminal how far the transcript is."""
    if not console.is_terminal() or sys.stdout.isatty():
        yield from said
        return
    name = f"{source}: " if n_sources > 1 else ""
    with console.stderr().status(f"{name}listening") as status:
        for one in said:
            status.update(f"{name}{int(one.end) // 60}:{int(one.end) % 60:02} {one.text[:60]}")
            yield one


def _record(one: "Segment") -> dict[str, Any]:
    return {
        name: round(value, 4) if isinstance(value, float) else value for name, value in asdict(one).items()
    }
