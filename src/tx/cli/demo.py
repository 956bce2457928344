"""`tx demo`: an example corpus from a small grammar, to train on without a download."""

import shlex
from pathlib import Path
from typing import Annotated

from tx.cli import console
from tx.cli.console import option
from tx.demo.corpus import generate, make_corpus, write_corpus
from tx.errors import UsageError


def demo(
    output: Annotated[Path | None, option("Write the corpus to FOLDER.", "-o", metavar="FOLDER")] = None,
    show: Annotated[int | None, option("Print N sentence pairs, tab-separated, instead.", min=0)] = None,
    seed: Annotated[int, option("Random seed; the same seed gives the same corpus on every machine.")] = 1,
    overwrite: Annotated[bool, option("Replace a corpus in FOLDER.")] = False,
    quiet: console.Quiet = False,
) -> None:
    """Write an English-German example corpus, with a training, a validation and a test set.

    ```
    tx demo --show 10                       # print ten pairs
    tx demo -o demo                         # write demo/train.en, demo/train.de, ...
    tx train transformer-xs demo/train.en demo/train.de --valid demo/valid.en --valid demo/valid.de -o en-de
    tx translate -m en-de < demo/test.en | tx score demo/test.de
    ```

    The sentences come from a small grammar, so nothing is downloaded. Every test sentence contains a combination of
    words that does not occur in the training set: a verb and its object, or an adjective and its noun.
    """
    if (output is None) == (show is None):
        raise UsageError("give either -o FOLDER or --show N", "tx demo -o demo, or tx demo --show 10")
    if show is not None:
        print("".join(f"{pair.english}\t{pair.german}\n" for pair in generate(show, seed)), end="")  # noqa: T201
    if output is not None:
        parts = make_corpus(seed)
        write_corpus(parts, output, overwrite)
        sizes = ", ".join(f"{name} {len(pairs):,}" for name, pairs in parts._asdict().items())
        console.note(f"wrote {output}: {sizes} pairs of English (.en) and German (.de)")
        text = [str(output / name) for name in ("train.en", "train.de", "valid.en", "valid.de")]
        arguments = "{} {} --valid {} --valid {}".format(*map(shlex.quote, text))
        console.note(f"next: tx train transformer-xs {arguments} -o en-de")
