"""The contract of every language model in `tx.models`, in the variants of `languages.MODELS`."""

import random
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional as F

from languages import MODELS, random_model
from tx.config.schema import LoopTrainConfig
from tx.data.stream import StreamBatch
from tx.errors import TxError
from tx.models import architectures, load_architecture, load_model, model_config, weights_of
from tx.package import WEIGHTS, write_package
from tx.training.optim import Optimizer

V, B, T = 29, 3, 7  # <pad> is 28
every_model = pytest.mark.parametrize("name", MODELS)


def model_of(name: str, seed: int = 1) -> Any:
    return random_model(name, V, seed, scale=2.0)


def batch_of(seed: int = 0, n: int = B, length: int = T) -> StreamBatch:
    ids = torch.randint(V - 1, (n, length + 1), generator=torch.Generator().manual_seed(seed))
    return StreamBatch(ids[:, :-1], ids[:, 1:])


def close(a: Tensor, b: Tensor) -> None:
    torch.testing.assert_close(a, b, rtol=1e-4, atol=2e-5)


def test_every_language_model_is_tested() -> None:
    known = [arch for arch in architectures() if load_architecture(arch).TASK == "language-model"]
    assert set(known) == {arch for arch, _ in MODELS.values()}


@every_model
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_loss_is_the_cross_entropy_of_every_token(name: str, smoothing: float) -> None:
    model, batch = model_of(name), batch_of()
    logits, _ = model(batch)
    assert logits.shape == (B, T, V - 1)
    expected = F.cross_entropy(
        logits.flatten(0, 1), batch.targets.flatten(), label_smoothing=smoothing, reduction="sum"
    )
    loss, n, _ = model.loss(batch, smoothing)
    close(loss, expected)
    assert n == batch.n_tokens == B * T
    parameters = [p for name, p in model.named_parameters()]
    for ours, theirs in zip(
        torch.autograd.grad(loss, parameters), torch.autograd.grad(expected, parameters), strict=True
    ):
        close(ours, theirs)


@every_model
@torch.inference_mode()
def test_step_and_read_are_the_forward_pass(name: str) -> None:
    model, batch = model_of(name), batch_of()
    expected, _ = model(batch)
    state = model.start(B)
    for t in range(T):
        logits, state = model.step(batch.tokens[:, t], state)
        close(logits, expected[:, t])
    for cuts in ([T], [1, T - 1], [3, 1, 2, 1]):
        at, state = 0, model.start(B)
        for length in cuts:
            logits, state = model.feed(batch.tokens[:, at : at + length], state)
            at += length
            close(logits, expected[:, at - 1])


@every_model
@torch.inference_mode()
def test_rows_know_nothing_of_each_other_and_tokens_nothing_of_the_future(name: str) -> None:
    model, batch = model_of(name), batch_of()
    before, _ = model(batch)
    reach = model.config.order - 1 if name.startswith("nplm") else T  # tokens that a prediction depends on
    for t in range(T):
        changed = batch.tokens.clone()
        changed[1, t] = (changed[1, t] + 1) % (V - 1)
        after, _ = model(StreamBatch(changed, batch.targets))
        differs = ((after - before).abs().amax(-1) > 1e-5)[1].tolist()
        close(after[[0, 2]], before[[0, 2]])
        assert differs == [t <= at < t + reach for at in range(T)]


@every_model
@torch.inference_mode()
def test_reorder_selects_repeats_and_drops(name: str) -> None:
    model, chance = model_of(name), random.Random(5)
    rows: list[list[int]] = [[] for _ in range(3)]
    state = model.start(3)
    for _ in range(6):
        tokens = [chance.randrange(V - 1) for _ in rows]
        rows = [[*row, token] for row, token in zip(rows, tokens, strict=True)]
        logits, state = model.step(torch.tensor(tokens), state)
        for row, found in zip(rows, logits, strict=True):
            ids = torch.tensor([row])
            close(found, model(StreamBatch(ids, ids))[0][0, -1])
        index = [chance.randrange(len(rows)) for _ in range(chance.randint(1, 4))]
        state.reorder(torch.tensor(index), 1)
        rows = [rows[i] for i in index]
    state.reorder(torch.tensor([], dtype=torch.long), 1)


@every_model
def test_what_is_carried_on_is_the_text_before(name: str) -> None:
    """Two batches of one stream are one batch of twice the length, for a model that returns a state."""
    model, batch = model_of(name), batch_of(length=6)
    states: list[Any] = [(), ()]
    logits, losses = [], []
    first, second = (
        StreamBatch(batch.tokens[:, part], batch.targets[:, part]) for part in (slice(0, 4), slice(4, 6))
    )
    for part in (first, second):
        found, states[0] = model(part, states[0])
        loss, _, states[1] = model.loss(part, state=states[1])
        logits.append(found.detach())
        losses.append(loss)
    for state in states:
        assert bool(state) != name.startswith("transformer") and (state or not model.stateful)
        assert not any(tensor.requires_grad for tensor in state), "gradients end at the batch"
    if states[0]:
        close(torch.cat(logits, dim=1), model(batch)[0].detach())
        close(sum(losses, torch.zeros(())), model.loss(batch)[0])
    close(model(first)[0].detach(), logits[0])


