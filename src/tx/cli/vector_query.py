"""What `tx analogy` and `tx neighbors` share: options, and answers printed for an expression or for a pipe."""

import json
import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal

from typer.core import TyperCommand

from tx.cli import console
from tx.cli.console import option
from tx.cli.pipe import line_batches
from tx.errors import TxError, UsageError
from tx.text.lines import LineWriter

if TYPE_CHECKING:  # imports numpy, which `tx --help` does without
    from tx.vectors import WordVectors
    from tx.vectors.expression import Term

Model = Annotated[
    str | None, option("Word vectors, or any model with embeddings.", "--model", "-m", metavar="NAME|FOLDER")
]
Top = Annotated[int, option("Number of words to find.", "--top", "-n", min=1)]
Restrict = Annotated[int, option("Find only words among the first N of the vocabulary; 0: all.", min=0)]
Side = Annotated[Literal["src", "tgt"] | None, option("Source or target embeddings of a translation model.")]
Method = Literal["add", "mul"]


class ExpressionCommand(TyperCommand):
    """A command whose arguments may begin with a minus, which the parser would take for options.

    A short option has to be separate, as in `-m NAME`: -man+woman is an expression, not a model `an+woman`.
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


def print_answers(
    vectors: "WordVectors",
    terms: Sequence["Term"],
    parse_line: Callable[[str], Sequence["Term"]],
    top: int,
    method: Method,
    restrict: int,
    as_json: bool,
) -> None:
    """Print the words nearest to the sum of `terms`, or without terms those for each line of stdin.

    In a pipe, a line of output has word, score, word, score, ..., separated by tabs. A line without an answer is
    blank; at the end it raises TxError.
    """
    from tx.vectors.expression import Answer, answer_lines

    def record(terms: Sequence["Term"], words: Sequence[tuple[str, float]]) -> str:
        document = {
            "model": vectors.name,
            "terms": [{"word": term.word, "weight": term.weight} for term in terms],
            "method": method,
            "answers": [{"word": word, "score": round(score, 6)} for word, score in words],
        }
        return json.dumps(document, ensure_ascii=False)

    if terms:
        words = vectors.most_similar(terms, topn=top, method=method, restrict_vocab=restrict or None)
        if as_json:
            print(record(terms, words))  # noqa: T201
        else:
            rows = [(word, f"{score:.4f}") for word, score in words]
            console.print_table(["word", "score"], rows, header=False)
        return
    n_lines = n_failed = 0
    with LineWriter("-", exact=True) as writer:
        for start, lines in line_batches(None, "-"):
            output = []
            answers = answer_lines(vectors, lines, parse_line, top, method, restrict or None)
            for number, answer in enumerate(answers, start + 1):
                if isinstance(answer, TxError):
                    n_failed += 1
                    console.warn(f"line {number}: {answer.message}; {answer.hint}")
                    output.append(json.dumps({"error": answer.message}) if as_json else "")
                elif isinstance(answer, Answer) and as_json:
                    output.append(record(*answer))
                else:
                    words = answer.words if answer else []
                    output.append("\t".join(f"{word}\t{score:.4f}" for word, score in words))
            writer.write(output)
            n_lines += len(lines)
    if n_failed:
        raise TxError(f"{n_failed:,} of {n_lines:,} lines have no answer", "their output lines are blank")
