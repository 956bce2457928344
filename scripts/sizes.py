"""Code lines of src/tx by room, without blank lines, comments and docstrings; exits with 1 if a limit is exceeded.

python scripts/sizes.py [FOLDER]
"""

import ast
import io
import sys
import tokenize
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

MAX_FILE, MAX_FUNCTION, MAX_CLASS = 400, 60, 250  # lines of the file; of the body of a function or class
MAX_SPINE = 3200  # code lines of what everyone has to know
# In reading order, as CONTRIBUTING.md gives it: files, and folders with all that they hold but the exceptions.
SPINE = (
    *("nn", "models", "data", "decode/search.py", "decode/sampling.py", "decode/translate.py"),
    *("decode/generate.py", "training"),
)
NOT_SPINE = ("nn/crf.py", "models/whisper.py", "models/tagger.py", "data/tagged.py")
IGNORED = {
    tokenize.COMMENT,
    tokenize.NL,
    tokenize.NEWLINE,
    tokenize.INDENT,
    tokenize.DEDENT,
    tokenize.ENDMARKER,
}


def docstrings(tree: ast.AST) -> set[int]:
    """The lines of the docstrings of a module and of its classes and functions."""
    lines: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0] if node.body else None
            value = first.value if isinstance(first, ast.Expr) else None
            if first is not None and isinstance(value, ast.Constant) and isinstance(value.value, str):
                lines.update(range(first.lineno, (first.end_lineno or 0) + 1))
    return lines


def code_lines(text: str) -> int:
    """The number of lines that hold code."""
    lines: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type not in IGNORED:
            lines.update(range(token.start[0], token.end[0] + 1))
    return len(lines - docstrings(ast.parse(text)))


def body_lengths(tree: ast.AST) -> Iterator[tuple[str, int, int, int]]:
    """(name, line, length, limit) of every function and class; a function's signature is not counted."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            limit = MAX_CLASS if isinstance(node, ast.ClassDef) else MAX_FUNCTION
            yield node.name, node.lineno, (node.end_lineno or 0) - node.body[0].lineno + 1, limit


def used_once(trees: dict[str, ast.AST]) -> int:
    """How many private functions and methods are used in one place of their module."""
    total = 0
    for tree in trees.values():
        uses = Counter(
            node.id if isinstance(node, ast.Name) else node.attr
            for node in ast.walk(tree)
            if isinstance(node, ast.Name | ast.Attribute)
        )
        defined = (node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef))
        total += sum(
            uses[name] == 1 for name in defined if name.startswith("_") and not name.startswith("__")
        )
    return total


def main(root: Path) -> int:
    texts = {
        path.relative_to(root).as_posix(): path.read_text("utf-8") for path in sorted(root.rglob("*.py"))
    }
    trees = {name: ast.parse(text) for name, text in texts.items()}
    counts = {name: code_lines(text) for name, text in texts.items()}
    rooms: Counter[str] = Counter()
    for name, n in counts.items():
        rooms[name.partition("/")[0] if "/" in name else "."] += n
    for room, n in rooms.most_common():
        print(f"{n:7,}  {room}")
    print(f"{sum(counts.values()):7,}  all code lines in {len(texts)} files")
    spine = sum(
        n
        for name, n in counts.items()
        if name not in NOT_SPINE and any(name == part or name.startswith(part + "/") for part in SPINE)
    )
    print(f"{spine:7,}  the spine (at most {MAX_SPINE:,})")
    print(f"{used_once(trees):7,}  private functions used once")
    faults = [f"{name} has {n} lines" for name, text in texts.items() if (n := text.count("\n")) > MAX_FILE]
    for name, tree in trees.items():
        for what, line, length, limit in body_lengths(tree):
            if length > limit:
                faults.append(f"{name}:{line} {what} has {length} lines, over {limit}")
    if spine > MAX_SPINE:
        faults.append(f"the spine has {spine:,} code lines, over {MAX_SPINE:,}")
    print(*faults, sep="\n", end="\n" * bool(faults))
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1] if len(sys.argv) > 1 else "src/tx")))
