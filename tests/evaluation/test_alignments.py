"""Word alignments: which piece is of which word, what is read off the weights, and the error rate of Och and Ney."""

import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from small import demo_pairs, demo_tokenizer, random_translator
from training import fork_tx, model
from tx.data.batch import Batch
from tx.decode.align import extract_alignment, word_numbers, word_weights
from tx.decode.config import DecodeConfig
from tx.decode.translate import SearchOptions, Translator
from tx.errors import TxError
from tx.evaluation.alignment import Gold, read_gold, score_alignments
from tx.models.rnn import Config, EncoderDecoder
from tx.nn.attention import AttentionModule

KINDS = ["unigram", "bpe", "char", "word", "wordpiece"]
LINES = [pair.english for pair in demo_pairs()[:8]]
PIECES = [
    "They",
    "will",
    "eat",
    "größe",
    " ",
    "  ",
    "\u00a0",
    "\u3000",
    "😀",
    "e\u0301",
    "\u2581",
    "日本",
    ".",
    "#",
    "##a",
]


# --- words ---


@pytest.mark.parametrize("kind", KINDS)
@given(parts=st.lists(st.sampled_from(PIECES), max_size=9))
@settings(max_examples=60, deadline=None)
def test_the_pieces_of_a_word_spell_it(kind: str, parts: list[str]) -> None:
    tokenizer, line = demo_tokenizer(kind), "".join(parts)
    ids = tokenizer.encode(line)
    words = word_numbers(tokenizer, ids)
    assert len(words) == len(ids)
    text = tokenizer.decode(ids)
    grouped: dict[int, list[int]] = {}
    for id, word in zip(ids, words, strict=True):
        if word is not None:
            grouped.setdefault(word, []).append(id)
    spelled = [tokenizer.decode(grouped[n]).split() for n in range(len(text.split()))]
    assert spelled == [[word] for word in text.split()] and len(grouped) == len(spelled)
    known = [word for word in words if word is not None]
    assert known == sorted(known)


@pytest.mark.parametrize("kind", KINDS)
def test_words_are_those_of_the_raw_line(kind: str) -> None:
    """U+2581 is a space to SentencePiece, and a letter to whoever counts words."""
    tokenizer, line = demo_tokenizer(kind), "a\u2581cake eats \u2581 it"
    assert line.split() == ["a\u2581cake", "eats", "\u2581", "it"]
    ids = tokenizer.encode(line)
    words = word_numbers(tokenizer, ids, line)
    n = len(tokenizer.encode("it"))
    assert {words[0], *words[-n:]} == {0, 3}
    text = tokenizer.decode([id for id, word in zip(ids, words, strict=True) if word == 0])
    assert text.replace(" ", "").replace("\u2581", "") == "acake"


def test_endless_lines_take_linear_time() -> None:
    tokenizer = demo_tokenizer()
    for line in ("cake " * 20_000, "x" * 100_000):
        assert len(word_numbers(tokenizer, tokenizer.encode(line))) >= 20_000


# --- weights ---


def test_pieces_are_summed_over_what_is_looked_at_and_averaged_over_who_looks() -> None:
    weights = np.array([[0.1, 0.2, 0.3, 0.4], [0.5, 0.1, 0.1, 0.3], [0.0, 0.25, 0.5, 0.25]], np.float32)
    found = word_weights(weights, [0, 0, 1, None], [0, 1, 1])
    assert np.allclose(found, [[0.3, 0.3], [(0.6 + 0.25) / 2, (0.1 + 0.5) / 2]])
    assert word_weights(weights[:0, :0], [], []).shape == (0, 0)


@given(st.integers(1, 6), st.integers(1, 6), st.integers(0, 999))
@settings(max_examples=60, deadline=None)
def test_linked_are_those_that_are_each_others_best(n: int, m: int, seed: int) -> None:
    table = np.random.default_rng(seed).random((n, m)).astype(np.float32)
    table[:, 0] += 0.5  # looked at from everywhere
    match = table * (table / table.sum(axis=0))
    expected = [
        (s, t)
        for s in range(m)
        for t in range(n)
        if all(match[t, s] >= match[t, o] for o in range(m))
        and all(match[t, s] >= match[o, s] for o in range(n))
    ]
    src, tgt = list(range(m)), list(range(n))
    assert extract_alignment(table, src, tgt) == expected
    split = np.repeat(np.repeat(table, 2, axis=0), 2, axis=1) / 4  # every word in two pieces
    assert extract_alignment(split, sorted(2 * src), sorted(2 * tgt)) == expected
    assert (
        extract_alignment(np.zeros((n, m), np.float32), src, tgt)
        == extract_alignment(np.zeros((0, m), np.float32), src, [])
        == []
    )


