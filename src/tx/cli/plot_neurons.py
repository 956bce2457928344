"""`tx plot neurons`: what the hidden units of a language model do while it reads."""

import os
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.cells import cell_len
from rich.text import Text

from tx.cli import console
from tx.cli.plot import save
from tx.errors import UsageError, did_you_mean
from tx.package import find_package
from tx.text.lines import read_lines

if TYPE_CHECKING:
    from tx.inspect.neurons import Array, Match, Trace, Unit

HTML = ".html"
RANKED, SHOWN = 20_000, 1500  # characters to judge units by, and to show


def neurons(
    file: Annotated[str, typer.Argument(metavar="FILE", help="The text to read; - is stdin.")],
    model: console.Model = None,
    unit: Annotated[
        str | None, typer.Option(metavar="LAYER:N", help="Colour the text by this unit, counted from 1:1.")
    ] = None,
    track: Annotated[
        str | None,
        typer.Option(metavar="PROPERTY", help="Colour it by the unit that follows this property best."),
    ] = None,
    top: Annotated[int, typer.Option(metavar="N", min=1, help="Units to list for each property.")] = 1,
    length: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            min=1,
            help=f"Characters to show (default {SHOWN:,}); for the list, to rank by (default {RANKED:,}).",
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="Write the coloured text: .png, .svg or .html."),
    ] = None,
    as_json: console.Json = False,
    quiet: console.Quiet = False,
) -> None:
    """Find units that follow something in the text, and colour a text by one of them.

    ```
    $ tx plot neurons -m bard shakespeare.txt
    $ tx plot neurons -m bard shakespeare.txt --unit 2:17
    $ tx plot neurons -m bard shakespeare.txt --track "position in line" -o line.png
    $ tx plot neurons -m bard shakespeare.txt --top 3 --json
    ```

    Without --unit or --track, a list: for each property the unit that follows it best, by AUC (1: the unit tells
    perfectly where it holds; 0.5: not at all) or by rank correlation (rho); a minus says that it does so upside
    down; --track chooses by the first 20,000 characters. A colour is the unit's value after a character, from blue
    (low: the 2nd percentile of its values) to red (high: the 98th). The units are the hidden ones of a recurrent
    model (of an LSTM, the tanh of its cells), and those of a Transformer's feed-forward layers.
    """
    console.set_quiet(quiet)
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    from tx.decode.generate import open_language_model
    from tx.inspect.neurons import COUNTS, HOLDS, parse_unit, rank_units, trace

    chosen = parse_unit(unit) if unit else None
    if track is not None and track not in (*HOLDS, *COUNTS):
        names = [*HOLDS, *COUNTS]
        raise UsageError(
            f"there is no property '{track}'", did_you_mean(track, names) or f"there are: {', '.join(names)}"
        )
    if chosen and track is not None:
        raise UsageError("--unit and --track both choose a unit", "leave one of them away")
    if output and not (chosen or track):
        raise UsageError("no unit is chosen to colour the text by", "add --unit LAYER:N or --track PROPERTY")
    if output:
        from tx.plots.figure import check_path

        check_path(output, HTML)
    text = "\n".join([*read_lines(file), ""])
    opened = open_language_model(find_package(model, "language-model"))
    shown = length or SHOWN
    if chosen:
        _show(trace(opened, text[:shown]), chosen, f"unit {chosen}", shown, output, as_json)
        return
    n_ranked = RANKED if track is not None else length or RANKED
    traced = trace(opened, text[: max(n_ranked, length or 0)])
    matches, rare = rank_units(traced.head(n_ranked), top)
    if track is not None:
        found = next((match for match in matches if match.property == track), None)
        if found is None:
            raise UsageError(
                f"the text is too short, or has too little, to judge '{track}' by",
                "give a longer one",
            )
        upside = ", upside down" if found.sign < 0 else ""
        caption = f"unit {found.unit}, {track}: {found.measure} {found.value:.3f}{upside}"
        _show(traced, found.unit, caption, shown, output, as_json)
        return
    _list(matches, as_json)
    if rare:
        console.note(f"too rare in {len(traced.text):,} characters to judge: {', '.join(rare)}", "dim")


def _list(matches: list["Match"], as_json: bool) -> None:
    signed = [(match, f"{'-' if match.sign < 0 else ''}{match.value:.3f}") for match in matches]
    if as_json:
        console.print_json(
            [
                {
                    "property": m.property,
                    "unit": str(m.unit),
                    "measure": m.measure,
                    "value": m.value,
                    "sign": m.sign,
                }
                for m in matches
            ]
        )
    else:
        console.print_table(
            ["property", "unit", "measure", "value"], [(m.property, m.unit, m.measure, v) for m, v in signed]
        )


def _show(
    traced: "Trace", unit: "Unit", caption: str, shown: int, output: Path | None, as_json: bool
) -> None:
    """Show the beginning of the text in the colours of a unit."""
    from tx.plots.neurons import draw_text, write_html

    text, values = traced.text[:shown], traced.scaled(unit)[:shown]
    if as_json:
        raw = traced.values[:shown, traced.column(unit)].tolist()
        console.print_json({"unit": str(unit), "text": text, "values": [round(x, 6) for x in raw]})
    elif output is None:
        _print(text, values, caption)
    elif output.suffix.lower() == HTML:
        write_html(text, values, caption, output)
        console.note(f"wrote {output}")
    else:
        save(draw_text(text, values, caption), output)


def _print(text: str, values: "Array", caption: str) -> None:
    """Print the text on stdout, in colour where it can show any, else with marks under it."""
    from tx.plots.color import mark, rgb
    from tx.plots.neurons import LEGEND, ink, lines_of

    stdout = console.stdout()
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else 100
    for line in lines_of(text, values, width):
        if stdout.color_system is not None:
            shown = Text()
            for character, value in line:
                shown.append(character, "{} on rgb({},{},{})".format(ink(value), *rgb(value)))
            stdout.print(shown, overflow="ignore", crop=False, soft_wrap=True)
        else:
            marks = "".join(mark(value) * cell_len(character) for character, value in line)
            for row in ("".join(character for character, _ in line), marks):
                stdout.print(row.rstrip(), markup=False, overflow="ignore", crop=False, soft_wrap=True)
    legend = LEGEND if stdout.color_system else "= lowest, - low, + high, # highest"
    console.note(f"{caption}; {legend}", "dim")
