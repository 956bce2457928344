"""`tx attention`: the attention weights of a translation model, as a shaded grid, a figure, or an HTML page."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Literal

from rich.cells import cell_len
from rich.text import Text

from tx.cli import console
from tx.cli.console import option
from tx.cli.pipe import Sentence, one_line
from tx.cli.plot import HTML, PageOutput, save
from tx.errors import UsageError
from tx.files import atomic_file
from tx.package import find_package

if TYPE_CHECKING:
    from tx.inspect.attention import AttentionMatrix

CELL = 2  # columns of the terminal for each weight


def attention(
    source: Sentence = None,
    model: console.Model = None,
    tgt: Annotated[
        str | None,
        option(
            "Show the attention for TRANSLATION (forced decoding) instead of searching.",
            metavar="TRANSLATION",
        ),
    ] = None,
    kind: Annotated[
        Literal["cross", "encoder", "decoder"],
        option("Cross-attention, or self-attention of encoder or decoder."),
    ] = "cross",
    layer: Annotated[int | None, option("Layer, from 1; by default the mean of all layers.")] = None,
    head: Annotated[int | None, option("Head, from 1; by default the mean of all heads.")] = None,
    rollout: Annotated[bool, option("Show attention rollout: contributions through all layers.")] = False,
    words: Annotated[bool, option("Merge the pieces of each word.")] = False,
    output: PageOutput = None,
    as_json: console.Json = False,
    device: console.Device = "auto",
    quiet: console.Quiet = False,
) -> None:
    """Show the attention weights of a translation model, as a grid, a figure or an HTML page.

    ```
    $ tx attention -m de-en "Der Mann hat gestern das Haus gesehen."
    $ tx attention -m de-en "Ein Hund läuft." --tgt "A dog runs." --layer 2 --head 1
    $ tx attention -m de-en "Ein Hund läuft." --kind encoder --rollout
    $ head -n 1 test.de | tx attention -m de-en
    $ tx attention -m de-en "Ein Hund läuft." --words -o dog.png
    $ tx attention -m de-en "Ein Hund läuft." -o dog.html
    ```

    With cross-attention each row is a piece of the translation, and each column is a piece of the source. A row shows
    the attention weights of the step that generated its piece. With -o FILE.html, a self-contained HTML page shows
    every layer and head, and the most probable pieces of each step. With --words the weights are summed over the
    pieces of a source word and averaged over those of a target word.
    """
    if rollout and (layer or head):
        raise UsageError("--rollout combines all layers and heads", "omit --layer and --head")
    if as_json and output:
        raise UsageError("--json and -o exclude each other", "omit one of them; --json goes to stdout")
    path = find_package(model, "translation")
    source = one_line(source)
    from tx.decode.align import require_cross_attention
    from tx.decode.translate import SearchOptions, open_translator
    from tx.inspect.attention import compute_attention, select_attention
    from tx.plots.attention import attention_page, draw_attention

    translator, decode = open_translator(path, device)
    require_cross_attention(translator.model)
    maps = compute_attention(translator, source, tgt, SearchOptions(decode))
    matrix = select_attention(maps, kind, layer, head, rollout, words)
    if output and output.suffix.lower() == HTML:
        with atomic_file(output, "w") as file:
            file.write(attention_page(maps, path.name))
        console.note(f"wrote {output}")
    elif output:
        save(draw_attention(matrix, matrix.title), output)
    elif as_json:
        rows = [[round(float(value), 6) for value in row] for row in matrix.values]
        document = {"source": source, "translation": maps.translation, "kind": kind, "title": matrix.title}
        console.print_json(document | {"rows": matrix.rows, "columns": matrix.columns, "weights": rows})
    else:
        print_grid(matrix)
        console.note(f"{matrix.title}; translation: {maps.translation}", "dim")


def print_grid(matrix: "AttentionMatrix") -> None:
    """Print a shaded grid, the labels of the columns written downwards; a wide grid is cut into bands."""
    width = console.terminal_width(160)
    left = min(max(map(cell_len, matrix.rows)), width // 2)
    room = max((width - left - 1) // CELL, 1)
    for start in range(0, len(matrix.columns), room):
        print("\n" * (start > 0), end="")  # noqa: T201
        console.print_lines(_band(matrix, left, slice(start, start + room)))


def _band(matrix: "AttentionMatrix", left: int, band: slice) -> Iterator[str | Text]:
    from tx.plots.color import block, shade

    names = [_letters(name) for name in matrix.columns[band]]
    height = max(map(len, names))
    for line in range(height):
        letters = [name[line - height + len(name)] if line >= height - len(name) else "" for name in names]
        row = "".join(letter + " " * (CELL - cell_len(letter)) for letter in letters)
        yield f"{'':{left}} {row}".rstrip()
    for name, weights in zip(matrix.rows, matrix.values[:, band], strict=True):
        cells = console.cells(map(float, weights), shade, block, CELL)
        if not cells.spans:  # shown without colours
            cells.rstrip()
        yield Text(" " * (left - cell_len(name)) + name + " ") + cells


def _letters(name: str) -> list[str]:
    """The letters of a name, each with its combining characters."""
    letters: list[str] = []
    for character in name:
        joined = letters and not cell_len(character)
        letters.append(letters.pop() + character if joined else character)
    return letters
