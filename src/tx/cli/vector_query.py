"""What `tx analogy` and `tx neighbors` share: questions from the command line or a pipe, and their answers."""

import json
import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand

from tx.cli import console
from tx.cli.pipe import line_batches
from tx.errors import TxError, UsageError
from tx.text.lines import LineWriter

if TYPE_CHECKING:  # numpy comes with them, which `tx --help` need not wait for
    from tx.vectors import WordVectors
    from tx.vectors.expression import Term
    from tx.vectors.search import Answer, Method, Question

Model = Annotated[
    str | None,
    typer.Option(
        "--model", "-m", metavar="NAME|FOLDER", help="Vectors, or any model that embeds pieces of text."
    ),
]
Top = Annotated[int, typer.Option("--top", "-n", metavar="N", min=1, help="How many answers.")]
Restrict = Annotated[
    int, typer.Option(metavar="N", min=0, help="Answer with one of the first N words only; 0: any.")
]
Side = Annotated[str | None, typer.Option(metavar="src|tgt", help="Which embeddings of a translator.")]


class WithMinus(TyperCommand):
    """A command whose arguments may begin with a minus, which the parser would take for options.

    A short option stands by itself, as in `-m NAME`: -man+woman is no model `an+woman`, but an expression.
    """

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        short = {"-h", *(option for param in self.params for option in param.opts)}
        for arg in args:
            if arg == "--":
                break
            if re.match(r"-[^-]", arg) and arg not in short:
                hint = f"put -- before the expression and after all options: tx {self.name} -- {arg}"
                raise UsageError(f"'{arg}' looks like an option", hint)
        return super().parse_args(ctx, args)


class Asker:
    """Answers questions about one set of vectors, and prints the answers."""

    def __init__(
        self,
        vectors: "WordVectors",
        top: int,
        method: "Method" = "add",
        restrict: int = 0,
        as_json: bool = False,
    ) -> None:
        from tx.vectors.search import search

        self.vectors = vectors
        self._json = as_json
        self._search = lambda questions: search(vectors, questions, top, method, restrict or None)
        self._method = method

    def one(self, terms: Sequence["Term"]) -> None:
        """Print the answers to one question as a table. Raises TxError for an unknown word."""
        from tx.vectors.expression import ask

        (answers,) = self._search([ask(terms, self.vectors)])
        if self._json:
            console.print_json(self._record(terms, answers))
        else:
            console.print_table(
                ["word", "score"],
                [(word, f"{score:.4f}") for word, score in self._named(answers)],
                header=False,
            )

    def pipe(self, parse: Callable[[str], Sequence["Term"]]) -> None:
        """Print a line of answers for each line of stdin: word, score, word, score, separated by tabs.

        Raises TxError at the end if there was a line without an answer; it gives a blank line meanwhile.
        """
        from tx.vectors.expression import ask

        n_lines = n_failed = 0
        with LineWriter("-", exact=True) as writer:
            for start, lines in line_batches(None, "-"):
                asked: dict[int, tuple[Sequence[Term], Question]] = {}
                output = ["" for _ in lines]
                for i, line in enumerate(lines):
                    try:
                        if line.strip():
                            terms = parse(line)
                            asked[i] = terms, ask(terms, self.vectors)
                    except TxError as error:
                        n_failed += 1
                        output[i] = json.dumps({"error": error.message}) if self._json else ""
                        console.warn(f"line {start + i + 1}: {error.message}; {error.hint}")
                found = self._search([question for _, question in asked.values()])
                for (i, (terms, _)), answers in zip(asked.items(), found, strict=True):
                    output[i] = self._line(terms, answers)
                writer.write(output)
                n_lines += len(lines)
        if n_failed:
            raise TxError(f"{n_failed:,} of {n_lines:,} lines have no answer", "their output lines are blank")

    def _line(self, terms: Sequence["Term"], answers: Sequence["Answer"]) -> str:
        if self._json:
            return json.dumps(self._record(terms, answers), ensure_ascii=False)
        return "\t".join(f"{word}\t{score:.4f}" for word, score in self._named(answers))

    def _named(self, answers: Sequence["Answer"]) -> list[tuple[str, float]]:
        return [(self.vectors.words[answer.row], answer.score) for answer in answers]

    def _record(self, terms: Sequence["Term"], answers: Sequence["Answer"]) -> dict[str, Any]:
        return {
            "model": self.vectors.name,
            "terms": [{"word": term.word, "weight": term.weight} for term in terms],
            "method": self._method,
            "answers": [{"word": word, "score": round(score, 6)} for word, score in self._named(answers)],
        }
