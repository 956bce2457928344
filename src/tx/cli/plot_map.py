"""`tx plot map`: words on a map in two dimensions."""

import shutil
import sys
from typing import Annotated

import typer

from tx.cli import console
from tx.cli.plot import Output, save
from tx.cli.vector_query import Side
from tx.errors import UsageError, did_you_mean
from tx.text.lines import LineWriter


def map_(
    words: Annotated[
        list[str] | None, typer.Argument(metavar="WORD", help="The words to show; else the most frequent.")
    ] = None,
    model: console.Model = None,
    output: Output = None,
    top: Annotated[
        int, typer.Option(metavar="N", min=3, help="Without words: the first N that hold a letter.")
    ] = 100,
    method: Annotated[str, typer.Option(metavar="pca|tsne", help="How to come to two dimensions.")] = "pca",
    seed: Annotated[int, typer.Option(metavar="N", min=0, max=2**32 - 1, help="Seeds t-SNE.")] = 1,
    side: Side = None,
    as_json: console.Json = False,
    quiet: console.Quiet = False,
) -> None:
    """Draw a map of words: those with similar vectors stand near each other.

    ```
    $ tx plot map -o map.png --top 150
    $ tx plot map red green blue one two three paris rome berlin
    $ tx plot map --method tsne --top 300 -o map.svg
    ```

    The picture has every point, and the names that fit beside them; the terminal shows a rough grid. t-SNE takes
    scikit-learn: pip install 'tx[tsne]'.
    """
    console.set_quiet(quiet)
    from tx.plots.figure import check_path
    from tx.plots.wordmap import METHODS, chosen_rows, draw_map, frequent_rows, make_map, text_map
    from tx.vectors import open_vectors

    if output:
        check_path(output)
    chosen = next((known for known in METHODS if known == method), None)
    if chosen is None:
        hint = did_you_mean(method, METHODS) or f"the methods are {' and '.join(METHODS)}"
        raise UsageError(f"there is no method '{method}'", hint)
    vectors = open_vectors(model, side)
    rows = chosen_rows(vectors, words) if words else frequent_rows(vectors, top)
    made = make_map(vectors, rows, chosen, seed)
    if as_json:
        points = [
            {"word": word, "x": x, "y": y}
            for word, (x, y) in zip(made.words, made.points.tolist(), strict=True)
        ]
        console.print_json({"model": vectors.name, "note": made.note, "points": points})
        return
    if output:
        figure, left = draw_map(made, vectors.name)
        save(figure, output)
    else:
        columns, lines = shutil.get_terminal_size((100, 32)) if sys.stdout.isatty() else (100, 32)
        drawn, left = text_map(made, columns, max(lines - 3, 10))
        with LineWriter("-", exact=True) as writer:
            writer.write(drawn)
        console.note(f"{vectors.name}, {made.note}", "dim")
    if left:
        more = "a smaller --top or fewer words leave more" if output else "--output FILE.png has more"
        console.note(f"no room for the names of {left} of {len(made.words)} words; {more}")
