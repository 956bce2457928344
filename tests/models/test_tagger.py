"""The chain of tags against all paths written out, and what every tagger promises: padding, batches, packages."""

import itertools
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from small import demo_tokenizer
from tx.data.tagged import TagSampler, WordEncoder, shape_of
from tx.decode.tag import Entity, Tagger, format_inline, open_tagger
from tx.errors import TxError
from tx.models import load_model, model_config, weights_of
from tx.models.tagger import Config, Model
from tx.nn.crf import LinearChainCRF
from tx.package import Package, write_package
from tx.text.alphabet import AlphabetTokenizer
from tx.text.conll import Span, spans_from_tags
from tx.text.lexicon import Lexicon
from tx.text.words import split_words

TYPES = ["LOC", "PER"]
WORDS = ["I", "am", "Jiaqi", "of", "Shenzhen", ",", "the", "city", "@openml", "x" * 40, "中文", "\u00ad"]


# -- the crf ---------------------------------------------------------------------------------------


def random_crf(seed: int) -> LinearChainCRF:
    torch.manual_seed(seed)
    crf = LinearChainCRF(len(TYPES))
    torch.nn.init.normal_(crf.transitions)
    return crf


def paths_of(crf: LinearChainCRF, emissions: Tensor) -> dict[tuple[int, ...], float]:
    """Every path that BIO allows, with its score; tags are O, B-LOC, I-LOC, B-PER, I-PER."""
    found = {}
    for path in itertools.product(range(5), repeat=len(emissions)):
        steps = list(zip((0, *path), path, strict=False))
        if all(to not in (2, 4) or start in (to, to - 1) for start, to in steps):
            score = sum(float(emissions[t, tag]) for t, tag in enumerate(path))
            found[path] = score + sum(float(crf.transitions[a, b]) for a, b in steps[1:])
    return found


