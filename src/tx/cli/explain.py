"""`tx explain`: one sentence on its way through a translator."""

from typing import TYPE_CHECKING, Annotated

import typer

from tx.cli import console
from tx.cli.pipe import one_line
from tx.package import find_package

if TYPE_CHECKING:
    from tx.inspect.explain import Explanation, Glance


def explain(
    source: Annotated[
        str | None,
        typer.Argument(metavar="SOURCE", help="The sentence to translate; without it, a line of stdin."),
    ] = None,
    model: console.Model = None,
    steps: Annotated[int, typer.Option(metavar="N", min=1, help="Steps of the translation to show.")] = 5,
    top: Annotated[int, typer.Option(metavar="K", min=1, help="Likeliest pieces to show of each step.")] = 5,
    samples: Annotated[int, typer.Option(metavar="N", min=0, help="Translations to draw at random.")] = 3,
    seed: Annotated[int, typer.Option(metavar="N", min=0, help="Another number, other draws.")] = 1,
    as_json: console.Json = False,
    device: console.Device = "auto",
    quiet: console.Quiet = False,
) -> None:
    """Walk one sentence through a translator, step by step.

    ```
    $ tx explain -m de-en "Ein Hund läuft durch den Schnee."
    $ tx explain -m de-en "Ein Hund läuft." --steps 3 --top 3 --samples 0
    $ head -n 1 test.de | tx explain -m de-en
    $ tx explain -m de-en "Ein Hund läuft." --json | jq .choices
    ```

    Shown are its pieces and their ids, what each layer looks at, the first steps with their likeliest pieces, and
    what greedy search, beam search and sampling choose.

    Under a layer stands the piece that was looked at most there, as the mean over its heads, with its share. The
    steps are those of the translation that `tx translate` gives; the first word of each line of candidates is
    what greedy search would take there. Scores are log-probabilities divided by length.
    """
    console.set_quiet(quiet)
    path = find_package(model, "translation")
    source = one_line(source)
    from tx.decode.translate import open_translator
    from tx.inspect import explain as view

    translator, decode = open_translator(path, device)
    found = view.explain(translator, decode, source, top, samples, seed)
    if as_json:
        console.print_json(found.as_json(steps))
        return
    _print_source(found)
    _print_steps(found, steps)
    _title("\nWhat each search chose")
    rows = [(c.search, f"{c.logprob:.2f}", f"{c.score:.3f}", c.text) for c in found.choices]
    console.print_table(["search", "log-prob.", "score", "translation"], rows)
    if not found.glances:
        console.note("this model has no attention: its decoder knows the source by one vector alone", "dim")


def _title(text: str) -> None:
    console.stdout().print(text, style="bold", markup=False)


def _print_source(found: "Explanation") -> None:
    layers = [name for name in found.glances if name.startswith("encoder")]
    _title("The source in pieces" + (", and what each looks at" if layers else ""))
    pieces = zip(found.reading.src.pieces, found.src_ids, strict=True)
    rows = [
        (n, piece, id, *(_glance(found.glances[layer][n]) for layer in layers))
        for n, (piece, id) in enumerate(pieces)
    ]
    console.print_table(["", "piece", "id", *layers], rows)


def _print_steps(found: "Explanation", steps: int) -> None:
    _title("\nThe first steps of the translation, and what each looks at")
    stdout, reading = console.stdout(), found.reading
    layers = [name for name in found.glances if not name.startswith("encoder")]
    for n, candidates in enumerate(reading.candidates[:steps]):
        said = "  ".join(f"{c.piece} {c.probability:.3f}" for c in candidates)
        stdout.print(
            f"step {n + 1}, after {reading.read.pieces[n]}, writes {reading.tgt.pieces[n]}", markup=False
        )
        stdout.print(f"  likeliest  {said}", markup=False, soft_wrap=True)
        for kind in ("cross", "decoder"):
            seen = [_glance(found.glances[name][n]) for name in layers if name.startswith(kind)]
            if seen:
                stdout.print(f"  {kind:9}  {'  '.join(seen)}", markup=False, soft_wrap=True)


def _glance(glance: "Glance") -> str:
    return f"{glance.piece} {glance.weight:.2f}"