class Turning(nn.Module):
    """A stand-in for a model: target piece t looks at the t-th source piece from the end, and 0.1 at `</s>`."""

    class Config:
        max_len = 40

    def __init__(self, vocab_size: int, n_layers: int = 2) -> None:
        super().__init__()
        self.config, self.n = self.Config(), vocab_size
        self.watched = nn.ModuleList(AttentionModule() for _ in range(n_layers))
        self.weight = nn.Parameter(torch.zeros(1))

    def attentions(self) -> dict[str, Any]:
        return {f"cross {n}": module for n, module in enumerate(self.watched, 1)}

    def forward(self, batch: Batch) -> Tensor:
        n_src = (batch.src != self.n - 1).sum(dim=1) - 1
        weights = torch.zeros(*batch.tgt_in.shape, batch.src.size(1))
        for row, n in enumerate(n_src.tolist()):
            for t in range(batch.tgt_in.size(1)):
                weights[row, t, max(n - 1 - t, 0)] = 0.9
                weights[row, t, n] += 0.1
        for number, module in enumerate(self.watched):
            scale = 1.0 if number == 0 else 0.5  # the mean over layers and heads keeps who looks where
            module.record((weights * scale)[:, None].expand(-1, 3, -1, -1))
        return torch.zeros(*batch.tgt_in.shape, self.n - 1)


def test_links_follow_the_weights_whatever_the_batch() -> None:
    tokenizer = demo_tokenizer("word")
    translator = Translator(Turning(len(tokenizer)), tokenizer, tokenizer, torch.device("cpu"))
    known = [word for word in " ".join(LINES).split() if len(tokenizer.encode(word)) == 1]
    src, tgt = ([" ".join(known[at + n : at + 2 * n]) for n in (3, 5, 1, 4, 2)] for at in (0, 7))
    expected = [[(s, len(line.split()) - 1 - s) for s in range(len(line.split()))] for line in src]
    assert translator.align(src, tgt) == expected
    assert [translator.align([a], [b])[0] for a, b in zip(src, tgt, strict=True)] == expected
    assert translator.align([""], ["a"]) == [[]] and translator.align([], []) == []


@pytest.mark.parametrize("n_best", [1, 3])
def test_translations_come_with_the_alignment_of_each_text(n_best: int) -> None:
    translator = random_translator()
    options = SearchOptions(DecodeConfig(beam_size=4), n_best, with_alignments=True)
    lines = [LINES[0], "", *LINES[1:4]]
    results = translator.translate(lines, options)
    for line, result in zip(lines, results, strict=True):
        assert len(result.alignments) == len(result.texts) == (n_best if line else 0)
        for text, found in zip(result.texts, result.alignments, strict=True):
            assert all(s < len(line.split()) and t < len(text.split()) for s, t in found)
        if result.texts and translator.tgt.encode(result.texts[0]) == result.hypotheses[0].ids:
            assert translator.align([line], [result.texts[0]]) == result.alignments[:1]
    assert any(found for result in results for found in result.alignments)


def test_the_parts_of_a_long_line_count_on() -> None:
    translator = random_translator(max_len=24)
    line = " ".join(LINES[:5])
    (result,) = translator.translate([line], SearchOptions(with_alignments=True))
    assert result.n_parts > 2
    ids = translator.src.encode(line)
    places: list[tuple[int, int]] = []
    n_src = n_tgt = 0
    for part in translator._parts(ids):
        text = translator.src.decode(part)
        (alone,) = translator.translate([text], SearchOptions(with_alignments=True))
        assert translator.src.encode(text) == part, "the line was cut between words"
        places += [(s + n_src, t + n_tgt) for s, t in alone.alignments[0]]
        n_src, n_tgt = n_src + len(text.split()), n_tgt + len(alone.text.split())
    assert result.alignments == [places] and n_src == len(line.split()) and n_tgt == len(result.text.split())


