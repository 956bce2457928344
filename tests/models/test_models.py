"""The contract of every translator in `tx.models`; a new architecture is found by its file."""

import functools
import random
import re
from dataclasses import fields, replace
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional as F

import tx.tasks
from tx.config.schema import LoopTrainConfig
from tx.data.batch import Batch, make_batch
from tx.decode.search import greedy_search
from tx.errors import TxError
from tx.models import architectures, load_architecture, load_model, model_config, weights_of
from tx.nn.attention import record_attention
from tx.package import WEIGHTS, Package, write_package
from tx.training.optim import Optimizer

WATCHED = r"(encoder|decoder|cross) [1-9]\d*"
V = 29  # target vocabulary; ids 0 </s>, 1 <unk>, 28 <pad>
PAD = V - 1
SMALL = {
    "d_model": 32,
    "d_ff": 64,
    "n_heads": 4,
    "n_layers": 2,
    "n_encoder_layers": 2,
    "n_decoder_layers": 2,
    "dropout": 0.0,
    "max_len": 48,
}
VARIANTS: dict[str, dict[str, Any]] = {
    "plain": {},
    "post-norm": {"norm": "post", "positions": "concatenated", "position_start": 2},
    "learned positions": {"positions": "learned"},
    "untied": {"tie_embeddings": False},
    "two vocabularies": {"shared_vocab": False, "src_vocab_size": 41},
    "no attention, as Sutskever": {"attention": "none", "reverse_source": True, "bidirectional": False},
    "no attention, as Cho": {"attention": "none", "context_at_each_step": True, "cell": "gru"},
    "bahdanau": {"attention": "bahdanau", "cell": "gru"},
    "luong dot": {"luong_score": "dot", "cell": "rnn"},
    "luong concat": {"luong_score": "concat"},
    "input feeding": {"input_feeding": True},
    "two vocabularies, untied": {"shared_vocab": False, "src_vocab_size": 17, "tie_embeddings": False},
}


def config_of(arch: str, **changes: Any) -> Any:
    """A small Config; an architecture without some of these fields is tested without them."""
    config = load_architecture(arch).Config
    values = {"src_vocab_size": V, "tgt_vocab_size": V, **SMALL, **changes}
    return config(**{f.name: values[f.name] for f in fields(config) if f.name in values})


def translators() -> list[tuple[str, str]]:
    """Every architecture that translates, with each variant that its Config knows."""
    found = []
    for arch, (variant, changes) in product(architectures(), VARIANTS.items()):
        module = load_architecture(arch)
        if module.TASK == "translation" and changes.keys() <= {f.name for f in fields(module.Config)}:
            found.append((arch, variant))
    return found


ALL = translators()
NAMES = sorted({arch for arch, _ in ALL})
every_model = pytest.mark.parametrize(("arch", "variant"), ALL)
every_arch = pytest.mark.parametrize("arch", NAMES)


@functools.cache
def model_of(arch: str, variant: str = "plain") -> Any:
    """A model in evaluation mode whose biases and norms are not at their neutral start; not to be changed."""
    torch.manual_seed(3)
    with (
        torch.inference_mode(False),
        torch.no_grad(),
    ):  # also where a test in inference mode is the first to ask
        model = load_architecture(arch).Model(config_of(arch, **VARIANTS[variant]))
        for name, parameter in model.named_parameters():
            if "embedding" not in name:
                parameter.add_(torch.randn_like(parameter) * 0.1)
    return model.eval()


def src_pad(model: Any) -> int:
    return int(model.config.src_vocab_size) - 1


def sentences(chance: random.Random, lengths: list[int], pad: int) -> list[list[int]]:
    return [[chance.randrange(2, pad) for _ in range(n)] for n in lengths]


def pairs(model: Any, seed: int = 0, lengths: tuple[tuple[int, int], ...] = ()) -> list[tuple[Any, Any]]:
    chance = random.Random(seed)
    lengths = lengths or ((5, 3), (2, 7), (9, 1), (1, 5), (6, 0), (3, 4))
    src, tgt = zip(*lengths, strict=True)
    return list(
        zip(sentences(chance, src, src_pad(model)), sentences(chance, tgt, PAD), strict=True)  # type: ignore[arg-type]
    )


def batch_of(model: Any, chosen: list[tuple[Any, Any]]) -> Batch:
    src, tgt = zip(*chosen, strict=True)
    return make_batch(src, tgt, src_pad(model), PAD)


def close(a: Tensor, b: Tensor) -> None:
    torch.testing.assert_close(a, b, rtol=1e-4, atol=2e-5)


def test_architectures_are_found_by_their_files() -> None:
    assert ALL and architectures() == [name for name in tx.tasks.architectures() if name != "word2vec"]


# --- the loss ---


