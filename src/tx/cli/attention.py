"""`tx attention`: where a translator looks, as a shaded grid, a picture, or a page to explore."""

import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.cells import cell_len
from rich.text import Text

from tx.cli import console
from tx.cli.pipe import one_line
from tx.cli.plot import save
from tx.errors import UsageError
from tx.files import atomic_file
from tx.package import find_package

if TYPE_CHECKING:
    from tx.inspect.attention import Table

HTML, CELL = ".html", 2  # cells of the terminal for each weight


def attention(
    source: Annotated[
        str | None,
        typer.Argument(metavar="SOURCE", help="The sentence to translate; without it, a line of stdin."),
    ] = None,
    model: console.Model = None,
    tgt: Annotated[
        str | None, typer.Option(metavar="TEXT", help="Force this translation, and look how it is read.")
    ] = None,
    kind: Annotated[
        str,
        typer.Option(
            metavar="cross|encoder|decoder",
            help="From the translation to the source, within the source, or within the translation.",
        ),
    ] = "cross",
    layer: Annotated[int | None, typer.Option(metavar="N", help="One layer, not the mean of all.")] = None,
    head: Annotated[int | None, typer.Option(metavar="N", help="One head, not the mean of all.")] = None,
    rollout: Annotated[
        bool, typer.Option("--rollout", help="What the last layer is made of, through all layers.")
    ] = False,
    words: Annotated[bool, typer.Option("--words", help="Show words instead of their pieces.")] = False,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", metavar="FILE", help="Write a picture, .png or .svg, or a page, .html."
        ),
    ] = None,
    as_json: console.Json = False,
    device: console.Device = "auto",
    quiet: console.Quiet = False,
) -> None:
    """Show where a translator looks: each row is a piece of the translation, each column one of the source.

    ```
    $ tx attention -m de-en "Der Mann hat gestern das Haus gesehen."
    $ tx attention -m de-en "Ein Hund läuft." --tgt "A dog runs." --layer 2 --head 1
    $ tx attention -m de-en "Ein Hund läuft." --kind encoder --rollout
    $ head -n 1 test.de | tx attention -m de-en
    $ tx attention -m de-en "Ein Hund läuft." --words -o dog.png
    $ tx attention -m de-en "Ein Hund läuft." -o dog.html
    ```

    The row of a piece is the step that wrote it. A page holds every layer and head, the likeliest pieces of each
    step, and what each word looked at under the mouse; it opens from the file and fetches nothing. Words sum the
    weights of their pieces in the source, and average them in the translation.
    """
    console.set_quiet(quiet)
    if rollout and (layer or head):
        raise UsageError("rollout goes through all layers and heads", "leave --layer and --head away")
    if as_json and output:
        raise UsageError("--json goes to stdout", "leave it or -o away")
    if output:
        from tx.plots.figure import check_path

        check_path(output, HTML)
    path = find_package(model, "translation")
    source = one_line(source)
    from tx.decode.align import require_cross_attention
    from tx.decode.translate import SearchOptions, open_translator
    from tx.inspect.attention import KINDS, choose, page, read

    if kind not in KINDS:
        raise UsageError(f"there is no kind of attention '{kind}'", f"there are: {', '.join(KINDS)}")
    translator, decode = open_translator(path, device)
    require_cross_attention(translator.model)
    reading = read(translator, source, tgt, SearchOptions(decode))
    table = choose(reading, kind, layer, head, rollout, words)
    if output and output.suffix.lower() == HTML:
        with atomic_file(output, "w") as file:
            file.write(page(reading, path.name))
        console.note(f"wrote {output}")
    elif output:
        from tx.plots.attention import draw_attention

        save(draw_attention(table, table.title), output)
    elif as_json:
        rows = [[round(float(value), 6) for value in row] for row in table.values]
        document = {"source": source, "translation": reading.translation, "kind": kind, "title": table.title}
        console.print_json(document | {"rows": table.rows, "columns": table.columns, "weights": rows})
    else:
        print_grid(table)
        console.note(f"{table.title}; {reading.translation}", "dim")


def print_grid(table: "Table") -> None:
    """Print a shaded grid on stdout, the columns' names written downwards; in bands where it is too wide."""
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else 160
    left = min(max(map(cell_len, table.rows)), width // 2)
    room = max((width - left - 1) // CELL, 1)
    for start in range(0, len(table.columns), room):
        if start:
            print()  # noqa: T201
        _print_band(table, left, slice(start, start + room))


def _print_band(table: "Table", left: int, band: slice) -> None:
    from tx.plots.color import block, shade

    stdout = console.stdout()
    names = [_upright(name) for name in table.columns[band]]
    height = max(map(len, names))
    for line in range(height):
        letters = [name[line - height + len(name)] if line >= height - len(name) else "" for name in names]
        row = "".join(letter + " " * (CELL - cell_len(letter)) for letter in letters)
        stdout.print(
            f"{'':{left}} {row}".rstrip(), markup=False, overflow="ignore", crop=False, soft_wrap=True
        )
    for name, weights in zip(table.rows, table.values[:, band], strict=True):
        shown = Text(" " * (left - cell_len(name)) + name + " ")
        for weight in map(float, weights):
            if stdout.color_system is not None:
                shown.append(" " * CELL, "on rgb({},{},{})".format(*shade(weight)))
            else:
                shown.append(block(weight) * CELL)
        if stdout.color_system is None:
            shown.rstrip()
        stdout.print(shown, overflow="ignore", crop=False, soft_wrap=True)


def _upright(name: str) -> list[str]:
    """The letters of a name, one for each line, with what combines with them."""
    letters: list[str] = []
    for character in name:
        if letters and cell_len(character) == 0:
            letters[-1] += character
        else:
            letters.append(character)
    return letters