def test_a_model_without_attention_says_so() -> None:
    tokenizer = demo_tokenizer()
    config = Config(len(tokenizer), len(tokenizer), d_embedding=4, d_model=4, attention="none")
    translator = Translator(EncoderDecoder(config), tokenizer, tokenizer, torch.device("cpu"))
    for ask in (
        lambda: translator.align(["a"], ["b"]),
        lambda: translator.translate(["a"], SearchOptions(with_alignments=True)),
    ):
        with pytest.raises(TxError, match="no cross-attention"):
            ask()


# --- the error rate ---


def gold(sure: str, possible: str = "") -> Gold:
    made = Gold()
    for text, is_sure in ((sure, True), (possible, False)):
        for word in text.split():
            s, t = word.split("-")
            made.add((int(s), int(t)), is_sure)
    return made


def test_the_error_rate_is_och_and_neys() -> None:
    found = [{(0, 0), (1, 1), (2, 1)}, {(0, 1)}, set()]
    wanted = [gold("0-0 2-2", "1-1 1-2"), gold("0-0", "0-1"), gold("", "0-0")]
    score = score_alignments(found, wanted)  # |A| 4, |S| 3, |A & S| 1, |A & P| 3
    assert score.precision == Fraction(3, 4) and score.recall == pytest.approx(1 / 3)
    assert score.error_rate == pytest.approx(1 - 4 / 7)
    assert (score.n_links, score.n_sure, score.n_possible) == (4, 3, 7)
    assert 0 < score.ci < 0.5


@given(st.integers(0, 10**6))
@settings(max_examples=40, deadline=None)
def test_bounds_of_the_error_rate(seed: int) -> None:
    """Perfect links give 0, none give 1; without possible links it is 1 - F1 (Och and Ney 2003)."""
    chance = np.random.default_rng(seed)
    draw = lambda n: {(int(s), int(t)) for s, t in chance.integers(0, 6, (n, 2))}  # noqa: E731
    sure = [draw(5) for _ in range(4)]
    wanted = [Gold(set(links), set(links)) for links in sure]
    assert score_alignments(sure, wanted).error_rate == 0
    assert score_alignments([set()] * 4, wanted).error_rate == 1
    found = [draw(4) for _ in range(4)]
    score = score_alignments(found, wanted)
    both = score.precision + score.recall
    assert score.error_rate == pytest.approx(1 - (2 * score.precision * score.recall / both if both else 0))
    some = [Gold(g, g | draw(4)) for g in sure]
    assert score_alignments([g.possible - {min(g.possible)} | g.sure for g in some], some).precision == 1


PHARAOH = ["0-0 1p2 2-1", "", "1?1 0-0"]
FROM_ONE = ["1-1 2p3 3-2", "", "2?2 1-1"]
NAACL = ["0001 1 1 S", "0001 2 3 P", "1 3 2", "0003 2 2 P 0.5", "3 1 1 S 1.0", "3 0 1 S", ""]
BLOCKS = ["SENT: 1", "S 0 0", "P 1 2", "S 2 1", "", "SENT: 2", "SENT: 3", "P 1 1", "S 0 0"]
BLOCKS_FROM_ONE = ["SENT: 0", "S 1 1", "P 2 3", "S 3 2", "SENT: 2", "P 2 2", "S 1 1"]


