"""The architectures: each module of this package is one, and the name of the file is its name.

An architecture is a module with `TASK` (the task it is for), `Config` (a dataclass whose fields carry their help) and
`Model`, which is built from a Config. `loss` and `forward` change nothing in the model or the batch. What a model for
translation offers:

    loss(batch, label_smoothing)   (sum of the target tokens' losses in nats, number of target tokens)
    model(batch)                   the logits of every target position
    start(batch)                   a State; State.reorder(index, width) selects or repeats its rows
    step(tokens, state)            (logits of the next token, the State after `tokens`)
    attentions()                   its attention layers by name ("encoder 1", "decoder 1", "cross 1" ...), whose
                                   weights `tx.nn.attention.record_attention` records

A language model; its batches are those of `tx.data.stream`, and every text begins after `</s>`. A recurrent state is
a tuple of tensors, `()` at the start of the streams; a model without one ignores it and returns `()`:

    stateful                                       whether it is trained on contiguous streams, batch after batch
    loss(batch, label_smoothing, state)            (sum of all tokens' losses in nats, number of tokens, new state)
    model(batch, state)                            (logits of every position, new state)
    start(n)                                       a State of n rows that have read nothing
    feed(tokens [N, T], State)                     (logits of the next token, the State after `tokens`)
    step(tokens [N], State)                        the same for one token of each row

A tagger; its batches are those of `tx.data.tagged`:

    config.types, config.tags      the entity types, and the BIO tags in the order of their ids
    loss(batch, label_smoothing)   (sum of the sentences' losses in nats, number of words)
    model(batch)                   the emissions: a score for each tag of each word
    crf                            a `tx.nn.crf.LinearChainCRF`, which decodes them
    reader.load_embeddings(vectors)  start from these word embeddings

Logits do not include `<pad>`, the last id of every vocabulary. A model with `config.max_len` reads no more tokens.
"""

import importlib
import pkgutil
from dataclasses import asdict
from types import ModuleType
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from tx.errors import TxError, did_you_mean
from tx.package import WEIGHTS, Package


def architectures() -> list[str]:
    """The names of all architectures; imports none of them."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__))


def load_architecture(name: str) -> ModuleType:
    """The module of an architecture. Raises TxError if there is none of this name."""
    if name not in architectures():
        raise TxError(
            f"there is no architecture '{name}'",
            did_you_mean(name, architectures()) or f"the architectures are {', '.join(architectures())}",
        )
    return importlib.import_module(f"{__name__}.{name}")


class SkipInit(TorchFunctionMode):
    """Leaves parameters as they are allocated. To draw them on the device `meta` would import torch's compiler,
    which takes as long as torch itself, and where they are loaded next it is work for nothing."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if getattr(func, "__module__", "") == "torch.nn.init":
            return args[0] if args else kwargs["tensor"]
        return func(*args, **(kwargs or {}))


def load_model(package: Package, device: torch.device) -> nn.Module:
    """The model of a package, in evaluation mode. Raises TxError if its weights do not fit its configuration.

    The names and shapes in the file are compared with those of the model before anything is read or allocated.
    """
    from safetensors.torch import load_file

    architecture = load_architecture(package.arch or "")
    try:
        with torch.device("meta"), SkipInit():
            model: nn.Module = architecture.Model(architecture.Config(**package.config))
    except (TxError, TypeError, ValueError, RuntimeError, KeyError, ArithmeticError) as error:
        raise TxError(f"{package.path}: its config does not describe a {package.arch}: {error}") from error
    expected = {name: tuple(p.shape) for name, p in model.named_parameters()}
    found = {name: tuple(tensor.shape) for name, tensor in package.tensors.items()}
    for name in sorted(expected.keys() | found.keys()):
        if expected.get(name) != found.get(name):
            raise TxError(
                f"{package.path}: {WEIGHTS} does not fit the config: {name} is {found.get(name, 'missing')}, "
                f"and {expected.get(name, 'nothing')} was expected",
                "the package was put together from different models; export it again from where it was made",
            )
    with SkipInit():
        model = architecture.Model(architecture.Config(**package.config))
    weights = load_file(package.file(WEIGHTS))
    for name, value in weights.items():
        if not bool(value.isfinite().all()):
            raise TxError(
                f"{package.path}: {name} in {WEIGHTS} has values that are not finite",
                "train, copy or download the package again",
            )
    model.load_state_dict(weights, strict=False)  # buffers are computed, not stored
    return model.to(device).eval()


def model_config(model: nn.Module) -> dict[str, Any]:
    """The configuration of a model as plain values, for model.json."""
    config: Any = model.config
    return dict(asdict(config))


def weights_of(model: nn.Module) -> dict[str, torch.Tensor]:
    """The parameters of a model by name, contiguous and on the CPU, as weights.safetensors stores them."""
    return {name: p.detach().to("cpu", torch.float32).contiguous() for name, p in model.named_parameters()}
