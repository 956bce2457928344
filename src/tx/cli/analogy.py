"""`tx analogy`: the words nearest to the result of vector arithmetic."""

from typing import Annotated

from tx.cli import console, vector_query
from tx.cli.console import argument, option
from tx.errors import UsageError

COMMAND_CLASS = vector_query.ExpressionCommand


def analogy(
    expression: Annotated[
        list[str] | None, argument("EXPRESSION", "An expression; by default each line of stdin is one.")
    ] = None,
    positive: Annotated[
        list[str] | None, option("A word to add, exactly as given; repeatable.", metavar="WORD")
    ] = None,
    negative: Annotated[
        list[str] | None, option("A word to subtract, exactly as given; repeatable.", metavar="WORD")
    ] = None,
    model: vector_query.Model = None,
    method: Annotated[
        vector_query.Method,
        option("Add vectors (3CosAdd), or multiply cosines (3CosMul).", metavar="add|mul"),
    ] = "add",
    top: vector_query.Top = 10,
    restrict: vector_query.Restrict = 0,
    side: vector_query.Side = None,
    as_json: console.Json = False,
    quiet: console.Quiet = False,
) -> None:
    """Find the words nearest to a sum of word vectors, as in king-man+woman = queen.

    ```
    $ tx analogy king-man+woman
    $ tx analogy paris - france + italy -m glove -n 3 --method mul
    $ tx analogy "2*ice-cream - 'mother-in-law'"
    $ tx analogy -- -man+woman+king
    $ tx analogy --positive king --positive woman --negative man
    $ tx analogy --top 1 < expressions.txt | cut -f 1
    ```

    A hyphen with a space next to it is a minus; without spaces, each term is the longest matching word of the
    vocabulary. Put a word that contains an operator in quotes; `2*king` multiplies the vector of king by 2. The words
    of the expression are excluded from the results. The scores are cosines, or with --method mul ratios of products
    of cosines.
    """
    from tx.vectors import open_vectors
    from tx.vectors.expression import Term, parse

    terms = [*(Term(word, 1.0) for word in positive or []), *(Term(word, -1.0) for word in negative or [])]
    if terms and expression:
        raise UsageError(
            "an expression cannot be combined with --positive or --negative", "give only one of them"
        )
    vectors = open_vectors(model, side)
    if expression:
        terms = parse(" ".join(expression), vectors)
    vector_query.print_answers(
        vectors, terms, lambda line: parse(line, vectors), top, method, restrict, as_json
    )
