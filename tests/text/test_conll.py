"""Tagged columns, the words of raw lines, and the lexicon: read as they should be, or refused with file and line."""

import itertools
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from seqeval.metrics.sequence_labeling import get_entities

from tx.errors import TxError
from tx.text.conll import SentenceReader, Span, bio_tags, read_tagged, read_words, spans_from_tags
from tx.text.lexicon import Lexicon, learn_lexicon
from tx.text.words import spaced, split_at_spaces, split_words

TYPES = ("LOC", "PER", "creative-work")


@st.composite
def sentences(draw: st.DrawFn) -> tuple[int, list[Span]]:
    """A number of words, and entities among them that do not overlap."""
    ends = sorted(draw(st.sets(st.integers(0, 12), min_size=2)))
    spans = [
        Span(start, end, draw(st.sampled_from(TYPES)))
        for start, end in itertools.pairwise(ends)
        if draw(st.booleans())
    ]
    return ends[-1], spans


def iob1_of(spans: list[Span], n_words: int) -> list[str]:
    """B only where an entity follows another of its type at once."""
    tags = [tag.replace("B-", "I-") for tag in bio_tags(spans, n_words)]
    for one, two in itertools.pairwise(spans):
        if one.end == two.start and one.type == two.type:
            tags[two.start] = f"B-{two.type}"
    return tags


def write(path: Path, sentences: list[list[str]]) -> Path:
    path.write_text("".join("".join(f"w{n} {t}\n" for n, t in enumerate(s)) + "\n" for s in sentences))
    return path


@given(st.lists(sentences(), min_size=1, max_size=4))
def test_both_schemes_name_the_same_entities(tmp_path_factory: pytest.TempPathFactory, made: list) -> None:
    folder = tmp_path_factory.mktemp("columns")
    for tags_of in (bio_tags, iob1_of):
        read = read_tagged(write(folder / "text", [tags_of(spans, n) for n, spans in made]))
        assert [s.tags for s in read] == [bio_tags(spans, n) for n, spans in made]
        assert [spans_from_tags(s.tags) for s in read] == [spans for _, spans in made]


@given(st.lists(st.sampled_from(["O", *(f"{k}-{t}" for k in "BI" for t in TYPES)])))
def test_spans_of_any_tags_are_those_of_seqeval(tags: list[str]) -> None:
    theirs = [(start, end + 1, type) for type, start, end in get_entities(tags)]
    assert [(s.start, s.end, s.type) for s in spans_from_tags(tags)] == theirs


def test_what_stands_between_sentences(tmp_path: Path) -> None:
    text = "-DOCSTART- -X- -X- O\n\n# id = 7\nEU NNP I-ORG\n\n\n# O\n#tag\tO\n\t\n \nlast B-PER"
    (tmp_path / "text").write_text(text)
    assert list(read_words(tmp_path / "text")) == [["EU"], ["#", "#tag"], ["last"]]
    (tmp_path / "text").write_text(text.replace("B-PER", "I-PER"))
    read = read_tagged(tmp_path / "text")
    assert [s.words for s in read] == [["EU"], ["#", "#tag"], ["last"]]
    assert [s.tags for s in read] == [["B-ORG"], ["O", "O"], ["B-PER"]]
    assert [s.lines for s in read] == [[4], [7, 8], [11]]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a O\nb\n", "text:2: 'b' has no tag"),
        ("a\tO\n\tO\n", "text:2: the tag O has no word"),
        ("a O\nb S-LOC\n", "text:2: 'S-LOC' is not a tag"),
        ("a O\nb LOC\n", "text:2: 'LOC' is not a tag"),
        ("a B-\n", "text:1: 'B-' is not a tag"),
        ("\n\n", "text has no sentence"),
        (
            "a B-LOC\n\nb B-LOC\nc O\nd I-PER\n",
            "text:5: I-PER follows O, and in BIO, which this file has, an entity begins with B-PER there",
        ),
        ("a B-LOC\nb B-LOC\nc I-PER\n", "text:3: I-PER follows B-LOC, and in BIO"),
        ("a I-LOC\n\nb I-LOC\nc O\nd B-PER\n", "text:5: B-PER follows O, and in IOB1"),
        (
            "a B-X\n\na B-X\n\na B-X\n\nb I-X\n\nc I-X\n",
            "text:7: I-X follows O.*; 1 more lines have this problem",
        ),
    ],
)
def test_faults_are_named_with_file_and_line(text: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "text").write_text(text)
    with pytest.raises(TxError, match=said) as error:
        read_tagged(tmp_path / "text")
    assert error.value.hint


