"""`tx plot skipgram`: the pairs that word2vec learns from, as a table."""

from typing import Annotated

from tx.cli import console
from tx.cli.console import argument, option
from tx.errors import TxError


def skipgram(
    text: Annotated[list[str], argument("TEXT", "Words, separated by spaces.")],
    window: Annotated[int, option("Size of the context window on each side.", min=1)] = 5,
    negative: Annotated[int, option("Number of negative samples for each pair.", min=0)] = 2,
    dynamic: Annotated[
        bool, option("Draw the window size of each word from 1 to --window, as in training.")
    ] = False,
    seed: Annotated[int, option("Random seed.", min=0)] = 1,
    model: console.Model = None,
    as_json: console.Json = False,
) -> None:
    """Show the training pairs of skip-gram: each word pair with label 1, then its negative samples with label 0.

    ```
    $ tx plot skipgram "thou shalt not make a machine" --window 2
    $ tx plot skipgram "thou shalt not make a machine" --negative 5 --seed 3 -m vectors
    $ tx plot skipgram "a b c d" --window 1 --negative 0 | cut -f 1,2
    ```

    Each (word, context) pair has label 1, and its negative samples have label 0. Negative samples are drawn with
    probability proportional to frequency^0.75, from the text itself or from the vocabulary of word vectors that have
    word counts. The subsampling of frequent words in training is not shown.
    """
    from tx.word2vec.skipgram_pairs import skipgram_pairs

    vocabulary = None
    if model is not None:
        from tx.vectors import open_vectors

        vectors = open_vectors(model)
        if vectors.counts is None:
            raise TxError(f"{vectors.name} has no word counts", "omit --model")
        vocabulary = vectors.words, vectors.counts
    pairs = skipgram_pairs(" ".join(text).split(), window, negative, seed, vocabulary, dynamic)
    if as_json:
        console.print_json([pair._asdict() for pair in pairs])
    else:
        console.print_table(["input", "output", "label"], pairs)
