"""`tx transcribe`: audio and video in, text or subtitles out."""

import io
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from tx.cli import console
from tx.cli.console import argument, given, option
from tx.errors import TxError, UsageError
from tx.package import find_package
from tx.text.lines import LineWriter

if TYPE_CHECKING:
    from tx.speech.transcribe import Options, Segment, Transcriber
    from tx.speech.transcript_formats import Layout

speech = partial(option, panel="Speech")
subtitles = partial(option, panel="Subtitles")
thresholds = partial(option, panel="Decoding thresholds")


def transcribe(
    context: typer.Context,
    files: Annotated[
        list[str] | None, argument("FILE", "Audio or video files, or folders of them; - is stdin.")
    ] = None,
    model: console.Model = None,
    output: Annotated[
        str, option("Write the output to FILE, or one file per input to FOLDER.", "-o", metavar="FILE|FOLDER")
    ] = "-",
    format: Annotated[
        Literal["text", "srt", "vtt", "tsv", "json"] | None,
        option("Output format (default: from the suffix of -o, else text).", "-f"),
    ] = None,
    as_json: console.Json = False,
    language: Annotated[
        str | None,
        speech("Language, such as de or German (default: the model's, else detected).", metavar="LANG"),
    ] = None,
    task: Annotated[
        Literal["transcribe", "translate"] | None,
        speech("Transcribe, or translate into English (default: the model's task)."),
    ] = None,
    prompt: Annotated[
        str | None, speech("Initial prompt, such as names and spellings to expect.", metavar="WORDS")
    ] = None,
    activity: Annotated[Literal["energy", "silero", "none"], speech("Voice activity detector.")] = "energy",
    condition_on_previous: Annotated[
        bool, speech("Prompt each window with the transcript of the previous window.")
    ] = False,
    beam_size: Annotated[int, speech("Beam size; 1: greedy search.", "-b", min=1, max=100)] = 1,
    batch_size: Annotated[int, speech("Windows of 30 s that are decoded together.", min=1)] = 8,
    width: Annotated[int, subtitles("Characters per line of subtitles; 0: no limit.", min=0)] = 42,
    lines: Annotated[int, subtitles("Lines per subtitle.", min=1)] = 2,
    fallback: Annotated[bool, thresholds("Retry low-confidence windows at a higher temperature.")] = True,
    compression_threshold: Annotated[
        float, thresholds("Retry a window whose text has a higher compression ratio.", min=0)
    ] = 2.4,
    logprob_threshold: Annotated[
        float, thresholds("Retry a window with a lower average log-probability (nats).")
    ] = -1.0,
    no_speech_threshold: Annotated[
        float,
        thresholds(
            "No-speech probability above which a low-confidence window is treated as silence.", min=0, max=1
        ),
    ] = 0.6,
    seed: Annotated[int, thresholds("Random seed of sampling at higher temperatures.")] = 1,
    engine: Annotated[
        Literal["native", "ctranslate2"],
        option("Decoding engine; ctranslate2 is faster, with 8-bit weights on a CPU."),
    ] = "native",
    check: Annotated[str | None, typer.Option(metavar="DATA", hidden=True)] = None,
    device: console.Device = "auto",
    threads: console.Threads = 0,
    quiet: console.Quiet = False,
) -> None:
    """Transcribe audio and video files, and print the text as it is decoded.

    ```
    $ tx transcribe -m my-whisper talk.mp4
    $ tx transcribe -m my-whisper talk.mp4 -o talk.srt
    $ tx transcribe -m my-whisper videos/ -f vtt -o subtitles/
    $ tx transcribe -m my-whisper talk.mp4 | tx translate -m de-en > talk.en
    $ curl -s https://example.org/talk.mp3 | tx transcribe -m my-whisper -
    $ tx transcribe -m my-whisper talk.mp4 --json | jq -r .text
    $ tx transcribe -m my-whisper --engine ctranslate2 talk.mp4
    ```

    The text format has one line per sentence. With --json, each segment is one line with its times, the file, and
    its average log-probability, no-speech probability and compression ratio. With -m ./FOLDER, any Whisper model in
    Hugging Face format can be used. Without --language, the language is detected from the first speech of each file.
    Silence, hum and hiss are not transcribed; in music and noise, --activity silero detects speech more reliably.
    """
    if as_json and format not in (None, "json"):
        raise UsageError(f"--json and --format {format} are two formats", "omit one of them")
    if not files and not check:
        raise UsageError("missing FILE: the audio to transcribe", "tx transcribe FILE..., or - for stdin")
    if "-" in (files or []) and sys.stdin is not None and sys.stdin.isatty():
        raise UsageError("- reads audio from a pipe, but stdin is a terminal", "name a file, or pipe one in")
    from tx.speech.transcribe import Options, open_transcriber
    from tx.speech.transcribe.outputs import choose_outputs, find_media
    from tx.speech.transcript_formats import Layout

    sources = list(find_media(files or []))
    outputs, chosen = choose_outputs(sources, output, "json" if as_json else format)
    path = find_package(model, "speech")
    if check:
        _check_engine(path, engine, check, language, device, threads)
    options = Options(**given(context, Options))
    if not fallback:
        options = replace(options, temperatures=(0.0,))
    transcriber = open_transcriber(path, engine, device, threads, console.note)
    _write_transcripts(transcriber, options, sources, outputs, chosen, Layout(width, lines))


