"""`tx plot neurons`: the hidden units of a language model over a text."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from rich.cells import cell_len
from rich.text import Text

from tx.cli import console
from tx.cli.console import argument, option
from tx.cli.plot import HTML, PageOutput, save
from tx.errors import UsageError, did_you_mean
from tx.package import find_package
from tx.text.lines import read_lines

if TYPE_CHECKING:
    from tx.inspect.neurons import Activations, Array, Unit

RANKED, SHOWN = 20_000, 1500  # characters to rank units by, and to show


def neurons(
    file: Annotated[str, argument("FILE", "Text file; - is stdin.")],
    model: console.Model = None,
    unit: Annotated[
        str | None, option("Colour the text by unit N of LAYER, both counted from 1.", metavar="LAYER:N")
    ] = None,
    track: Annotated[
        str | None,
        option("Colour the text by the unit that correlates best with PROPERTY.", metavar="PROPERTY"),
    ] = None,
    top: Annotated[int, option("Number of units to list for each property.", min=1)] = 1,
    length: Annotated[
        int | None,
        option(f"Characters to show (default {SHOWN:,}), or to rank units by (default {RANKED:,}).", min=1),
    ] = None,
    output: PageOutput = None,
    as_json: console.Json = False,
    quiet: console.Quiet = False,
) -> None:
    """Find hidden units that correlate with a property of the text, and colour a text by the activations of one.

    ```
    $ tx plot neurons -m bard shakespeare.txt
    $ tx plot neurons -m bard shakespeare.txt --unit 2:17
    $ tx plot neurons -m bard shakespeare.txt --track "position in line" -o line.png
    $ tx plot neurons -m bard shakespeare.txt --top 3 --json
    ```

    Without --unit or --track it lists, for each property, the unit that correlates best, by AUC (1: a threshold on
    the unit separates the characters perfectly; 0.5: chance) or by rank correlation (rho). A minus sign marks a
    unit that is low where the property holds. --track chooses the unit from the first 20,000 characters.

    Colours show the activation after each character, from blue (2nd percentile) to red (98th percentile). The units
    are the hidden units of a recurrent model (for an LSTM, the tanh of its cell state), and those of the feed-forward
    layers of a Transformer.
    """
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    from tx.decode.generate import open_language_model
    from tx.inspect.neurons import PROPERTIES, compute_activations, parse_unit, rank_units

    chosen = parse_unit(unit) if unit else None
    if track is not None and track not in PROPERTIES:
        hint = did_you_mean(track, PROPERTIES) or f"the properties are {', '.join(PROPERTIES)}"
        raise UsageError(f"there is no property '{track}'", hint)
    if chosen and track is not None:
        raise UsageError("--unit and --track both choose a unit", "omit one of them")
    if output and not (chosen or track):
        raise UsageError("no unit is chosen to colour the text by", "add --unit LAYER:N or --track PROPERTY")
    text = "\n".join([*read_lines(file), ""])
    opened = open_language_model(find_package(model, "language-model"))
    shown = length or SHOWN
    if chosen:
        activations = compute_activations(opened, text[:shown])
        _show(activations, chosen, f"unit {chosen}", shown, output, as_json)
        return
    n_ranked = RANKED if track is not None else length or RANKED
    activations = compute_activations(opened, text[: max(n_ranked, length or 0)])
    scores, rare = rank_units(activations.head(n_ranked), top)
    if track is not None:
        best = next((score for score in scores if score.property == track), None)
        if best is None:
            message = f"the text has too few characters to rank units by '{track}'"
            raise UsageError(message, "give a longer text")
        caption = (
            f"unit {best.unit}, {track}: {best.measure} {best.value:.3f}{', inverted' * (best.sign < 0)}"
        )
        _show(activations, best.unit, caption, shown, output, as_json)
    elif as_json:
        console.print_json([vars(score) | {"unit": str(score.unit)} for score in scores])
    else:
        rows = [(s.property, s.unit, s.measure, f"{'-' * (s.sign < 0)}{s.value:.3f}") for s in scores]
        console.print_table(["property", "unit", "measure", "value"], rows)
    if rare and track is None:
        n = len(activations.text)
        console.note(f"too rare in {n:,} characters to be ranked: {', '.join(rare)}", "dim")


def _show(
    activations: "Activations", unit: "Unit", caption: str, shown: int, output: Path | None, as_json: bool
) -> None:
    """Show the beginning of the text in the colours of a unit."""
    from tx.plots.neurons import LEGEND, color_scale, draw_text, write_html

    raw = activations.of(unit)
    text, values = activations.text[:shown], color_scale(raw)[:shown]
    if as_json:
        rounded = [round(value, 6) for value in raw[:shown].tolist()]
        console.print_json({"unit": str(unit), "text": text, "values": rounded})
    elif output is None:
        console.print_lines(_colored(text, values))
        legend = LEGEND if console.stdout().color_system else "= lowest, - low, + high, # highest"
        console.note(f"{caption}; {legend}", "dim")
    elif output.suffix.lower() == HTML:
        write_html(text, values, caption, output)
        console.note(f"wrote {output}")
    else:
        save(draw_text(text, values, caption), output)


def _colored(text: str, values: "Array") -> Iterator[str | Text]:
    """The lines of the text in colours, or, where stdout shows none, with a line of marks under each."""
    from tx.plots.color import mark, rgb
    from tx.plots.neurons import ink, lines_of

    has_color = console.stdout().color_system is not None
    for line in lines_of(text, values, console.terminal_width()):
        if has_color:
            yield Text.assemble(*((c, "{} on rgb({},{},{})".format(ink(v), *rgb(v))) for c, v in line))
        else:
            yield "".join(character for character, _ in line).rstrip()
            yield "".join(mark(value) * cell_len(character) for character, value in line).rstrip()
