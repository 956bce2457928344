"""`tx plot map`: words on a map in two dimensions."""

import shutil
import sys
from typing import Annotated, Literal

from tx.cli import console
from tx.cli.console import argument, option
from tx.cli.plot import Output, save
from tx.cli.vector_query import Side
from tx.text.lines import LineWriter


def map_(
    words: Annotated[
        list[str] | None, argument("WORD", "Words to show; by default the most frequent.")
    ] = None,
    model: console.Model = None,
    output: Output = None,
    top: Annotated[int, option("Number of most frequent words to show if no WORD is given.", min=3)] = 100,
    method: Annotated[Literal["pca", "tsne"], option("Projection to two dimensions.")] = "pca",
    seed: Annotated[int, option("Random seed for t-SNE.", min=0, max=2**32 - 1)] = 1,
    side: Side = None,
    as_json: console.Json = False,
    quiet: console.Quiet = False,
) -> None:
    """Draw a map of words, with words of similar vectors near each other.

    ```
    $ tx plot map -o map.png --top 150
    $ tx plot map red green blue one two three paris rome berlin
    $ tx plot map --method tsne --top 300 -o map.svg
    ```

    A figure shows every point, and as many labels as fit; the terminal shows the words on a coarse grid.
    t-SNE needs scikit-learn: pip install 'tx[tsne]'.
    """
    from tx.inspect.vectors import frequent_rows, map_words
    from tx.plots.wordmap import draw_map, text_map
    from tx.vectors import open_vectors

    vectors = open_vectors(model, side)
    rows = list(dict.fromkeys(map(vectors.row, words))) if words else frequent_rows(vectors, top)
    word_map = map_words(vectors, rows, method, seed)
    if as_json:
        coordinates = zip(word_map.words, word_map.points.tolist(), strict=True)
        points = [{"word": word, "x": x, "y": y} for word, (x, y) in coordinates]
        console.print_json({"model": vectors.name, "note": word_map.note, "points": points})
        return
    if output:
        figure, n_omitted = draw_map(word_map, vectors.name)
        save(figure, output)
    else:
        columns, lines = shutil.get_terminal_size((100, 32)) if sys.stdout.isatty() else (100, 32)
        drawn, n_omitted = text_map(word_map, columns, max(lines - 3, 10))
        with LineWriter("-", exact=True) as writer:
            writer.write(drawn)
        console.note(f"{vectors.name}, {word_map.note}", "dim")
    if n_omitted:
        hint = "try a smaller --top or fewer words" if output else "--output FILE.png has more room"
        console.note(f"no room for the labels of {n_omitted} of {len(word_map.words)} words; {hint}")