def _check_engine(
    path: Path, engine: str, data: str, language: str | None, device: str, threads: int
) -> None:
    """The deprecated --check: the error rates of both engines, on stderr."""
    if engine == "native":
        raise UsageError(
            "--check compares the engines", "add --engine ctranslate2; `tx evaluate` scores a model"
        )
    from tx.evaluation.runner import run

    console.warn("--check is deprecated: use tx evaluate --engine ctranslate2")
    for name in ("native", engine):
        report = run(path, [data], engine=name, language=language, device=device, threads=threads)
        rates = {score["metric"]: score for score in report.records if "as written" not in score["metric"]}
        wer, cer = rates["WER"], rates["CER"]["value"]
        n = len(report.details["sentences"])
        norm = wer["signature"].split("|")[0].removeprefix("norm:")
        console.note(f"{data}, {n:,} items, {name}: WER {wer['value']:.1f} %, CER {cer:.1f} % ({norm})")


def _write_transcripts(
    transcriber: "Transcriber",
    options: "Options",
    sources: Sequence[str],
    outputs: Sequence[str],
    format: str,
    layout: "Layout",
) -> None:
    """Transcribe each file into its output. A file that cannot be read is reported, and the others are
    transcribed."""
    from tx.speech.transcript_formats import transcript_lines

    n_failed = 0
    # One output for all files is opened before the first is transcribed: it checks the path.
    shared = LineWriter(outputs[0]) if len(set(outputs)) == 1 else None
    with shared or nullcontext():
        for source, output in zip(sources, outputs, strict=True):
            # stdin is read to its end, since a container may have its index there.
            media: Any = io.BytesIO(sys.stdin.buffer.read()) if source == "-" else source
            segments = transcriber.transcribe(media, options)
            if options.language is None and transcriber.tokenizer.default_language is None:
                segments = _report_language(segments, source)
            segments = _show_progress(segments, f"{source}: " if len(sources) > 1 else "")
            try:
                with nullcontext(shared) if shared else LineWriter(output) as writer:
                    for line in transcript_lines(segments, format, layout, source):
                        writer.write([line])
            except TxError as error:
                if len(sources) == 1 or isinstance(error, UsageError):
                    raise
                n_failed += 1
                console.error(error.message, error.hint)
                continue
            if output != "-":
                console.note(f"{source} -> {output}")
    if n_failed:
        raise TxError(f"{n_failed} of {len(sources)} files could not be transcribed", "see above")


def _report_language(segments: "Iterator[Segment]", source: str) -> "Iterator[Segment]":
    """Print the detected language before the first segment, so that a wrong guess is seen at once."""
    from tx.speech.languages import NAMES

    for number, segment in enumerate(segments):
        if not number:
            name = NAMES.get(segment.language, segment.language).capitalize()
            console.note(f"{source}: detected language: {name}; to change it, use --language", style="dim")
        yield segment


def _show_progress(segments: "Iterable[Segment]", prefix: str) -> "Iterator[Segment]":
    """Show the time and text of the last segment, if stderr is a terminal and stdout is not."""
    if not console.is_terminal() or sys.stdout.isatty():
        yield from segments
        return
    with console.stderr().status(f"{prefix}transcribing") as status:
        for segment in segments:
            minutes, seconds = divmod(int(segment.end), 60)
            status.update(f"{prefix}{minutes}:{seconds:02} {segment.text[:60]}")
            yield segment
