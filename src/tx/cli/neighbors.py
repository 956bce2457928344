"""`tx neighbors`: the words whose vectors point the same way."""

from typing import Annotated

import typer

from tx.cli import console, nearest
from tx.cli.app import USE, app


@app.command(rich_help_panel=USE, cls=nearest.WithMinus)
def neighbors(
    word: Annotated[
        str | None, typer.Argument(metavar="WORD", help="A word; without one, a line of stdin each.")
    ] = None,
    model: nearest.Model = None,
    top: nearest.Top = 10,
    restrict: nearest.Restrict = 0,
    side: nearest.Side = None,
    as_json: console.Json = False,
    quiet: nearest.Quiet = False,
) -> None:
    """Find the words nearest to a word, by the cosine of their vectors.

    ```
    $ tx neighbors king
    $ tx neighbors king --top 1 --json | jq -r '.answers[0].word'
    $ tx neighbors --top 3 < words.txt
    ```

    With the name of any other tx model, its embeddings are asked: `tx neighbors Haus --model de-en`.
    """
    console.set_quiet(quiet)
    from tx.vectors import open_vectors
    from tx.vectors.expression import Term

    asker = nearest.Asker(open_vectors(model, side), top, restrict=restrict, as_json=as_json)
    if word is not None:
        asker.one([Term(1.0, word)])
    else:
        asker.pipe(lambda line: [Term(1.0, line.strip())])
