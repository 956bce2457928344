"""`tx plot positions`: the sines and cosines that tell a Transformer where a word stands."""

import shutil
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from tx.cli import console
from tx.cli.plot import Output, save
from tx.errors import UsageError

if TYPE_CHECKING:
    from tx.plots.positions import Array

_BARS = 48  # cells of the terminal for similarities of 1, in all layouts together


def positions(
    d_model: Annotated[
        int, typer.Option(metavar="N", min=2, help="The width of the model, an even number.")
    ] = 512,
    length: Annotated[int, typer.Option(metavar="N", min=2, max=10_000, help="Positions from 0 on.")] = 20,
    layout: Annotated[
        str | None, typer.Option(metavar="interleaved|concatenated", help="One of the two in use, not both.")
    ] = None,
    output: Output = None,
    as_json: console.Json = False,
    quiet: console.Quiet = False,
) -> None:
    """Draw the sinusoidal encoding of positions in both layouts, and how alike positions are by their distance.

    ```
    $ tx plot positions --d-model 512 --length 20
    $ tx plot positions --d-model 64 --length 100 -o positions.png
    $ tx plot positions --length 50 --layout interleaved --json | jq .layouts.interleaved.similarity
    ```

    Each row is a position, each column a dimension: blue -1, white 0, red +1. Low dimensions turn fast, high ones
    slowly, as the digits of a number do. In the terminal columns are left out where there are more than fit.
    """
    console.set_quiet(quiet)
    if output:
        from tx.plots.figure import check_path

        check_path(output)
    from tx.plots.positions import LAYOUTS, draw_positions, encodings, similarity

    if layout is not None and layout not in LAYOUTS:
        raise UsageError(f"there is no layout '{layout}'", f"there are: {', '.join(LAYOUTS)}")
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
            _print_encoding(table, name)
        _print_similarities({name: similarity(table) for name, table in tables.items()})


def _print_encoding(table: "Array", name: str) -> None:
    from tx.plots.color import LIMIT, mark, rgb
    from tx.plots.positions import LAYOUTS

    stdout = console.stdout()
    length, d_model = table.shape
    left = len(str(length - 1))
    width = (shutil.get_terminal_size().columns if sys.stdout.isatty() else 100) - left - 1
    columns = _fitting(d_model, width, name == "interleaved")
    stdout.print(f"{name}: {LAYOUTS[name]}", markup=False, style="bold")
    for position, row in enumerate(table):
        shown = Text(f"{position:{left}} ")
        for value in (LIMIT * float(row[column]) for column in columns):
            if stdout.color_system is not None:
                shown.append(" ", "on rgb({},{},{})".format(*rgb(value)))
            else:
                shown.append(mark(value))
        stdout.print(shown, overflow="ignore", crop=False, soft_wrap=True)
    stdout.print()


def _fitting(d_model: int, width: int, in_pairs: bool) -> list[int]:
    """Dimensions spread evenly over all, as many as fit; in pairs, so that sine and cosine keep alternating."""
    step = 2 if in_pairs else 1
    n = min(width, d_model) // step
    return [i * (d_model // step) // n * step + one for i in range(n) for one in range(step)]


def _print_similarities(curves: "Mapping[str, Array]") -> None:
    stdout, room = console.stdout(), _BARS // len(curves)
    heads = "".join(f"  {name:{room + 7}}" for name in curves)
    stdout.print(f"distance{heads}".rstrip() + ": similarity", markup=False, style="bold")
    for distance, values in enumerate(zip(*curves.values(), strict=True)):
        bars = (f"  {value:6.3f} {'█' * round(room * max(float(value), 0)):{room}}" for value in values)
        stdout.print(f"{distance:8}{''.join(bars)}".rstrip(), markup=False, soft_wrap=True)
