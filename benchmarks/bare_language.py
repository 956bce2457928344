"""The plain PyTorch loops with which tx is compared: a GPT of nanoGPT's shape, and nn.LSTM.

What one writes with torch's own modules and the advice of its manuals: fused attention, AdamW with weight decay on
matrices only, clipping, the LSTM's state carried from batch to batch. Batches are cut as nanoGPT and char-rnn cut
them: windows at random places, contiguous streams.
"""

import math
from pathlib import Path
from typing import Any

import numpy as np
import torch
from harness import Finished, Job, Meter, read_job, set_torch, write_result
from torch import Tensor, nn
from torch.nn import functional as F


class Block(nn.Module):
    """Attention, then a feed-forward layer; neither has biases."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads, self.p = heads, dropout
        self.norms = nn.ModuleList(nn.LayerNorm(width, bias=False) for _ in range(2))
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.merge = nn.Linear(width, width, bias=False)
        self.up = nn.Linear(width, 4 * width, bias=False)
        self.down = nn.Linear(4 * width, width, bias=False)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        rows, length, width = x.shape
        parts = self.qkv(self.norms[0](x)).split(width, dim=2)
        q, k, v = (part.view(rows, length, self.heads, -1).transpose(1, 2) for part in parts)
        p = self.p if self.training else 0.0
        y = F.scaled_dot_product_attention(q, k, v, dropout_p=p, is_causal=True)
        x = x + self.dropout(self.merge(y.transpose(1, 2).reshape(rows, length, width)))
        return x + self.dropout(self.down(F.gelu(self.up(self.norms[1](x)))))


class GPT(nn.Module):
    """Embeddings of characters and of places, blocks, and the embeddings once more as the output."""

    def __init__(self, vocab_size: int, job: Job) -> None:
        super().__init__()
        width = job["d_model"]
        self.embedding = nn.Embedding(vocab_size, width)
        self.places = nn.Embedding(job["seq_len"], width)
        self.blocks = nn.ModuleList(
            Block(width, job["n_heads"], job["dropout"]) for _ in range(job["n_layers"])
        )
        self.norm = nn.LayerNorm(width, bias=False)
        self.dropout = nn.Dropout(job["dropout"])
        for name, parameter in self.named_parameters():
            if parameter.dim() == 2:
                last = name.endswith(("merge.weight", "down.weight"))
                nn.init.normal_(parameter, std=0.02 / math.sqrt(2 * job["n_layers"]) if last else 0.02)

    def forward(self, x: Tensor, state: None) -> tuple[Tensor, None]:
        h = self.dropout(self.embedding(x) + self.places(torch.arange(x.size(1))))
        for block in self.blocks:
            h = block(h)
        return F.linear(self.norm(h), self.embedding.weight), None


class CharLSTM(nn.Module):
    """Embeddings, nn.LSTM, and a linear layer."""

    def __init__(self, vocab_size: int, job: Job) -> None:
        super().__init__()
        width, dropout = job["d_model"], job["dropout"]
        self.embedding = nn.Embedding(vocab_size, width)
        self.lstm = nn.LSTM(width, width, job["n_layers"], batch_first=True, dropout=dropout)
        self.dropout = nn.Dropout(dropout)
        self.output = nn.Linear(width, vocab_size)

    def forward(self, x: Tensor, state: Any) -> tuple[Tensor, Any]:
        h, state = self.lstm(self.embedding(x), state)
        return self.output(self.dropout(h)), tuple(part.detach() for part in state)


class Text:
    """The characters of a file as numbers, the first 90 % of them for training."""

    def __init__(self, path: str) -> None:
        text = Path(path).read_text("utf-8")
        self.characters = sorted(set(text))
        numbers = {character: number for number, character in enumerate(self.characters)}
        ids = np.array([numbers[character] for character in text], np.uint16)
        cut = int(0.9 * len(ids))
        self.train, self.valid = ids[:cut], ids[cut:]

    @staticmethod
    def rows(ids: np.ndarray, starts: Any, length: int) -> tuple[Tensor, Tensor]:
        rows = torch.stack([torch.from_numpy(ids[at : at + length + 1].astype(np.int64)) for at in starts])
        return rows[:, :-1], rows[:, 1:]


def learning_rate(job: Job, step: int) -> float:
    """A linear warm-up, then a cosine down to a tenth."""
    if step < job["warmup_steps"]:
        return float(job["lr"] * (step + 1) / (job["warmup_steps"] + 1))
    share = min(1.0, (step - job["warmup_steps"]) / max(1, job["max_steps"] - job["warmup_steps"]))
    return float(job["lr"] * (0.1 + 0.45 * (1 + math.cos(math.pi * share))))


def optimizer_of(model: nn.Module, job: Job) -> torch.optim.Optimizer:
    groups = [
        {"params": [p for p in model.parameters() if p.dim() >= 2], "weight_decay": job["weight_decay"]},
        {"params": [p for p in model.parameters() if p.dim() < 2], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=job["lr"], betas=(0.9, job["beta2"]))


@torch.no_grad()
def validation_loss(model: nn.Module, text: Text, job: Job) -> float:
    """Nats a character over all of the validation text: in windows, or in 16 streams."""
    model.eval()
    length, losses, state = job["seq_len"], [], None
    if job["kind"] == "gpt":
        groups = np.array_split(np.arange(0, len(text.valid) - length - 1, length), 50)
    else:
        part = (len(text.valid) - 1) // 16
        groups = [np.arange(16) * part + at for at in range(0, part - length + 1, length)]
    for starts in groups:
        x, y = text.rows(text.valid, starts, length)
        logits, state = model(x, state)
        losses.append((F.cross_entropy(logits.flatten(0, 1), y.flatten()).item(), y.numel()))
    model.train()
    return sum(loss * n for loss, n in losses) / sum(n for _, n in losses)


def main() -> None:
    job = read_job()
    set_torch(job)
    text = Text(job["text"])
    model: nn.Module = (GPT if job["kind"] == "gpt" else CharLSTM)(len(text.characters), job)
    optimizer, meter = optimizer_of(model, job), Meter(job)
    meter.n_parameters = sum(p.numel() for p in model.parameters())
    batch_size, length, state = job["batch_size"], job["seq_len"], None
    part = (len(text.train) - 1) // batch_size
    step = 0
    try:
        while True:
            if job["kind"] == "gpt":
                starts: Any = torch.randint(len(text.train) - length, (batch_size,)).tolist()
            else:
                at = step % (part // length) * length
                state = state if at else None
                starts = [row * part + at for row in range(batch_size)]
            x, y = text.rows(text.train, starts, length)
            for group in optimizer.param_groups:
                group["lr"] = learning_rate(job, step)
            logits, state = model(x, state)
            loss = F.cross_entropy(logits.flatten(0, 1), y.flatten())
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), job["clip_norm"])
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            step += 1
            meter.update(loss.item() * y.numel(), tgt_tokens=y.numel())
    except Finished:
        result = meter.result(f"torch {torch.__version__}")
        write_result(job, result | {"valid": validation_loss(model, text, job) if job["validate"] else 0.0})


if __name__ == "__main__":
    main()