@pytest.mark.parametrize("seed", range(5))
@torch.no_grad()
def test_the_chain_agrees_with_all_paths(seed: int) -> None:
    crf, lengths = random_crf(seed), (4, 1, 3)
    emissions = 2 * torch.randn(3, 4, 5)
    mask = torch.arange(4) < torch.tensor(lengths)[:, None]
    forwards, backwards = crf.forward_scores(emissions, mask), crf.backward_scores(emissions, mask)
    best, loss, gold = crf.viterbi(emissions, mask), 0.0, torch.zeros(3, 4, dtype=torch.long)
    for row, n in enumerate(lengths):
        paths = paths_of(crf, emissions[row, :n])
        total = math.log(sum(map(math.exp, paths.values())))
        assert forwards[row, -1].logsumexp(0) == pytest.approx(total, abs=1e-4)
        sums = (forwards[row, :n] + backwards[row, :n]).logsumexp(dim=1)
        assert torch.allclose(sums, torch.tensor(total), atol=1e-4)
        assert tuple(best[row, :n].tolist()) == max(paths, key=lambda path: paths[path])
        chosen = sorted(paths)[len(paths) // 2]
        gold[row, :n] = torch.tensor(chosen)
        loss += total - paths[chosen]
        own = [tensor[row, :n] for tensor in (emissions, forwards, backwards)]
        for span in (Span(a, b, type) for b in range(1, n + 1) for a in range(b) for type in TYPES):
            tags = ["O", "B-LOC", "I-LOC", "B-PER", "I-PER"]
            having = [s for p, s in paths.items() if span in spans_from_tags([tags[tag] for tag in p])]
            wanted = math.log(sum(map(math.exp, having))) - total
            got = crf.span_logprob(*own, span.start, span.end, TYPES.index(span.type))
            assert got == pytest.approx(wanted, abs=1e-4)
    assert float(crf.loss(emissions, gold, mask)) == pytest.approx(loss, abs=1e-3)


def test_the_loss_of_the_chain_has_the_right_gradient() -> None:
    crf = random_crf(1).double()
    emissions = torch.randn(2, 3, 5, dtype=torch.double, requires_grad=True)
    tags, mask = torch.tensor([[1, 2, 0], [3, 0, 0]]), torch.tensor([[True] * 3, [True, True, False]])
    crf.transitions.data = crf.transitions.data.float()  # as trained; emissions show the rest
    assert torch.autograd.gradcheck(lambda e: crf.loss(e, tags, mask), (emissions,), atol=1e-4)


# -- the model ---------------------------------------------------------------------------------------


def word_encoder() -> WordEncoder:
    characters = AlphabetTokenizer("".join(sorted({c for word in WORDS[:9] for c in word})))
    return WordEncoder(demo_tokenizer(), characters, Lexicon(["am", "of", "city", "shenzhen"]))


def random_tagger(encoder: str) -> Tagger:
    torch.manual_seed(3)
    book = word_encoder()
    sizes = len(book.tokenizer), len(book.lexicon), 3, len(book.characters)
    shape: dict[str, Any] = {"d_model": 8, "d_ff": 8, "n_heads": 2, "n_layers": 2, "n_filters": 4}
    model = Model(Config(*sizes, TYPES, encoder, d_piece=4, d_word=5, d_character=3, **shape))  # type: ignore[arg-type]
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(2)  # sharper choices, so that rounding decides none
        torch.nn.init.normal_(model.crf.transitions)
    return Tagger(model.eval(), book)


def sentences() -> list[list[str]]:
    rng = np.random.default_rng(1)
    return [[WORDS[i] for i in rng.integers(len(WORDS), size=n)] for n in (5, 1, 30, 12, 3, 8)]


every_encoder = pytest.mark.parametrize("encoder", ["lstm", "transformer"])


@every_encoder
@torch.no_grad()
def test_padding_changes_nothing(encoder: str) -> None:
    tagger = random_tagger(encoder)
    together = tagger.model(tagger.encoder.batch(sentences()))
    for row, sentence in enumerate(sentences()):
        alone = tagger.model(tagger.encoder.batch([sentence]))[0]
        assert torch.allclose(together[row, : len(sentence)], alone, atol=1e-5)


@every_encoder
def test_a_batch_is_tagged_as_its_sentences_one_by_one(encoder: str) -> None:
    tagger = random_tagger(encoder)
    together = tagger.tag([*sentences(), []])
    assert together[-1].tags == [] and together[-1].entities == []
    assert any(found.entities for found in together)
    for sentence, found in zip(sentences(), together, strict=False):
        (alone,) = tagger.tag([sentence])
        assert alone.tags == found.tags and len(alone.tags) == len(sentence)
        assert [e.span for e in found.entities] == spans_from_tags(found.tags)
        for one, two in zip(alone.entities, found.entities, strict=True):
            assert 0 < one.score <= 1 and one.score == pytest.approx(two.score, abs=1e-4)


@every_encoder
def test_the_loss_is_the_sum_over_sentences(encoder: str) -> None:
    tagger, rng = random_tagger(encoder), np.random.default_rng(2)
    tags = [[int(tag) for tag in rng.choice([0, 1, 3], size=len(s))] for s in sentences()]
    with torch.no_grad():
        loss, n = tagger.model.loss(tagger.encoder.batch(sentences(), tags))
        alone = [
            tagger.model.loss(tagger.encoder.batch([s], [t])) for s, t in zip(sentences(), tags, strict=True)
        ]
    assert n == sum(map(len, sentences())) == sum(n for _, n in alone)
    assert float(loss) == pytest.approx(sum(float(one) for one, _ in alone), rel=1e-5)


@every_encoder
def test_every_weight_learns(encoder: str) -> None:
    tagger = random_tagger(encoder)
    batch = tagger.encoder.batch(sentences(), [[1] * len(s) for s in sentences()])
    tagger.model.loss(batch)[0].backward()
    idle = [name for name, p in tagger.model.named_parameters() if p.grad is None or not p.grad.any()]
    assert idle == ["reader.others"]  # words that only the vectors know


def test_an_overlong_sentence_is_tagged_in_parts() -> None:
    tagger, words = random_tagger("lstm"), [*WORDS[:9]] * 100
    (found,) = tagger.tag([words])
    assert len(found.tags) == len(words)
    parts = [tag for at in range(0, 900, 200) for tag in tagger.tag([words[at : at + 200]])[0].tags]
    assert found.tags == parts


def test_a_word_is_read_by_its_pieces_its_characters_and_its_shape() -> None:
    book = word_encoder()
    batch = book.batch([["am", "Shenzhen", "x" * 40]])
    pieces = [book.tokenizer.encode(word)[:8] for word in ("am", "Shenzhen", "x" * 24)]
    assert batch.pieces[0].tolist() == [id for word in pieces for id in word]
    assert batch.first[0].tolist() == [0, len(pieces[0]), len(pieces[0]) + len(pieces[1])]
    assert batch.word_of[0].tolist() == [n for n, word in enumerate(pieces) for _ in word]
    assert batch.words[0].tolist() == [1, 4, 0]  # found in lower case; unknown
    assert batch.characters.shape == (1, 3, 24)
    assert batch.characters[0, 0].tolist() == [*book.characters.encode("am"), *[book.characters.pad_id] * 22]
    assert batch.n_tokens == 3 and batch.mask.all() and not batch.tags.any()


def test_shapes_tell_words_apart() -> None:
    words = [
        "word",
        "Word",
        "WORD",
        "wOrd",
        "w0rd",
        "12",
        "...",
        "@me",
        "#me",
        "www.x.org",
        "a-b",
        "Inc.",
        "é",
    ]
    assert len({tuple(shape_of(word)) for word in words}) == len(words)
    assert shape_of("Shanghai") == shape_of("Word")


def test_an_epoch_visits_every_sentence_once() -> None:
    many = [[str(n)] * (n % 5 + 1) for n in range(50)]
    sampler = TagSampler(word_encoder(), many, [[0] * len(s) for s in many], 8, seed=1)
    epochs = [[sampler._load(epoch, 0)] for epoch in range(2)]
    for (batches,) in epochs:
        assert sorted(i for batch in batches for i in batch) == list(range(50))
    assert [list(batch) for batch in epochs[0][0]] != [list(batch) for batch in epochs[1][0]]


# -- packages ----------------------------------------------------------------------------------------


def keep(tagger: Tagger, path: Path, **changes: Any) -> Path:
    from safetensors.torch import save_file

    book = tagger.encoder
    kept: dict[str, Any] = {"tokenizer": book.tokenizer, "characters": book.characters, "words": book.lexicon}
    write_package(
        path,
        lambda folder: save_file(weights_of(tagger.model), folder / "weights.safetensors"),
        task="tagging",
        arch="tagger",
        config=model_config(tagger.model),
        tokenizers=kept | changes,
    )
    return path


@every_encoder
def test_saving_and_loading_changes_nothing(encoder: str, tmp_path: Path) -> None:
    tagger = random_tagger(encoder)
    again = open_tagger(keep(tagger, tmp_path / "m"), "cpu", 1)
    for one, two in zip(tagger.tag(sentences()), again.tag(sentences()), strict=True):
        assert one.tags == two.tags
    assert isinstance(load_model(Package.open(tmp_path / "m"), torch.device("cpu")), Model)


def test_a_package_whose_parts_do_not_fit_is_refused(tmp_path: Path) -> None:
    tagger = random_tagger("lstm")
    with pytest.raises(TxError, match="vocabularies"):
        open_tagger(keep(tagger, tmp_path / "a", words=Lexicon(["am"])), "cpu", 1)
    with pytest.raises(TxError, match="has no words"):
        open_tagger(keep(tagger, tmp_path / "b", words=demo_tokenizer()), "cpu", 1)


@pytest.mark.parametrize(
    "config",
    [
        {"d_model": 7},
        {"encoder": "transformer", "n_heads": 3},
        {"types": ["a\nb"]},
        {"types": [1]},
        {"n_words": 1, "n_trained": 2},
    ],
)
def test_what_is_no_configuration(config: dict[str, Any]) -> None:
    with pytest.raises(TxError):
        Config(**config)


def test_names_in_brackets() -> None:
    text = "I work at  New York, N.Y."
    words = split_words(text)
    entities = [Entity(Span(3, 5, "LOC"), 0.987), Entity(Span(6, 7, "LOC"), 0.5)]
    assert format_inline(text, words, entities) == "I work at  [LOC New York], [LOC N.Y.]"
    assert format_inline(text, words, entities, True) == "I work at  [LOC 0.99 New York], [LOC 0.50 N.Y.]"
