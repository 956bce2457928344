"""Training tokenizers on text.

SentencePiece trains BPE (Sennrich et al. 2016), unigram (Kudo 2018), char and word, in a child process and without
access to files: called directly it reports success on a full disk, silently skips long lines and invalid UTF-8, and
ignores Ctrl-C. Here tx's strict reader supplies the text, the child process ends with its parent, and the model is
returned as bytes, the same ones for the same text on every machine. WordPiece is trained by `tx.text.wordpiece`; an
alphabet is only counted.
"""

import io
import json
import os
import random
import re
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from tx.errors import TxError
from tx.package import Package, check_place, write_package
from tx.text.alphabet import AlphabetTokenizer, learn_alphabet
from tx.text.lines import read_lines
from tx.text.sentencepiece import SPACE, SentencePieceTokenizer
from tx.text.tokenizer import EOS_ID, UNK_ID, Tokenizer, canonical, check_kind, vocab_too_small
from tx.text.wordpiece import WordPieceTokenizer, learn_pieces

Read = Callable[[str | Path], Iterable[str]]  # yields the lines of a file

MAX_LINES = 2_000_000  # more lines change a vocabulary little; a larger corpus is sampled
COVERAGE = 0.9995  # of characters; the rarest ones are spelled in bytes
_THREADS = 4  # constant, since the last bits of a unigram model's scores depend on the number of threads
_CUT = 2000  # characters; unigram training takes quadratic time in the length of a line without spaces
_SMALLEST = 260  # three special pieces, 256 bytes, and one learned piece
_CANNOT_BE_A_PIECE = re.compile(
    f"[\x00-\x1f\x7f-\x9f\u2028\u2029{SPACE}\u2585]"
)  # U+2585 is special in SentencePiece
_FAILED = 3  # exit status of the child if SentencePiece reports an error


def train_tokenizer(
    kind: str,
    paths: Sequence[str | Path],
    vocab_size: int,
    *,
    seed: int = 1,
    max_lines: int = MAX_LINES,
    say: Callable[[str], None] = lambda message: None,
    read: Read = read_lines,
) -> Tokenizer:
    """Train a tokenizer of `kind` on text files.

    It has `vocab_size` pieces, `<pad>` included, or fewer if the text yields no more. A corpus of more than
    `max_lines` lines is sampled with `seed`. `say` receives messages about both, and `read` yields the lines of a
    file. Raises TxError for text that cannot be read, is empty, or needs a larger vocabulary.
    """
    check_kind(kind)
    tokenizer: Tokenizer
    if kind == "alphabet":
        tokenizer = AlphabetTokenizer(learn_alphabet(_count_characters(paths, read), vocab_size))
    elif vocab_size < _SMALLEST:
        raise vocab_too_small(vocab_size, _SMALLEST)
    elif kind == "wordpiece":
        lines = _sample(paths, max_lines, seed, say, read)
        words = Counter(word for line in lines for word in line.split(" "))
        tokenizer = WordPieceTokenizer(learn_pieces(words, vocab_size, COVERAGE))
    else:
        tokenizer = SentencePieceTokenizer(
            kind, _learn(kind, _sample(paths, max_lines, seed, say, read), vocab_size)
        )
    if len(tokenizer) < vocab_size:
        say(f"the text yields {len(tokenizer):,} pieces, not {vocab_size:,}")
    return tokenizer


def train_tokenizer_package(
    kind: str,
    paths: Sequence[str | Path],
    vocab_size: int,
    out: str | Path,
    *,
    overwrite: bool = False,
    seed: int = 1,
    say: Callable[[str], None] = lambda message: None,
) -> Package:
    """Train a tokenizer and write the package `out`. Raises TxError as `train_tokenizer` and `write_package` do;
    `out` is checked before the training."""
    out = Path(out)
    check_place(out, overwrite)
    tokenizer = train_tokenizer(kind, paths, vocab_size, seed=seed, say=say)
    return write_package(
        out,
        overwrite=overwrite,
        task="tokenizer",
        config={"kind": kind, "vocab_size": len(tokenizer), "seed": seed},
        tokenizers={"tokenizer": tokenizer},
        data={"files": [Path(path).name for path in paths]},
    )


# -- the text --------------------------------------------------------------------------------------


