"""`tx neighbors`: the words whose vectors point the same way."""

from typing import Annotated

import typer

from tx.cli import console, vector_query
from tx.errors import UsageError

COMMAND_CLASS = vector_query.WithMinus


def neighbors(
    word: Annotated[
        list[str] | None, typer.Argument(metavar="WORD", help="A word; without one, a line of stdin each.")
    ] = None,
    model: vector_query.Model = None,
    top: vector_query.Top = 10,
    restrict: vector_query.Restrict = 0,
    side: vector_query.Side = None,
    as_json: console.Json = False,
    quiet: console.Quiet = False,
) -> None:
    """Find the words nearest to a word, by the cosine of their vectors.

    ```
    $ tx neighbors king
    $ tx neighbors king --top 1 --json | jq -r '.answers[0].word'
    $ tx neighbors --top 3 < words.txt
    ```

    With the name of any other tx model, its embeddings are asked: `tx neighbors Haus -m de-en`.
    """
    console.set_quiet(quiet)
    if word and len(word) > 1:
        raise UsageError(
            f"one word at a time, not {len(word)}: {' '.join(word)}",
            "several words come one a line from stdin; tx analogy takes sums of words",
        )
    from tx.vectors import open_vectors
    from tx.vectors.expression import Term

    asker = vector_query.Asker(open_vectors(model, side), top, restrict=restrict, as_json=as_json)
    if word:
        asker.one([Term(1.0, word[0])])
    else:
        asker.pipe(lambda line: [Term(1.0, line.strip())])