def test_sentences_come_as_soon_as_they_end() -> None:
    sentences = SentenceReader()
    assert list(sentences.feed(["a O"])) == []
    assert list(sentences.feed(["b O", "", "c O"])) == [[(1, ["a", "O"]), (2, ["b", "O"])]]
    assert list(sentences.rest()) == [[(4, ["c", "O"])]] and list(sentences.rest()) == []


@pytest.mark.skipif("TX_TEST_DATA" not in os.environ, reason="TX_TEST_DATA names no folder of corpora")
@pytest.mark.parametrize(
    ("file", "n_sentences", "n_words", "n_entities"),
    [
        ("wikigold/wikigold.conll.txt", 1696, 39_007, 3558),
        ("wnut17/wnut17train.conll", 3394, 62_730, 1975),
        ("wnut17/emerging.dev.conll", 1009, 15_733, 836),
        ("wnut17/emerging.test.annotated", 1287, 23_394, 1079),
    ],
)
def test_real_corpora(file: str, n_sentences: int, n_words: int, n_entities: int) -> None:
    """As many words as lines with text; of wnut17 as many entities as lines with a B."""
    read = read_tagged(Path(os.environ["TX_TEST_DATA"], file))
    assert len(read) == n_sentences
    assert sum(len(s.words) for s in read) == n_words
    assert sum(len(spans_from_tags(s.tags)) for s in read) == n_entities


# -- words -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("I work at OpenML in Shenzhen.", "I work at OpenML in Shenzhen ."),
        ("Don't! It's Peter's, we’ll", "Do n't ! It 's Peter 's , we ’ll"),
        ("can't shan't O'Neill l'été", "ca n't sha n't O'Neill l'été"),
        ("(U.S. and J. Smith)", "( U.S. and J. Smith )"),
        ("$1,000.50 at 19:30...", "$ 1,000.50 at 19:30 ..."),
        ("see https://x.org/a?b=c. @you #tag", "see https://x.org/a?b=c . @you #tag"),
        ("me@x.org AT&T state-of-the-art", "me@x.org AT&T state-of-the-art"),
        ("नमस्ते दुनिया 中文 nai\u0308ve 273 \u212a", "नमस्ते दुनिया 中文 nai\u0308ve 273 \u212a"),
        ("„Straße“ – 5\u00a0km 🙂🙂", "„ Straße “ – 5 km 🙂 🙂"),
        ("", ""),
    ],
)
def test_words_of_raw_lines(line: str, words: str) -> None:
    assert [word.text for word in split_words(line)] == words.split()


@given(st.text())
def test_words_leave_out_nothing_but_space(line: str) -> None:
    for split in (split_words, split_at_spaces):
        words = split(line)
        assert [line[word.start : word.end] for word in words] == [word.text for word in words]
        end = 0
        for start, word in zip([*(word.start for word in words), len(line)], [*words, None], strict=True):
            assert not line[end:start].strip()
            end = word.end if word else end
        assert all(word.text and not any(map(str.isspace, word.text)) for word in words)


def test_words_between_spaces() -> None:
    text, words = spaced(["New", "York", "."])
    assert text == "New York ." and [text[w.start : w.end] for w in words] == ["New", "York", "."]
    assert spaced([]) == ("", [])


# -- the lexicon -------------------------------------------------------------------------------------


def test_a_word_is_looked_up_as_it_stands_and_then_in_lower_case(tmp_path: Path) -> None:
    lexicon = learn_lexicon([["The", "THE", "Paris", "xY", "nai\u0308ve"]], known=["paris", "Paris", "the"])
    assert lexicon.words == ["the", "Paris", "xy", "naïve", "paris"] and len(lexicon) == 6
    ids = [lexicon.id(word) for word in ("Paris", "PARIS", "The", "Xy", "na\u00efve", "Berlin")]
    assert ids == [2, 5, 1, 3, 4, 0]
    again = Lexicon.parse((tmp_path / lexicon.save(tmp_path, "words")).read_bytes(), "words")
    assert again.words == lexicon.words


@pytest.mark.parametrize("content", [b"a\na\n", b"a\n\nb\n", b"\xff\n"])
def test_a_damaged_lexicon_is_refused(content: bytes) -> None:
    with pytest.raises(TxError, match=r"words.txt is not a list of words"):
        Lexicon.parse(content, "words.txt")
    assert Lexicon.parse(b"", "words.txt").words == []