@every_model
def test_loss_is_the_cross_entropy_of_the_real_tokens(arch: str, variant: str) -> None:
    model = model_of(arch, variant)
    chosen = pairs(model)
    batch = batch_of(model, chosen)
    for smoothing in (0.0, 0.1):
        loss, n = model.loss(batch, smoothing)
        expected = torch.zeros(())
        for logits, (_, tgt) in zip(model(batch), chosen, strict=True):
            expected += F.cross_entropy(
                logits[: len(tgt) + 1],
                torch.tensor([*tgt, 0]),
                label_smoothing=smoothing,
                reduction="sum",
            )
        assert n == sum(len(tgt) + 1 for _, tgt in chosen)
        close(loss, expected)


@every_model
@pytest.mark.parametrize("cut", [1, 3, 5])
def test_losses_and_gradients_add_up_over_batches(arch: str, variant: str, cut: int) -> None:
    model = model_of(arch, variant)
    chosen = pairs(model)
    parts = (chosen[:cut], chosen[cut:])
    model.zero_grad()
    whole, n = model.loss(batch_of(model, chosen), 0.1)
    whole.backward()
    gradients = [p.grad for p in model.parameters()]
    model.zero_grad()
    losses = [model.loss(batch_of(model, part), 0.1) for part in parts]
    for loss, _ in losses:
        loss.backward()
    close(whole, sum(loss for loss, _ in losses))
    assert n == sum(count for _, count in losses)
    for expected, parameter in zip(gradients, model.parameters(), strict=True):
        assert expected is not None and parameter.grad is not None, "every parameter has a part in the loss"
        close(parameter.grad, expected)
    model.zero_grad()


# --- what may not matter, and what must ---


@every_model
@torch.inference_mode()
def test_padding_changes_nothing(arch: str, variant: str) -> None:
    model = model_of(arch, variant)
    chosen = pairs(model)
    together = model(batch_of(model, chosen))
    wider = batch_of(model, [*chosen, *pairs(model, 1, ((30, 40),))])
    for i, pair in enumerate(chosen):
        alone = model(batch_of(model, [pair]))[0]
        close(together[i, : len(alone)], alone)
        close(model(wider)[i, : len(alone)], alone)


@every_model
@torch.inference_mode()
def test_future_tokens_change_nothing_and_past_ones_do(arch: str, variant: str) -> None:
    model = model_of(arch, variant)
    batch = batch_of(model, pairs(model, 5, ((6, 12), (3, 12))))
    before = model(batch)
    for t in range(1, 13):
        changed = batch.tgt_in.clone()
        changed[:, t] = 2 + (changed[:, t] - 2 + 1) % (PAD - 2)
        after = model(replace(batch, tgt_in=changed))
        close(after[:, :t], before[:, :t])
        assert ((after[:, t:] - before[:, t:]).abs().amax(-1) > 1e-4).all(), "all later logits depend on it"


@every_model
def test_gradients_do_not_reach_the_future(arch: str, variant: str) -> None:
    """The gradient of position t's logits with respect to the embeddings of the tokens."""
    model = model_of(arch, variant)
    tgt = list(range(2, 12))  # all different
    src = [20 % src_pad(model)] * 4
    embedding = next(m for m in model.modules() if isinstance(m, nn.Embedding) and m.num_embeddings == V)
    seen: list[Tensor] = []

    def catch(module: nn.Module, inputs: Any, output: Tensor) -> None:
        output.retain_grad()
        seen.append(output)

    handle = embedding.register_forward_hook(catch)
    try:
        for t in (0, 4, 9):
            seen.clear()
            model(batch_of(model, [(src, tgt)]))[0, t].pow(2).sum().backward()
            grad = seen[-1].grad  # the target is embedded after the source
            assert grad is not None and grad.shape[1] == len(tgt) + 1
            assert not grad[0, t + 1 :].any() and grad[0, : t + 1].any(-1).all()
    finally:
        handle.remove()
        model.zero_grad()


@every_model
@torch.inference_mode()
def test_every_source_token_matters_and_so_does_its_place(arch: str, variant: str) -> None:
    model = model_of(arch, variant)
    src = [2, 3, 4, 5, 6]
    before = model(batch_of(model, [(src, [7, 8])]))
    swapped = [([*src[:i], src[i + 1], src[i], *src[i + 2 :]], [7, 8]) for i in range(4)]
    other = [([*src[:i], 9, *src[i + 1 :]], [7, 8]) for i in range(5)]
    for after in model(batch_of(model, swapped + other)):
        assert (after - before[0]).abs().max() > 1e-4


# --- decoding step by step ---


