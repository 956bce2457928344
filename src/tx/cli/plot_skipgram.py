"""`tx plot skipgram`: the pairs that word2vec learns from, as a table."""

from typing import TYPE_CHECKING, Annotated

import typer

from tx.cli import console
from tx.errors import TxError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from tx.vectors.words import Words


def skipgram(
    text: Annotated[list[str], typer.Argument(metavar="TEXT", help="Words, separated by spaces.")],
    window: Annotated[int, typer.Option(metavar="N", min=1, help="How far a neighbour may be.")] = 5,
    negative: Annotated[int, typer.Option(metavar="N", min=0, help="Random words for each neighbour.")] = 2,
    dynamic: Annotated[
        bool, typer.Option("--dynamic", help="Draw each word's window from 1 to --window, as training does.")
    ] = False,
    seed: Annotated[int, typer.Option(metavar="N", min=0, help="Seeds the random words.")] = 1,
    model: console.Model = None,
    as_json: console.Json = False,
) -> None:
    """Show what skip-gram training is fed: each pair of neighbours with the label 1, then random words with 0.

    ```
    $ tx plot skipgram "thou shalt not make a machine" --window 2
    $ tx plot skipgram "thou shalt not make a machine" --negative 5 --seed 3 -m vectors
    $ tx plot skipgram "a b c d" --window 1 --negative 0 | cut -f 1,2
    ```

    The random words are drawn by frequency to the power of 0.75: from the text itself, or from the vocabulary of
    a model that knows its counts. Training also leaves out a share of the most frequent words, which is not done
    here.
    """
    from tx.plots.skipgram import skipgram_examples

    noise = _noise(model) if model is not None else None
    words = " ".join(text).split()
    examples = skipgram_examples(words, window, negative, seed, noise, dynamic)
    if as_json:
        console.print_json([{"input": e.input, "output": e.output, "label": e.label} for e in examples])
    else:
        console.print_table(["input", "output", "label"], [(e.input, e.output, e.label) for e in examples])


def _noise(model: str) -> "tuple[Words, NDArray[np.int64]]":
    from tx.vectors import open_vectors

    vectors = open_vectors(model)
    if vectors.counts is None:
        raise TxError(f"{vectors.name} does not know how often its words occur", "leave --model away")
    return vectors.words, vectors.counts