@every_model
def test_the_loss_changes_nothing(name: str) -> None:
    """The same batch and state give the same loss again, and the tensors of the state are not written to."""
    model, batch = model_of(name), batch_of(length=4)
    _, _, state = model.loss(batch)
    copies = tuple(tensor.clone() for tensor in state)
    first, again = (model.loss(batch, state=state) for _ in range(2))
    close(first[0], again[0])
    assert all(map(torch.equal, state, copies)) and all(map(torch.equal, first[2], again[2]))


@every_model
def test_a_text_is_learnt_by_heart(name: str) -> None:
    arch, settings = MODELS[name]
    usual = {"max_len": 12, "d_ff": 48, "n_heads": 4} if arch == "transformer_lm" else {}
    config = {"vocab_size": V, "d_model": 32, "dropout": 0.0, **usual, **settings}
    if "d_embedding" in settings and settings.get("tie_embeddings"):
        config["d_embedding"] = 32
    config |= {"max_len": 12} if usual else {}
    architecture = load_architecture(arch)
    torch.manual_seed(1)
    model = architecture.Model(architecture.Config(**config))
    ids = torch.tensor([[2, 3, 4, 5, 3, 6, 7, 8, 5, 9, 10, 2]])
    batch = StreamBatch(ids[:, :-1], ids[:, 1:])
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    for _ in range(250):
        loss, n, _ = model.loss(batch)
        optimizer.zero_grad()
        (loss / n).backward()
        optimizer.step()
    assert loss.item() / n < 0.05


@pytest.mark.parametrize("name", ["lstm tied", "nplm", "transformer"])
def test_dropout_acts_in_training_alone_and_follows_the_seed(name: str) -> None:
    arch, settings = MODELS[name]
    architecture = load_architecture(arch)
    usual = {"n_heads": 4, "d_ff": 8} if arch == "transformer_lm" else {}
    config = architecture.Config(**{"vocab_size": V, "d_model": 24, "dropout": 0.3, **usual, **settings})
    model = architecture.Model(config)
    losses = []
    for seed in (1, 2, 1):
        torch.manual_seed(seed)
        losses.append(model.train().loss(batch_of())[0].item())
    assert losses[0] == losses[2] != losses[1]
    assert model.eval().loss(batch_of())[0].item() == model.loss(batch_of())[0].item()


@every_model
def test_every_parameter_is_trained(name: str) -> None:
    model = model_of(name).train()
    before = {name: value.clone() for name, value in weights_of(model).items()}
    optimizer = Optimizer(model, LoopTrainConfig(lr=0.01, weight_decay=0.0))
    loss, n, _ = model.loss(batch_of(length=min(T, getattr(model.config, "max_len", T))))
    (loss / n).backward()
    optimizer.step(0.01, 1)
    for name, value in weights_of(model).items():
        assert not torch.equal(value, before[name]), name


@every_model
@torch.inference_mode()
def test_saving_and_loading_changes_nothing(name: str, tmp_path: Path) -> None:
    model = model_of(name)
    package = write_package(
        tmp_path / "model",
        lambda folder: save_file(weights_of(model), folder / WEIGHTS),
        task="language-model",
        arch=MODELS[name][0],
        config=model_config(model),
    )
    loaded: Any = load_model(package, torch.device("cpu"))
    assert loaded.config == model.config and not loaded.training
    assert torch.equal(loaded(batch_of())[0], model(batch_of())[0])


# -- what is particular to one -------------------------------------------------------------------------


def test_a_transformer_reads_no_more_than_its_context() -> None:
    model = model_of("transformer")
    ids = torch.zeros(1, model.config.max_len, dtype=torch.long)
    _, state = model.feed(ids, model.start(1))
    with pytest.raises(TxError, match="13 tokens do not fit into the model's context window of 12"):
        model.step(ids[:, 0], state)


def test_widths_that_do_not_work_out_are_told() -> None:
    for arch, settings, message in [
        ("transformer_lm", {"d_model": 10, "n_heads": 4}, "a d_model of 10 is not a multiple of n_heads, 4"),
        ("transformer_lm", {"d_model": 9, "n_heads": 3, "positions": "sinusoids"}, "even"),
        ("rnn_lm", {"d_model": 9, "d_embedding": 8, "tie_embeddings": True}, "cannot share embeddings"),
    ]:
        with pytest.raises(TxError, match=message):
            load_architecture(arch).Config(vocab_size=V, **settings)


def test_nplm_is_the_formula_of_the_paper() -> None:
    """y = b + W x + U tanh(d + H x), x the embeddings of the n - 1 words before, oldest first."""
    model = model_of("nplm direct")
    ids = torch.tensor([[4, 9, 17]])
    x = torch.cat([model.embedding.weight[9], model.embedding.weight[17]])
    U, W = model.output.weight[:, :24], model.output.weight[:, 24:]
    H, d, b = model.hidden.weight, model.hidden.bias, model.output.bias
    close(model(StreamBatch(ids, ids))[0][0, -1], b + W @ x + U @ torch.tanh(d + H @ x))
    alone = torch.cat([model.embedding.weight[V - 1], model.embedding.weight[4]])  # <pad> before the text
    close(model(StreamBatch(ids, ids))[0][0, 0], b + W @ alone + U @ torch.tanh(d + H @ alone))
