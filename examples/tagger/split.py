"""Split sentences in columns into training, validation and test text, 80/10/10, by a fixed seed."""

import random
import sys
from pathlib import Path

SHARES = {"train": (0.0, 0.8), "dev": (0.8, 0.9), "test": (0.9, 1.0)}


def main(source: str, name: str) -> None:
    blocks = (block.strip("\n") for block in Path(source).read_text(encoding="utf-8").split("\n\n"))
    sentences = [block for block in blocks if block and not block.startswith("-DOCSTART-")]
    random.Random(1).shuffle(sentences)
    n = len(sentences)
    for part, (start, end) in SHARES.items():
        chosen = sentences[round(n * start) : round(n * end)]
        Path(f"{name}.{part}").write_text("\n\n".join(chosen) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
