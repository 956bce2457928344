"""The optimizer: AdamW (Loshchilov and Hutter 2019), clipping, and the moving average of the weights.

An update that is not finite is skipped on the device, without waiting for the host.
"""

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from tx.config.schema import LoopTrainConfig


class Optimizer:
    """One update from summed gradients, and an exponential moving average of the weights."""

    def __init__(self, model: nn.Module, config: LoopTrainConfig) -> None:
        self.names = [name for name, p in model.named_parameters() if p.requires_grad]
        self.parameters: list[Tensor] = [p for p in model.parameters() if p.requires_grad]
        self.clip_norm, self.ema_decay = config.clip_norm, config.ema
        decayed = [p for p in self.parameters if p.dim() > 1]
        plain = [p for p in self.parameters if p.dim() <= 1]  # biases and norms are left out of weight decay
        groups = [
            {"params": decayed, "weight_decay": config.weight_decay},
            {"params": plain, "weight_decay": 0.0},
        ]
        self.adamw = torch.optim.AdamW(groups, lr=config.lr, betas=(0.9, config.beta2), eps=1e-9, fused=True)
        self.ema = [p.detach().clone() for p in self.parameters] if self.ema_decay else []

    @torch.no_grad()
    def step(self, lr: float, step: int) -> Tensor:
        """Clip, update, clear the gradients; returns 1.0 if they were not finite and nothing was done."""
        grads = [p.grad for p in self.parameters if p.grad is not None]
        norm = torch.nn.utils.get_total_norm(grads)
        skipped = (~norm.isfinite()).float()
        if self.clip_norm:
            torch._foreach_mul_(grads, (self.clip_norm / (norm + 1e-6)).clamp(max=1.0))
        for group in self.adamw.param_groups:
            group["lr"] = lr
        self.adamw.found_inf = skipped  # type: ignore[attr-defined]  # the fused kernel then leaves all as it is
        self.adamw.step()
        self.adamw.zero_grad(set_to_none=True)
        if self.ema:
            decay = min(self.ema_decay, (1 + step) / (10 + step))  # early averages forget the start faster
            torch._foreach_lerp_(self.ema, self.parameters, 1 - decay)
        return skipped

    def averaged(self) -> dict[str, Tensor]:
        """The weights to evaluate, by name: the moving average, or the weights themselves without one."""
        return dict(zip(self.names, self.ema or [p.detach() for p in self.parameters], strict=True))

    def _moments(self) -> Iterator[tuple[str, Tensor]]:
        for name, parameter in zip(self.names, self.parameters, strict=True):
            for key, value in self.adamw.state.get(parameter, {}).items():
                yield f"{key}/{name}", value

    def state(self) -> dict[str, Tensor]:
        """Everything to save, as flat tensors."""
        ema = {f"ema/{name}": value for name, value in zip(self.names, self.ema, strict=False)}
        return ema | dict(self._moments())

    def load_state(self, state: dict[str, Tensor]) -> None:
        """Restore what `state` returned."""
        for name, value in zip(self.names, self.ema, strict=False):
            value.copy_(state[f"ema/{name}"])
        for name, parameter in zip(self.names, self.parameters, strict=True):
            keys = ("step", "exp_avg", "exp_avg_sq")
            if f"step/{name}" in state:
                self.adamw.state[parameter] = {
                    key: state[f"{key}/{name}"].to(parameter.device) for key in keys
                }