@pytest.mark.parametrize("lines", [PHARAOH, FROM_ONE, NAACL, BLOCKS, BLOCKS_FROM_ONE])
def test_gold_files_of_every_format_give_the_same_links(lines: list[str]) -> None:
    found, base = read_gold(lines, "gold", [(3, 3), (4, 1), (2, 2)])
    assert found == [gold("0-0 2-1", "1-2"), Gold(), gold("0-0", "1-1")]
    assert base == (0 if lines in (PHARAOH, BLOCKS) else 1)


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (["0-0", "1-1"], "gold has 2 lines, and there are 3 pairs"),
        (["0-0", "x", ""], "gold:2 is not a link: 'x'"),
        (["0-0", "1-1 0-", ""], "gold:2 is not a link: '0-'"),
        (["0-0", "4-0", ""], "gold:2 links source word 4, counting from 0, and line 2 has 4"),
        (["1-1", "1-2", ""], "gold:2 links target word 2, counting from 1, and line 2 has 1"),
        (["1 1 1 S", "4 1 1 S"], "gold:2 refers to pair 4, and there are 3"),
        (["1 1 1 S", "1 1"], "gold:2 is not a link"),
        (["1 1 1 S", "0 1 1"], "gold:2 is not a link"),
        (["SENT: 1", "S 1"], "gold:2 is not a link"),
        (["S 1 1"], "gold:1 is not a link"),
        (["SENT: 2", "S 0 0", "SENT: 1", "S 0 0"], "gold:4 refers to pair 0"),
    ],
)
def test_an_error_in_a_gold_file_names_its_line(lines: list[str], said: str) -> None:
    with pytest.raises(TxError) as caught:
        read_gold(lines, "gold", [(3, 3), (4, 1), (2, 2)])
    assert said in caught.value.message and caught.value.hint


def test_gold_without_a_sure_link_is_an_error() -> None:
    with pytest.raises(TxError, match="no sure link"):
        score_alignments([{(0, 0)}], [gold("", "0-0")])


# --- commands ---


def test_tx_translate_writes_a_line_of_links_for_each_line(tmp_path: Path) -> None:
    lines = [*LINES[:2], "", LINES[2]]
    text, file = "".join(f"{line}\n" for line in lines).encode(), tmp_path / "links"
    short = ["translate", "-m", str(model()), "--max-len-ratio", "0", "--max-len-extra", "6"]
    plain = fork_tx(short, stdin=text)
    done = fork_tx([*short, "--alignments", str(file)], stdin=text)
    assert (done.status, done.out) == (0, plain.out)
    written = file.read_text().split("\n")
    assert len(written) == 5 and written[2] == written[4] == ""
    for line, hyp, found in zip(lines, plain.out.split("\n"), written, strict=False):
        for s, t in (map(int, link.split("-")) for link in found.split()):
            assert s < len(line.split()) and t < len(hyp.split())
    best = fork_tx([*short, "--alignments", "-", "--json", "-n", "2"], stdin=text)
    documents = [json.loads(line) for line in best.out.splitlines()]
    assert [d["translations"][0]["alignment"] if d["translations"] else "" for d in documents] == written[:4]
    assert all(len(d["translations"]) == (2 if d["src"] else 0) for d in documents)
    both = fork_tx([*short, "--alignments", "-", "-o", str(tmp_path / "hyp")], stdin=text)
    assert (both.out, (tmp_path / "hyp").read_text()) == (file.read_text(), plain.out)
    for words in (["--alignments", "-"], ["--alignments", "x", "-o", "x"]):
        refused = fork_tx([*short, *words], stdin=text)
        assert refused.status == 2 and "would both go to" in refused.err


def test_tx_evaluate_measures_the_alignment_of_given_translations(tmp_path: Path) -> None:
    src, tgt, file = (tmp_path / name for name in ("src", "tgt", "gold"))
    src.write_text("".join(f"{pair.english}\n" for pair in demo_pairs()[:5]))
    tgt.write_text("".join(f"{pair.german}\n" for pair in demo_pairs()[:5]))
    file.write_text("0-0 1-1\n0-0\n0-0 1p1\n\n0-0\n")
    words = ["evaluate", "-m", str(model()), str(src), str(tgt), "--alignments", str(file), "--no-store"]
    done = fork_tx([*words, "--json"])
    assert done.status == 0, done.err
    scores = {score["metric"]: score for score in json.loads(done.out)["scores"]}
    assert set(scores) == {"alignment precision", "alignment recall", "AER"}
    assert 0 <= scores["AER"]["value"] <= 100 and "sure:5|possible:6" in scores["AER"]["signature"]
    assert fork_tx(words).out.split("\n")[3].startswith("AER\t")
    refused = fork_tx([*words, "-b", "2"])
    assert refused.status == 2 and "nothing is translated" in refused.err
    file.write_text("0-0\n")
    assert "5 pairs" in fork_tx(words).err
