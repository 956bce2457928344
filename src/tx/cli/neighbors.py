"""`tx neighbors`: the nearest neighbours of a word."""

from typing import Annotated

from tx.cli import console, vector_query
from tx.cli.console import argument
from tx.errors import UsageError

COMMAND_CLASS = vector_query.ExpressionCommand


def neighbors(
    word: Annotated[
        list[str] | None, argument("WORD", "A word; by default each line of stdin is one.")
    ] = None,
    model: vector_query.Model = None,
    top: vector_query.Top = 10,
    restrict: vector_query.Restrict = 0,
    side: vector_query.Side = None,
    as_json: console.Json = False,
    quiet: console.Quiet = False,
) -> None:
    """Find the nearest neighbours of a word, by the cosine similarity of the vectors.

    ```
    $ tx neighbors king
    $ tx neighbors king --top 1 --json | jq -r '.answers[0].word'
    $ tx neighbors --top 3 < words.txt
    ```

    With the name of any other tx model, its embeddings are searched: `tx neighbors Haus -m de-en`.
    """
    if word and len(word) > 1:
        raise UsageError(
            f"expected one word, got {len(word)}: {' '.join(word)}",
            "give several words on stdin, one on each line; for sums of words there is tx analogy",
        )
    from tx.vectors import open_vectors
    from tx.vectors.expression import Term

    terms = [Term(word[0])] if word else []
    vector_query.print_answers(
        open_vectors(model, side), terms, lambda line: [Term(line.strip())], top, "add", restrict, as_json
    )
