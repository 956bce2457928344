"""Translating lines of text with a translation model.

Each call sorts the lines by length, searches in batches of similar length, and returns the results in order. A blank
line gives a blank line; a line that is longer than the model can read is translated in parts.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from tx.config.check import check_section
from tx.data.batch import make_batch
from tx.decode.align import (
    Alignment,
    Array,
    attention_weights,
    extract_alignment,
    mean_cross_attention,
    require_cross_attention,
    word_numbers,
)
from tx.decode.config import DecodeConfig
from tx.decode.sampling import Sampling
from tx.decode.search import Hypothesis, beam_search, greedy_search
from tx.models import load_model
from tx.nn.device import prepare_device
from tx.package import Package, load_package
from tx.text.load_tokenizer import open_tokenizers
from tx.text.tokenizer import Tokenizer

BATCH_ROWS = 320  # hypotheses per batch: enough for matrix products at full speed
BATCH_TOKENS = 16384  # source tokens times hypotheses per batch: bounds the memory of long sentences
SCORE_TOKENS = 2048  # target tokens whose logits are in memory together


@dataclass
class Translation:
    """The translation of one line: its hypotheses, best first, and their texts."""

    hypotheses: list[Hypothesis] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    n_parts: int = 1  # more than one if the line was too long
    alignments: list[Alignment] = field(default_factory=list)  # one per text, if requested

    @property
    def text(self) -> str:
        return self.texts[0] if self.texts else ""


@dataclass
class SearchOptions:
    """How to search: the `[decode]` settings of a configuration, and options of a single call."""

    decode: DecodeConfig = field(default_factory=DecodeConfig)
    n_best: int = 1
    sampling: Sampling | None = None
    with_scores: bool = False
    with_alignments: bool = False


class Translator:
    """A translation model with its tokenizers; `model` is put into evaluation mode."""

    def __init__(self, model: nn.Module, src: Tokenizer, tgt: Tokenizer, device: torch.device) -> None:
        self.model: Any = model.eval()
        self.src, self.tgt, self.device = src, tgt, device
        self.max_len: int = model.config.max_len  # type: ignore[assignment, union-attr]

    @torch.inference_mode()
    def translate(
        self,
        lines: Sequence[str],
        options: SearchOptions,
        prefixes: Sequence[str] | None = None,
        first_line: int = 0,
    ) -> list[Translation]:
        """Translate `lines`; the hypotheses of a line start with its prefix, if `prefixes` are given.

        `first_line` is the number of the first line in its stream: sampling derives its random numbers from it.
        """
        if options.with_alignments:
            require_cross_attention(self.model)
        jobs: list[tuple[int, list[int]]] = []  # (line, ids): several for an overlong line
        prefix_ids: list[list[int]] = []  # one per job; only the first part of a line has a prefix
        for n, ids in enumerate(self.src.encode_batch(lines)):
            if lines[n].strip():
                parts = self._parts(ids)
                jobs += [(n, part) for part in parts]
                prefix_ids += [self.tgt.encode(prefixes[n]) if prefixes else [], *[[]] * (len(parts) - 1)]
        results: list[list[list[Hypothesis]]] = [[] for _ in lines]
        done: list[list[Hypothesis]] = [[] for _ in jobs]
        for batch in self._batches([len(ids) for _, ids in jobs], options):
            rows = [jobs[i] for i in batch]
            forced = [prefix_ids[i] for i in batch] if prefixes else None
            found = self._search([ids for _, ids in rows], options, forced, [first_line + n for n, _ in rows])
            for i, hypotheses in zip(batch, found, strict=True):
                done[i] = hypotheses
        for (n, _), hypotheses in zip(jobs, done, strict=True):
            results[n].append(hypotheses)
        translations = [self._translation(parts) for parts in results]
        if options.with_alignments:
            self._add_alignments(translations, lines, jobs, done)
        return translations

    def _add_alignments(
        self,
        translations: list[Translation],
        lines: Sequence[str],
        jobs: list[tuple[int, list[int]]],
        done: list[list[Hypothesis]],
    ) -> None:
        """Add the word alignments of its texts to each translation; words are numbered over all parts of a line."""
        pairs = [(src, h.ids) for (_, src), hypotheses in zip(jobs, done, strict=True) for h in hypotheses]
        tables = iter(self._tables(pairs))
        whole: dict[int, list[int]] = {}
        for n, ids in jobs:
            whole.setdefault(n, []).extend(ids)
        src_words = {n: word_numbers(self.src, ids, lines[n]) for n, ids in whole.items()}
        n_words = {n: [0] * len(translations[n].texts) for n in whole}  # of each text, in the parts so far
        for (n, src), hypotheses in zip(jobs, done, strict=True):
            words, src_words[n] = src_words[n][: len(src)], src_words[n][len(src) :]
            for text, hypothesis in enumerate(hypotheses):
                table = next(tables)
                if text < len(n_words[n]):
                    found = extract_alignment(table, words, word_numbers(self.tgt, hypothesis.ids))
                    translations[n].alignments[text] += [(s, t + n_words[n][text]) for s, t in found]
                    n_words[n][text] += len(self.tgt.decode(hypothesis.ids).split())

    @property
    def longest_source(self) -> int:
        """The longest source in tokens: half of `max_len`, since the target may be longer."""
        return max(1, self.max_len // 2 - 1)

    def _parts(self, ids: list[int]) -> list[list[int]]:
        """Cut `ids` into parts of about equal length that are short enough, at word starts where possible."""
        limit = self.longest_source
        parts: list[list[int]] = []
        while len(ids) > limit:
            n_left = -(-len(ids) // limit)
            middle = -(-len(ids) // n_left)
            cut = next(
                (i for i in range(middle, middle // 2, -1) if self.src.piece(ids[i])[:1] == "▁"), middle
            )
            parts.append(ids[:cut])
            ids = ids[cut:]
        return [*parts, ids]

    def _batches(self, lengths: Sequence[int], options: SearchOptions) -> list[list[int]]:
        width = 1 if options.sampling else options.decode.beam_size
        rows = max(1, BATCH_ROWS // width)
        order = sorted(range(len(lengths)), key=lambda i: -lengths[i])
        batches, start = [], 0
        while start < len(order):
            size = max(1, min(rows, BATCH_TOKENS // (width * (lengths[order[start]] + 1))))
            batches.append(order[start : start + size])
            start += size
        return batches

    def _search(
        self,
        src: list[list[int]],
        options: SearchOptions,
        prefixes: list[list[int]] | None,
        lines: list[int],
    ) -> list[list[Hypothesis]]:
        decode = options.decode
        batch = make_batch(src, None, self.src.pad_id, self.tgt.pad_id, self.src.eos_id).to(self.device)
        room = self.max_len - 1
        limits = [min(room, int(decode.max_len_ratio * len(ids)) + decode.max_len_extra) for ids in src]
        if prefixes:
            prefixes = [prefix[: room - 1] for prefix in prefixes]
            limits = [min(room, limit + len(prefix)) for limit, prefix in zip(limits, prefixes, strict=True)]
        common: dict[str, Any] = {
            "length_penalty": decode.length_penalty,
            "max_lens": limits,
            "bos_id": self.tgt.bos_id,
            "eos_id": self.tgt.eos_id,
            "prefixes": prefixes,
        }
        if options.sampling is None and decode.beam_size > 1:
            common |= {"beam_size": decode.beam_size, "n_best": options.n_best}
            found = beam_search(self.model, batch, **common)
        else:
            common |= {"sampling": options.sampling, "lines": lines, "with_scores": options.with_scores}
            found = greedy_search(self.model, batch, **common)
        for hypotheses, limit in zip(found, limits, strict=True):
            for hypothesis in hypotheses:
                hypothesis.cut = len(hypothesis.ids) >= limit
        return found

    def _translation(self, parts: list[list[Hypothesis]]) -> Translation:
        """Join the parts of a line: the i-th best hypotheses of all parts, while each part has one."""
        joined = [
            Hypothesis(
                [id for h in hypotheses for id in h.ids],
                sum(h.logprob for h in hypotheses),
                sum(h.score for h in hypotheses) / len(hypotheses),
                any(h.cut for h in hypotheses),
            )
            for hypotheses in zip(*parts, strict=False)
        ]
        texts = [" ".join(map(self._line, hypotheses)) for hypotheses in zip(*parts, strict=False)]
        return Translation(joined, texts, max(1, len(parts)), [[] for _ in texts])

    def _line(self, hypothesis: Hypothesis) -> str:
        """The text of a hypothesis, on one line even if the model spells a newline in bytes."""
        return self.tgt.decode(hypothesis.ids).replace("\n", " ")

    @torch.inference_mode()
    def score(self, src: Sequence[str], tgt: Sequence[str]) -> list[tuple[float, int]]:
        """For each pair of lines the log-probability of `tgt` given `src` in nats, and its tokens, `</s>` included.

        Lines that are too long for the model are truncated.
        """
        pairs = self._pairs(src, tgt)
        results: list[tuple[float, int]] = [(0.0, 0)] * len(pairs)
        for chosen in _by_length(pairs):
            rows = [pairs[i][0] for i in chosen], [pairs[i][1] for i in chosen]
            batch = make_batch(*rows, self.src.pad_id, self.tgt.pad_id, self.src.eos_id).to(self.device)
            logprobs = self.model(batch).float().log_softmax(dim=-1).flatten(0, 1)  # [B * T, V]
            gained = logprobs[batch.tgt_positions, batch.tgt_out].tolist()
            for i in chosen:
                n = len(pairs[i][1]) + 1
                results[i] = (sum(gained[:n]), n)
                gained = gained[n:]
        return results

    def align(self, src: Sequence[str], tgt: Sequence[str]) -> list[Alignment]:
        """The word alignment of each pair of lines; lines that are too long for the model are truncated.

        Raises TxError for a model without attention.
        """
        require_cross_attention(self.model)
        pairs = self._pairs(src, tgt)
        found = []
        for table, (a, b), line, other in zip(self._tables(pairs), pairs, src, tgt, strict=True):
            found.append(
                extract_alignment(table, word_numbers(self.src, a, line), word_numbers(self.tgt, b, other))
            )
        return found

    def _pairs(self, src: Sequence[str], tgt: Sequence[str]) -> list[tuple[list[int], list[int]]]:
        room = self.max_len - 1
        sides = self.src.encode_batch(src), self.tgt.encode_batch(tgt)
        return [(a[:room], b[:room]) for a, b in zip(*sides, strict=True)]

    def _tables(self, pairs: Sequence[tuple[list[int], list[int]]]) -> list[Array]:
        """The mean cross-attention `[T, S]` of each pair, without `</s>`."""
        tables: list[Array] = [np.zeros((0, 0), np.float32)] * len(pairs)
        for chosen in _by_length(pairs):
            src, tgt = [pairs[i][0] for i in chosen], [pairs[i][1] for i in chosen]
            _, weights = attention_weights(self.model, src, tgt, (self.src.pad_id, self.tgt.pad_id))
            for i, table in zip(chosen, mean_cross_attention(weights).float().cpu().numpy(), strict=True):
                tables[i] = table[: len(pairs[i][1]), : len(pairs[i][0])]
        return tables


def _by_length(pairs: Sequence[tuple[list[int], list[int]]]) -> Iterator[list[int]]:
    """The indexes of all pairs, in batches of similar target length."""
    order = sorted(range(len(pairs)), key=lambda i: -len(pairs[i][1]))
    while order:
        size = max(1, SCORE_TOKENS // (len(pairs[order[0]][1]) + 1))
        yield order[:size]
        order = order[size:]


def open_translator(path: Path, device: str = "auto", threads: int = 0) -> tuple[Translator, DecodeConfig]:
    """The translator of the package at `path`, and the search settings of the package."""
    chosen = prepare_device(device, threads)

    def build(package: Package) -> tuple[Translator, DecodeConfig]:
        translator = Translator(load_model(package, chosen), *open_tokenizers(package), chosen)
        return translator, check_section(DecodeConfig, package.decode, section="decode")

    return load_package(path, build, "translation")
