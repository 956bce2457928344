"""`tx explain`: one sentence on its way through a translator."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

from tx.cli import console
from tx.cli.console import option
from tx.cli.pipe import Sentence, one_line
from tx.package import find_package

if TYPE_CHECKING:
    from tx.inspect.explain import Explanation, StrongestAttention


def explain(
    source: Sentence = None,
    model: console.Model = None,
    steps: Annotated[int, option("Number of decoding steps to show.", min=1)] = 5,
    top: Annotated[
        int, option("Number of most probable pieces to show at each step.", metavar="K", min=1)
    ] = 5,
    samples: Annotated[int, option("Number of translations to sample.", min=0)] = 3,
    seed: Annotated[int, option("Random seed.", min=0)] = 1,
    as_json: console.Json = False,
    device: console.Device = "auto",
    quiet: console.Quiet = False,
) -> None:
    """Show how a translator processes one sentence, step by step.

    ```
    $ tx explain -m de-en "Ein Hund läuft durch den Schnee."
    $ tx explain -m de-en "Ein Hund läuft." --steps 3 --top 3 --samples 0
    $ head -n 1 test.de | tx explain -m de-en
    $ tx explain -m de-en "Ein Hund läuft." --json | jq .choices
    ```

    The report shows the pieces of the source with their ids, the strongest attention of each layer, the first
    decoding steps with their most probable pieces, and the results of greedy search, beam search and sampling.

    The strongest attention is the piece with the largest weight, as the mean over the heads of a layer. The steps
    are those of the translation that `tx translate` gives. Scores are log-probabilities divided by length.
    """
    path = find_package(model, "translation")
    source = one_line(source)
    from tx.decode.translate import open_translator
    from tx.inspect import explain as inspection

    translator, decode = open_translator(path, device)
    found = inspection.explain(translator, decode, source, top, samples, seed)
    if as_json:
        console.print_json(found.as_json(steps))
        return
    layers = [name for name in found.strongest if name.startswith("encoder")]
    _title("Source pieces" + " and their strongest attention" * bool(layers))
    rows = [
        (n, piece, id, *(_shown(found.strongest[layer][n]) for layer in layers))
        for n, (piece, id) in enumerate(zip(found.maps.src.pieces, found.src_ids, strict=True))
    ]
    console.print_table(["position", "piece", "id", *layers], rows)
    _title("\nFirst decoding steps")
    console.print_lines(_steps(found, steps))
    _title("\nResults of each search")
    results = [(r.search, f"{r.logprob:.2f}", f"{r.score:.3f}", r.text) for r in found.results]
    console.print_table(["search", "log-prob.", "score", "translation"], results)
    if not found.strongest:
        console.note("this model has no attention: its decoder sees the source as a single vector", "dim")


def _title(text: str) -> None:
    console.stdout().print(text, style="bold", markup=False)


def _steps(found: "Explanation", steps: int) -> Iterator[str]:
    maps = found.maps
    for n, predictions in enumerate(maps.predictions[:steps]):
        yield f"step {n + 1}, after {maps.decoder_input.pieces[n]}, generates {maps.tgt.pieces[n]}"
        yield f"  top {len(predictions):<5}  " + "  ".join(
            f"{p.piece} {p.probability:.3f}" for p in predictions
        )
        for kind in ("cross", "decoder"):
            layers = [strongest for name, strongest in found.strongest.items() if name.startswith(kind)]
            if layers:
                yield f"  {kind:9}  " + "  ".join(_shown(strongest[n]) for strongest in layers)


def _shown(strongest: "StrongestAttention") -> str:
    return f"{strongest.piece} {strongest.weight:.2f}"
