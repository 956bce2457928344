"""The weights of the last validations, saved on disk, and their mean (as in Vaswani et al. 2017)."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch
from safetensors.torch import load_file, save, save_file
from torch import Tensor, nn

from tx.checksums import check_digest
from tx.errors import TxError
from tx.files import atomic_file, sha256, write_errors
from tx.package import WEIGHTS, Package, write_package
from tx.text.load_tokenizer import load_tokenizer


def mean_of(files: Sequence[Path], device: torch.device) -> dict[str, Tensor]:
    """The mean of the tensors of equal name in safetensors `files`, one file in memory at a time."""
    total: dict[str, Tensor] = {}
    for file in files:
        for name, value in load_file(file, device=str(device)).items():
            total[name] = total[name].add_(value) if name in total else value
    return {name: value.div_(len(files)) for name, value in total.items()}


@contextmanager
def temporary_weights(model: nn.Module, weights: dict[str, Tensor]) -> Iterator[None]:
    """Give the model other weights for a while, and put it into evaluation mode."""
    trained = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    model.load_state_dict(weights, strict=False)
    model.eval()
    try:
        yield
    finally:
        model.load_state_dict(trained, strict=False)
        model.train()


class Snapshots:
    """Up to `n` files of weights; the state of the run holds their names and digests, oldest first."""

    def __init__(self, folder: Path, n: int) -> None:
        self.folder, self.n = folder, n

    def add(self, step: int, weights: dict[str, Tensor], saved: dict[str, str]) -> None:
        """Save the weights of `step`, and remove the oldest from `saved`; their files stay until `prune`."""
        if self.n < 2:
            return
        name = f"step-{step:08d}.safetensors"
        data = save({key: value.contiguous() for key, value in weights.items()})
        with atomic_file(self.folder / name) as file:
            file.write(data)
        saved.pop(name, None)
        saved[name] = hashlib.sha256(data).hexdigest()
        for old in list(saved)[: -self.n]:
            del saved[old]

    def prune(self, saved: Mapping[str, str]) -> None:
        """Remove all other files; called once the state with `saved` is written."""
        with write_errors(self.folder, inside=self.folder):
            for file in self.folder.iterdir() if self.folder.exists() else ():
                if file.name not in saved:
                    file.unlink(missing_ok=True)

    def check(self, saved: Mapping[str, str]) -> None:
        """Raise TxError if one of the saved files is missing or damaged."""
        for name, digest in saved.items():
            check_digest(self.folder / name, digest)

    def mean(self, saved: Mapping[str, str], device: torch.device) -> dict[str, Tensor]:
        """The mean of the saved weights."""
        return mean_of([self.folder / name for name in saved], device)


def _unlike(first: Package, other: Package, how: str) -> TxError:
    return TxError(
        f"{first.path} and {other.path} {how}, so their mean would be meaningless",
        "average packages of one recipe and text",
    )


def average_packages(packages: Sequence[Package], out: Path, overwrite: bool = False) -> Package:
    """Write a package whose weights are the mean of those of `packages`, which must be otherwise alike.

    Raises TxError if two differ in architecture, configuration or tokenizers.
    """
    first = packages[0]
    for other in packages[1:]:
        for what in ("task", "arch", "config"):
            if getattr(other, what) != getattr(first, what):
                raise _unlike(first, other, f"differ in {what}")
        if _tokenizer_digests(other) != _tokenizer_digests(first):
            raise _unlike(first, other, "have different tokenizers")
    mean = mean_of([package.file(WEIGHTS) for package in packages], torch.device("cpu"))
    return write_package(
        out,
        lambda folder: save_file(mean, folder / WEIGHTS),
        overwrite=overwrite,
        task=first.task,
        arch=first.arch,
        config=first.config,
        tokenizers={
            side: load_tokenizer(entry["kind"], first.file(entry["file"]))
            for side, entry in first.tokenizers.items()
        },
        decode=first.decode,
        data=first.data | {"average_of": [package.name for package in packages]},
    )


def _tokenizer_digests(package: Package) -> dict[str, str]:
    return {side: sha256(package.file(entry["file"])) for side, entry in package.tokenizers.items()}
