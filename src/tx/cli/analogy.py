"""`tx analogy`: the words nearest to a sum of words."""

from typing import Annotated

import typer

from tx.cli import console, vector_query
from tx.errors import UsageError

COMMAND_CLASS = vector_query.WithMinus


def analogy(
    expression: Annotated[
        list[str] | None,
        typer.Argument(metavar="EXPRESSION", help="A sum of words; without one, a line of stdin each."),
    ] = None,
    positive: Annotated[
        list[str] | None, typer.Option(metavar="WORD", help="A word to add, as it stands.")
    ] = None,
    negative: Annotated[list[str] | None, typer.Option(metavar="WORD", help="A word to subtract.")] = None,
    model: vector_query.Model = None,
    method: Annotated[
        str, typer.Option(metavar="add|mul", help="Add vectors (3CosAdd), or multiply cosines (3CosMul).")
    ] = "add",
    top: vector_query.Top = 10,
    restrict: vector_query.Restrict = 0,
    side: vector_query.Side = None,
    as_json: console.Json = False,
    quiet: console.Quiet = False,
) -> None:
    """Find the words nearest to a sum of words: king-man+woman is queen.

    ```
    $ tx analogy king-man+woman
    $ tx analogy paris - france + italy -m glove -n 3 --method mul
    $ tx analogy "2*ice-cream - 'mother-in-law'"
    $ tx analogy -- -man+woman+king
    $ tx analogy --positive king --positive woman --negative man
    $ tx analogy --top 1 < expressions.txt | cut -f 1
    ```

    A hyphen with space beside it is a minus; without, the longest word of the vocabulary wins; quotes protect a
    word. The words asked with are never the answer. Scores are cosines, with `mul` ratios of them.
    """
    console.set_quiet(quiet)
    from tx.vectors import open_vectors
    from tx.vectors.expression import Term, parse
    from tx.vectors.search import METHODS

    chosen = next((known for known in METHODS if known == method), None)
    if chosen is None:
        raise UsageError(f"there is no method '{method}'", f"the methods are {' and '.join(METHODS)}")
    words = [*(Term(1.0, word) for word in positive or []), *(Term(-1.0, word) for word in negative or [])]
    if words and expression:
        raise UsageError("the question is asked twice", "give an expression, or --positive and --negative")
    vectors = open_vectors(model, side)
    asker = vector_query.Asker(vectors, top, chosen, restrict, as_json)

    def terms_of(text: str) -> list[Term]:
        return parse(text, lambda word: vectors.find(word) is not None)

    if words or expression:
        asker.one(words or terms_of(" ".join(expression or [])))
    else:
        asker.pipe(terms_of)
