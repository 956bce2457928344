"""The weights of the last validations, kept on disk, and their mean (checkpoint averaging, as in Vaswani et al. 2017)."""

from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors.torch import load_file, save
from torch import Tensor

from tx.files import atomic_file


def mean_of(files: Sequence[Path], device: torch.device) -> dict[str, Tensor]:
    """The mean of the tensors of equal name in safetensors `files`, one file in memory at a time."""
    total: dict[str, Tensor] = {}
    for file in files:
        for name, value in load_file(file, device=str(device)).items():
            total[name] = total[name].add_(value) if name in total else value
    return {name: value.div_(len(files)) for name, value in total.items()}


class Snapshots:
    """Up to `n` files of weights, named by their step; which of them count is kept with the run's state."""

    def __init__(self, folder: Path, n: int) -> None:
        self.folder, self.n = folder, n

    def _file(self, step: int) -> Path:
        return self.folder / f"step-{step:08d}.safetensors"

    def add(self, step: int, weights: dict[str, Tensor], steps: list[int]) -> None:
        """Keep the weights of `step`, and forget in `steps` those that are too old; their files stay until `prune`."""
        if self.n < 2:
            return
        with atomic_file(self._file(step)) as file:
            file.write(save({name: value.contiguous() for name, value in weights.items()}))
        if step not in steps:
            steps.append(step)
        del steps[: -self.n]

    def prune(self, steps: Sequence[int]) -> None:
        """Remove the files of all other steps; called once the state that names `steps` is safe."""
        if self.folder.exists():
            for file in self.folder.iterdir():
                if file not in {self._file(step) for step in steps}:
                    file.unlink(missing_ok=True)

    def mean(self, steps: Sequence[int], device: torch.device) -> dict[str, Tensor]:
        """The mean of the kept weights."""
        return mean_of([self._file(step) for step in steps], device)
