"""One file, one architecture; what stands in this folder is what `tx train` knows.

An architecture is a module with `TASK` (what it is for), `Config` (a dataclass whose fields carry their help)
and `Model`, built from a Config. The contract of a translator:

    loss(batch, label_smoothing)   (sum of the target tokens' losses in nats, number of target tokens)
    model(batch)                   the logits of every target position
    start(batch)                   a State; State.reorder(index, width) selects or repeats its rows
    step(tokens, State)            (logits of the next token, the State after `tokens`)
    attentions()                   what attends, as "encoder 1", "decoder 1", "cross 1" ...: `tx.nn.attention.watch`
                                   then keeps the weights of every forward pass and step, by head

The contract of a language model, whose batches are those of `tx.data.stream`, and whose texts begin with `</s>`:

    carries                        whether training is on contiguous streams, from batch to batch
    loss(batch, label_smoothing)   (sum of all tokens' losses in nats, number of tokens); moves `batch.carry` on
    model(batch)                   the logits of every position; moves `batch.carry` on
    start(n)                       a State of n rows that have read nothing
    read(tokens [N, T], State)     (logits of the next token, the State after `tokens`)
    step(tokens [N], State)        the same for one token of each row

The contract of a tagger, whose batches are those of `tx.data.tagged`:

    config.types, config.tags      the types of entities, and the tags in BIO by their numbers
    loss(batch, label_smoothing)   (sum of the sentences' losses in nats, number of words)
    model(batch)                   the score of each tag for each word, of which `chain` chooses
    chain                          a `tx.nn.crf.Chain`
    reader.start(vectors)          begin with these embeddings of the lexicon's words

Logits leave out `<pad>`, which is last in every vocabulary. A model with `config.max_len` reads no more tokens.
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
    """The names of all architectures, without importing one."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__))


def load_architecture(name: str) -> ModuleType:
    """The module of an architecture. Raises TxError for one that is not there."""
    if name not in architectures():
        raise TxError(
            f"there is no architecture '{name}'",
            did_you_mean(name, architectures()) or f"there are: {', '.join(architectures())}",
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
    """The model in a package, in evaluation mode. Raises TxError if its weights do not fit its configuration.

    The names and shapes in the file are compared with the model's before anything is read or allocated.
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
                f"{package.path}: {name} in {WEIGHTS} holds values that are not finite",
                "train or get it again",
            )
    model.load_state_dict(weights, strict=False)  # buffers are computed, not stored
    return model.to(device).eval()


def model_config(model: nn.Module) -> dict[str, Any]:
    """The configuration of a model as plain values, for model.json."""
    config: Any = model.config
    return dict(asdict(config))


def weights_of(model: nn.Module) -> dict[str, torch.Tensor]:
    """The parameters of a model by name, each once, on the CPU, contiguous: what weights.safetensors holds."""
    return {name: p.detach().to("cpu", torch.float32).contiguous() for name, p in model.named_parameters()}
