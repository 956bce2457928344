"""`tx plot positions`: the sinusoidal positional encodings of a Transformer."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, Literal

from rich.text import Text

from tx.cli import console
from tx.cli.console import option
from tx.cli.plot import Output, save

if TYPE_CHECKING:
    from tx.inspect.positions import Array

_BARS = 48  # columns of the terminal for a similarity of 1, in all layouts together


def positions(
    d_model: Annotated[int, option("Width of the model, an even number.", min=2)] = 512,
    length: Annotated[int, option("Number of positions.", min=2, max=10000)] = 20,
    layout: Annotated[
        Literal["interleaved", "concatenated"] | None, option("Layout of sines and cosines; by default both.")
    ] = None,
    output: Output = None,
    as_json: console.Json = False,
    quiet: console.Quiet = False,
) -> None:
    """Plot sinusoidal positional encodings, and the similarity of positions as a function of their distance.

    ```
    $ tx plot positions --d-model 512 --length 20
    $ tx plot positions --d-model 64 --length 100 -o positions.png
    $ tx plot positions --length 50 --layout interleaved --json | jq .layouts.interleaved.similarity
    ```

    Sines and cosines are interleaved or concatenated. Rows are positions, columns are dimensions: blue -1, white 0,
    red +1. The first dimensions have the highest frequencies. A terminal that is too narrow for all dimensions shows
    a subset, evenly spaced.
    """
    from tx.inspect.positions import encodings, similarity
    from tx.plots.positions import draw_positions

    tables = {name: table for name, table in encodings(length, d_model).items() if layout in (None, name)}
    if output:
        save(draw_positions(tables), output)
    elif as_json:
        layouts = {
            name: {"encoding": table.round(6).tolist(), "similarity": similarity(table).round(6).tolist()}
            for name, table in tables.items()
        }
        console.print_json({"d_model": d_model, "length": length, "layouts": layouts})
    else:
        for name, table in tables.items():
            console.print_lines(_encoding(table, name))
        console.print_lines(_similarities({name: similarity(table) for name, table in tables.items()}))


def _encoding(table: "Array", name: str) -> Iterator[Text]:
    from tx.inspect.positions import LAYOUTS
    from tx.plots.color import LIMIT, mark, rgb

    length, d_model = table.shape
    left = len(str(length - 1))
    columns = spread(d_model, console.terminal_width() - left - 1, name == "interleaved")
    yield Text(f"{name}: {LAYOUTS[name]}", "bold")
    for position, row in enumerate(table):
        yield Text(f"{position:{left}} ") + console.cells((LIMIT * float(row[i]) for i in columns), rgb, mark)
    yield Text()


def spread(d_model: int, width: int, in_pairs: bool) -> list[int]:
    """Up to `width` dimensions, evenly spaced; in pairs, so that sine and cosine keep alternating."""
    step = 2 if in_pairs else 1
    n = min(width, d_model) // step
    return [i * (d_model // step) // n * step + offset for i in range(n) for offset in range(step)]


def _similarities(curves: "Mapping[str, Array]") -> Iterator[Text]:
    room = _BARS // len(curves)
    heads = "".join(f"  {name:{room + 7}}" for name in curves)
    yield Text(f"distance{heads}".rstrip() + ": similarity", "bold")
    for distance, values in enumerate(zip(*curves.values(), strict=True)):
        bars = (f"  {value:6.3f} {'█' * round(room * max(float(value), 0)):{room}}" for value in values)
        yield Text(f"{distance:8}{''.join(bars)}".rstrip())