@every_model
@torch.inference_mode()
def test_step_is_the_forward_pass_at_every_position(arch: str, variant: str) -> None:
    """Over 40 positions: the cache grows several times."""
    model = model_of(arch, variant)
    batch = batch_of(model, pairs(model, 2, ((5, 39), (40, 39), (1, 39))))
    expected = model(batch)
    state = model.start(batch)
    for t in range(40):
        logits, state = model.step(batch.tgt_in[:, t], state)
        close(logits, expected[:, t])


@every_model
@given(seed=st.integers(0, 10_000))
@settings(max_examples=12, deadline=None)
@torch.inference_mode()
def test_reorder_selects_repeats_and_drops(arch: str, variant: str, seed: int) -> None:
    """A random walk of steps and reorders; each row must go on as its own prefix would by itself."""
    model, chance = model_of(arch, variant), random.Random(seed)
    sources = sentences(chance, [chance.randint(1, 9) for _ in range(chance.randint(1, 4))], src_pad(model))
    state = model.start(make_batch(sources, None, src_pad(model), PAD))
    rows: list[tuple[list[int], list[int]]] = [(src, []) for src in sources]  # (source, its tokens so far)
    width, tokens = 1, torch.full((len(rows),), PAD)
    for _ in range(chance.randint(2, 13)):
        logits, state = model.step(tokens, state)
        batch = batch_of(model, rows)
        close(logits, model(batch)[:, -1])
        groups = chance.choice(
            (range(len(rows) // width), chance.sample(range(len(rows) // width), len(rows) // width))
        )
        groups = list(groups)[: chance.randint(1, len(groups))] if chance.random() < 0.3 else list(groups)
        new_width = chance.choice((width, chance.randint(1, 3)))
        index = [group * width + chance.randrange(width) for group in groups for _ in range(new_width)]
        if chance.random() < 0.8:
            state.reorder(torch.tensor(index), new_width)
            rows, width = [rows[i] for i in index], new_width
        chosen = [chance.randrange(PAD) for _ in rows]
        rows = [(src, [*prefix, token]) for (src, prefix), token in zip(rows, chosen, strict=True)]
        tokens = torch.tensor(chosen)


@every_arch
@torch.inference_mode()
def test_a_state_without_rows_is_no_error(arch: str) -> None:
    """When the last sentence has finished, nothing is left to reorder."""
    model = model_of(arch)
    batch = batch_of(model, pairs(model))
    _, state = model.step(batch.tgt_in[:, 0], model.start(batch))
    state.reorder(torch.tensor([], dtype=torch.long), 1)


# --- attention ---


@every_model
@torch.inference_mode()
def test_attention_is_shown_by_layer_and_head(arch: str, variant: str) -> None:
    """Every row is a distribution over real pieces of the past, and to watch changes nothing."""
    model = model_of(arch, variant)
    chosen = pairs(model, 7)
    batch = batch_of(model, chosen)
    n_rows, logits = {"encoder": batch.src.size(1)}, model(batch)
    with record_attention(model.attentions()) as seen:
        close(model(batch), logits)
    assert list(seen) == list(model.attentions()) and all(re.fullmatch(WATCHED, name) for name in seen)
    assert bool(seen) == (getattr(model.config, "attention", "") != "none")
    for name, calls in seen.items():
        kind, weights = name.split()[0], torch.cat(calls, dim=2)  # [B, H, T, S]
        assert weights.size(1) == getattr(model.config, "n_heads", 1)
        assert weights.size(2) == n_rows.get(kind, batch.tgt_in.size(1))
        close(weights.sum(dim=-1), torch.ones(weights.shape[:-1]))
        for row, (src, _) in zip(weights, chosen, strict=True):
            if kind != "decoder":
                assert not row[..., len(src) + 1 :].any()
            else:
                assert not row.triu(1).any()
    model(batch)
    assert all(module.recorded is None for module in model.attentions().values()), "recording has ended"


@every_model
@torch.inference_mode()
def test_a_step_shows_the_row_of_its_position(arch: str, variant: str) -> None:
    model = model_of(arch, variant)
    batch = batch_of(model, pairs(model, 2, ((5, 11), (9, 11))))
    with record_attention(model.attentions()) as seen:
        model(batch)
    whole = {name: torch.cat(calls, dim=2) for name, calls in seen.items()}
    state = model.start(batch)
    for t in range(12):
        with record_attention(model.attentions()) as step:
            _, state = model.step(batch.tgt_in[:, t], state)
        for name, calls in step.items():
            if not name.startswith("encoder"):
                (row,) = calls
                width = min(whole[name].size(3), row.size(3))
                close(row[:, :, 0, :width], whole[name][:, :, t, :width])
                assert not row[..., width:].any() and not whole[name][:, :, t, width:].any()


# --- training ---


@every_model
def test_the_row_of_pad_stays_zero(arch: str, variant: str) -> None:
    """After updates with weight decay and momentum: other tools start their decoder from a zero row."""
    torch.manual_seed(1)
    model = load_architecture(arch).Model(config_of(arch, **VARIANTS[variant], dropout=0.1)).train()
    embeddings = [m for m in model.modules() if isinstance(m, nn.Embedding)]
    assert {m.num_embeddings for m in embeddings} == {model.config.src_vocab_size, V}
    optimizer = Optimizer(model, LoopTrainConfig(lr=0.01, weight_decay=0.1))
    before = [m.weight.detach().clone() for m in embeddings]
    for step in range(5):
        loss, n = model.loss(batch_of(model, pairs(model, step)), 0.1)
        (loss / n).backward()
        optimizer.step(0.01, step)
    for embedding, old in zip(embeddings, before, strict=True):
        assert not embedding.weight[-1].any()
        assert (embedding.weight[:-1] != old[:-1]).any(-1).all()


@every_arch
def test_dropout_acts_in_training_alone_and_follows_the_seed(arch: str) -> None:
    model = load_architecture(arch).Model(config_of(arch, dropout=0.3))
    batch = batch_of(model, pairs(model))
    losses = []
    for seed in (1, 2, 1):
        torch.manual_seed(seed)
        losses.append(model.train().loss(batch)[0].item())
    assert losses[0] == losses[2] != losses[1]
    assert model.eval().loss(batch)[0].item() == model.loss(batch)[0].item()


@every_model
@pytest.mark.timeout(20)
def test_eight_pairs_are_learnt_by_heart(arch: str, variant: str) -> None:
    torch.manual_seed(1)
    model = load_architecture(arch).Model(config_of(arch, **VARIANTS[variant]))
    chosen = pairs(model, 9, tuple((n % 5 + 1, (3 * n) % 7 + 1) for n in range(8)))
    batch = batch_of(model, chosen)
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    for _ in range(100):
        loss, n = model.train().loss(batch)
        optimizer.zero_grad()
        (loss / n).backward()
        optimizer.step()
    assert loss.item() / n < 0.05
    with torch.inference_mode():
        found = greedy_search(model.eval(), batch, max_lens=[20] * 8, bos_id=PAD, eos_id=0)
    assert [hypotheses[0].ids for hypotheses in found] == [tgt for _, tgt in chosen]


# --- saving and loading ---


def package_of(model: Any, arch: str, path: Path, **changes: Any) -> Package:
    def fill(folder: Path) -> None:
        weights = {name: value.clone() for name, value in weights_of(model).items()}
        for name, change in changes.get("weights", {}).items():
            weights[name] = change(weights[name])
        save_file(weights, folder / WEIGHTS)

    config = model_config(model) | changes.get("config", {})
    return write_package(path / "model", fill, task="translation", arch=arch, config=config)


@every_model
@torch.inference_mode()
def test_saving_and_loading_changes_nothing(arch: str, variant: str, tmp_path: Path) -> None:
    model = model_of(arch, variant)
    loaded: Any = load_model(package_of(model, arch, tmp_path), torch.device("cpu"))
    assert loaded.config == model.config and not loaded.training
    batch = batch_of(model, pairs(model))
    assert torch.equal(loaded(batch), model(batch))


@every_arch
def test_weights_that_do_not_fit_are_refused(arch: str, tmp_path: Path) -> None:
    model = model_of(arch)
    name = next(iter(weights_of(model)))
    for number, (changes, word) in enumerate(
        [
            ({"config": {"tgt_vocab_size": V + 1}}, "does not fit"),
            ({"config": {"no_such_key": 1}}, "does not describe"),
            ({"config": {"max_len": "long"}}, "does not describe"),
            ({"weights": {name: lambda value: value.T.contiguous()}}, "does not fit"),
            ({"weights": {name: lambda value: value * float("nan")}}, "not finite"),
        ]
    ):
        package = package_of(model, arch, tmp_path / str(number), **changes)
        with pytest.raises(TxError, match=word):
            load_model(package, torch.device("cpu"))


def test_an_unknown_architecture_gets_a_suggestion() -> None:
    with pytest.raises(TxError) as caught:
        load_architecture("transfomer")
    assert "transformer" in (caught.value.hint or "")


@pytest.mark.parametrize("changes", [{"n_heads": 5}, {"d_model": 33, "n_heads": 3}])
def test_widths_that_do_not_work_out_are_told(changes: dict[str, int], tmp_path: Path) -> None:
    with pytest.raises(TxError, match="d_model"):
        config_of("transformer", **changes)
    package = package_of(model_of("transformer"), "transformer", tmp_path, config=changes)
    with pytest.raises(TxError, match=r"does not describe.*d_model"):
        load_model(package, torch.device("cpu"))
