"""Time the translator of tx, from text to text."""

from dataclasses import replace
from pathlib import Path

import torch
from harness import read_job, timed_decoding

import tx
from tx.decode.translate import SearchOptions, open_translator


def main() -> None:
    job = read_job()
    translator, config = open_translator(Path(job["model"]), device="cpu", threads=1)
    search = SearchOptions(replace(config, beam_size=job["beam_size"], length_penalty=1.0))

    def decode(lines: list[str]) -> list[str]:
        return [translation.text for translation in translator.translate(lines, search)]

    timed_decoding(job, decode, f"tx {tx.__version__}, torch {torch.__version__}")


if __name__ == "__main__":
    main()
