"""The weights of the last validations, kept on disk, and their mean (as in Vaswani et al. 2017)."""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from safetensors.torch import load_file, save
from torch import Tensor

from tx.files import atomic_file
from tx.train.checkpoint import check_digest


def mean_of(files: Sequence[Path], device: torch.device) -> dict[str, Tensor]:
    """The mean of the tensors of equal name in safetensors `files`, one file in memory at a time."""
    total: dict[str, Tensor] = {}
    for file in files:
        for name, value in load_file(file, device=str(device)).items():
            total[name] = total[name].add_(value) if name in total else value
    return {name: value.div_(len(files)) for name, value in total.items()}


class Snapshots:
    """Up to `n` files of weights; their names and digests, oldest first, are kept with the run's state."""

    def __init__(self, folder: Path, n: int) -> None:
        self.folder, self.n = folder, n

    def add(self, step: int, weights: dict[str, Tensor], kept: dict[str, str]) -> None:
        """Keep the weights of `step`; forget in `kept` the oldest, whose files stay until `prune`."""
        if self.n < 2:
            return
        name = f"step-{step:08d}.safetensors"
        data = save({key: value.contiguous() for key, value in weights.items()})
        with atomic_file(self.folder / name) as file:
            file.write(data)
        kept.pop(name, None)
        kept[name] = hashlib.sha256(data).hexdigest()
        for old in list(kept)[: -self.n]:
            del kept[old]

    def prune(self, kept: Mapping[str, str]) -> None:
        """Remove all other files; called once the state that names `kept` is safe."""
        if self.folder.exists():
            for file in self.folder.iterdir():
                if file.name not in kept:
                    file.unlink(missing_ok=True)

    def check(self, kept: Mapping[str, str]) -> None:
        """Raise TxError if one of the kept files is missing or damaged."""
        for name, digest in kept.items():
            check_digest(self.folder / name, digest)

    def mean(self, kept: Mapping[str, str], device: torch.device) -> dict[str, Tensor]:
        """The mean of the kept weights."""
        return mean_of([self.folder / name for name in kept], device)