def _sample(
    paths: Sequence[str | Path], max_lines: int, seed: int, say: Callable[[str], None], read: Read
) -> list[str]:
    """At most `max_lines` lines, each with the same probability (reservoir sampling, Vitter 1985)."""
    kept: list[str] = []
    number = 0
    chance = random.Random(seed)
    for path in paths:
        for line in read(path):
            line = _CANNOT_BE_A_PIECE.sub(" ", canonical(line))
            if not line.strip(" "):
                continue
            number += 1
            if number <= max_lines:
                kept.append(line)
            elif (place := chance.randrange(number)) < max_lines:
                kept[place] = line
    if not kept:
        raise _no_text(paths)
    if number > max_lines:
        say(f"training on {max_lines:,} of {number:,} lines, sampled at random")
    return kept


def _count_characters(paths: Sequence[str | Path], read: Read) -> Counter[str]:
    """How often each character occurs in all of the text."""
    counts: Counter[str] = Counter()
    for path in paths:
        for line in read(path):
            counts.update(canonical(line))
    if not any(character.strip() for character in counts):
        raise _no_text(paths)
    return counts


def _no_text(paths: Sequence[str | Path]) -> TxError:
    files = ", ".join(str(path) for path in paths)
    return TxError(
        f"there is no text in {files}" if paths else "no text was given", "give files with text in them"
    )


# -- the child process -----------------------------------------------------------------------------


def _learn(kind: str, lines: Iterable[str], vocab_size: int) -> bytes:
    """Run SentencePiece in a child process, and return the model it makes."""
    options = {
        "model_type": kind,
        "vocab_size": vocab_size - 1,  # <pad> is ours
        "hard_vocab_limit": False,
        "byte_fallback": True,
        "character_coverage": COVERAGE,
        "normalization_rule_name": "identity",
        "remove_extra_whitespaces": False,
        "eos_id": EOS_ID,
        "unk_id": UNK_ID,
        "bos_id": -1,
        "pad_id": -1,
        "max_sentence_length": 8 * _CUT,
        "num_threads": _THREADS,
        "minloglevel": 2,
    }
    command = [sys.executable, "-P", "-m", __name__, str(os.getpid()), json.dumps(options)]
    child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        with suppress(BrokenPipeError):  # the child has ended; the reason follows below
            assert child.stdin is not None
            for line in lines:
                for start in range(0, len(line), _CUT):
                    child.stdin.write(line[start : start + _CUT].encode() + b"\n")
        output, log = child.communicate()
    except BaseException:  # in particular Ctrl-C, which SentencePiece would ignore
        child.kill()
        child.wait()
        raise
    if child.returncode == 0:
        return output
    if child.returncode == _FAILED:
        raise _explain(output.decode("utf-8", "replace"), vocab_size)
    last = log.decode("utf-8", "replace").strip().rpartition("\n")[2]
    raise TxError(
        f"the process that trains the tokenizer died (status {child.returncode}) {last}".strip(),
        "probably memory ran out: use fewer lines",
    )


def _explain(reason: str, vocab_size: int) -> TxError:
    """The error for a failed assertion of SentencePiece."""
    if found := re.search(r"smaller than required_chars\. \d+ vs (\d+)", reason):
        return vocab_too_small(vocab_size, int(found[1]) + 1)
    return TxError(f"SentencePiece cannot learn from this text: {reason}", "try another kind or --vocab-size")


def _serve(parent: int, options: dict[str, Any]) -> int:
    """The child process: reads lines from stdin and writes the model to stdout, or an error and status `_FAILED`."""
    import sentencepiece

    def follow_parent() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(1)

    threading.Thread(target=follow_parent, daemon=True).start()
    model = io.BytesIO()
    try:
        lines = (line.removesuffix(b"\n") for line in sys.stdin.buffer)
        sentencepiece.SentencePieceTrainer.train(sentence_iterator=lines, model_writer=model, **options)
    except RuntimeError as error:
        sys.stdout.buffer.write(str(error).encode())
        return _FAILED
    sys.stdout.buffer.write(model.getvalue())
    return 0


if __name__ == "__main__":
    sys.exit(_serve(int(sys.argv[1]), json.loads(sys.argv[2])))
