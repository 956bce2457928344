"""A short training loop in PyTorch alone, as the baseline.

A pre-norm Transformer (fused query-key-value products, `scaled_dot_product_attention`, all three embeddings
tied), length-sorted batches cut by padded tokens, fused AdamW, cross-entropy with label smoothing over all
positions, gradients clipped. Dropout on the embeddings and on each sublayer's output; on attention weights
and inside the feed-forward layers where the job asks for it. With the setting `onednn` attention is written out,
since the fused kernel for the CPU makes products too small for oneDNN.

Shape letters: B batch, S source length, T target length, D d_model, H heads.
"""

import math
import random
from collections.abc import Iterator
from pathlib import Path

import torch
from harness import Finished, Meter, read_job, set_torch, write_result
from torch import Tensor, nn
from torch.nn import functional as F

PAD, BOS, EOS, UNK = range(4)
Pair = tuple[list[int], list[int]]


def written_out(
    q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, dropout_p: float, is_causal: bool
) -> Tensor:
    scores = (q * q.size(-1) ** -0.5) @ k.transpose(-2, -1)
    if is_causal:
        mask = torch.ones(scores.shape[-2:], dtype=torch.bool).tril()
    if mask is not None:
        scores = scores.masked_fill(~mask, float("-inf"))
    return F.dropout(scores.softmax(dim=-1), dropout_p) @ v


class Attention(nn.Module):
    attend = staticmethod(F.scaled_dot_product_attention)

    def __init__(self, d: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads, self.dropout = heads, dropout
        self.q, self.kv, self.out = nn.Linear(d, d), nn.Linear(d, 2 * d), nn.Linear(d, d)

    def forward(self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, causal: bool = False) -> Tensor:
        q, k, v = (x.unflatten(-1, (self.heads, -1)).transpose(1, 2) for x in (q, k, v))
        p = self.dropout if self.training else 0.0
        x = self.attend(q, k, v, mask, dropout_p=p, is_causal=causal)
        return self.out(x.transpose(1, 2).flatten(2))


class SelfAttention(Attention):
    def __init__(self, d: int, heads: int, dropout: float) -> None:
        super().__init__(d, heads, dropout)
        del self.q, self.kv
        self.qkv = nn.Linear(d, 3 * d)

    def forward(self, x: Tensor, mask: Tensor | None, causal: bool = False) -> Tensor:
        return super().forward(*self.qkv(x).chunk(3, dim=-1), mask, causal)


class CrossAttention(Attention):
    def forward(self, x: Tensor, memory: Tensor, mask: Tensor) -> Tensor:
        return super().forward(self.q(x), *self.kv(memory).chunk(2, dim=-1), mask)


class Layer(nn.Module):
    """An encoder layer, or with `cross` a decoder layer."""

    def __init__(self, job: dict, cross: bool) -> None:
        super().__init__()
        d, ff, heads, p = job["d_model"], job["d_ff"], job["n_heads"], job["attention_dropout"]
        self.attention = SelfAttention(d, heads, p)
        self.cross = CrossAttention(d, heads, p) if cross else None
        self.ff = nn.Sequential(
            nn.Linear(d, ff), nn.ReLU(), nn.Dropout(job["hidden_dropout"]), nn.Linear(ff, d)
        )
        self.norms = nn.ModuleList(nn.LayerNorm(d) for _ in range(3 if cross else 2))
        self.dropout = nn.Dropout(job["dropout"])

    def forward(
        self, x: Tensor, mask: Tensor | None, memory: Tensor | None = None, memory_mask: Tensor | None = None
    ) -> Tensor:
        x = x + self.dropout(self.attention(self.norms[0](x), mask, causal=memory is not None))
        if self.cross is not None:
            x = x + self.dropout(self.cross(self.norms[1](x), memory, memory_mask))
        return x + self.dropout(self.ff(self.norms[-1](x)))


class Transformer(nn.Module):
    def __init__(self, vocab: int, job: dict) -> None:
        super().__init__()
        d = job["d_model"]
        self.embedding = nn.Embedding(vocab, d, padding_idx=PAD)
        nn.init.normal_(self.embedding.weight, std=d**-0.5)
        self.encoder = nn.ModuleList(Layer(job, cross=False) for _ in range(job["n_encoder_layers"]))
        self.decoder = nn.ModuleList(Layer(job, cross=True) for _ in range(job["n_decoder_layers"]))
        self.norms = nn.ModuleList((nn.LayerNorm(d), nn.LayerNorm(d)))
        self.dropout = nn.Dropout(job["dropout"])
        angles = torch.arange(512)[:, None] * torch.exp(torch.arange(0, d, 2) * (-math.log(10000.0) / d))
        self.register_buffer("positions", torch.stack((angles.sin(), angles.cos()), dim=-1).flatten(1))

    def embed(self, ids: Tensor) -> Tensor:
        return self.dropout(
            self.embedding(ids) * self.embedding.embedding_dim**0.5 + self.positions[: ids.size(1)]
        )

    def forward(self, src: Tensor, tgt: Tensor) -> Tensor:
        """Scores `[B, T, V]` for the token after each of `tgt` `[B, T]`, given `src` `[B, S]`."""
        mask = (src != PAD)[:, None, None, :]
        x, y = self.embed(src), self.embed(tgt)
        for layer in self.encoder:
            x = layer(x, mask)
        x = self.norms[0](x)
        for layer in self.decoder:
            y = layer(y, None, x, mask)
        return F.linear(self.norms[1](y), self.embedding.weight)


def read(job: dict) -> tuple[list[Pair], int]:
    pieces = ["<pad>", "<s>", "</s>", "<unk>", *Path(job["vocab"]).read_text("utf-8").split("\n")[:-1]]
    ids = {piece: i for i, piece in enumerate(pieces)}
    sides = [Path(job[side]).read_text("utf-8").split("\n")[:-1] for side in ("train_src", "train_tgt")]
    encoded = [[[ids.get(p, UNK) for p in line.split(" ")] for line in side] for side in sides]
    return list(zip(*encoded, strict=True)), len(pieces)


def batches(pairs: list[Pair], batch_tokens: int) -> Iterator[list[Pair]]:
    """Epoch after epoch: pairs of like length together, at most `batch_tokens` on either side, padded."""
    while True:
        random.shuffle(pairs)
        pool, batch, longest = [], [], 0
        for pair in sorted(pairs, key=lambda p: (len(p[1]), len(p[0]))):
            length = max(longest, len(pair[0]) + 1, len(pair[1]) + 1)
            if batch and length * (len(batch) + 1) > batch_tokens:
                pool.append(batch)
                batch, length = [], max(len(pair[0]), len(pair[1])) + 1
            batch.append(pair)
            longest = length
        pool.append(batch)
        random.shuffle(pool)
        yield from pool


def pad(rows: list[list[int]]) -> Tensor:
    width = max(map(len, rows))
    return torch.tensor([row + [PAD] * (width - len(row)) for row in rows])


def main() -> None:
    job = read_job()
    set_torch(job)
    random.seed(job["seed"])
    if "onednn" in job["settings"]:
        Attention.attend = staticmethod(written_out)
    pairs, vocab = read(job)
    model = Transformer(vocab, job)
    optimizer = torch.optim.AdamW(model.parameters(), lr=job["lr"], betas=(0.9, 0.98), eps=1e-9, fused=True)
    meter = Meter(job)
    meter.n_parameters = sum(p.numel() for p in model.parameters())
    try:
        for batch in batches(pairs, job["batch_tokens"]):
            src = pad([[*s, EOS] for s, _ in batch])
            tgt = pad([[BOS, *t, EOS] for _, t in batch])
            n_tokens = sum(len(t) + 1 for _, t in batch)
            logits = model(src, tgt[:, :-1])
            loss = F.cross_entropy(
                logits.flatten(0, 1),
                tgt[:, 1:].flatten(),
                ignore_index=PAD,
                label_smoothing=job["label_smoothing"],
                reduction="sum",
            )
            (loss / n_tokens).backward()
            nn.utils.clip_grad_norm_(model.parameters(), job["clip_norm"])
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            meter.update(
                loss.item(),
                sentences=len(batch),
                src_tokens=sum(len(s) for s, _ in batch),
                tgt_tokens=n_tokens,
                cells=src.numel() + tgt[:, 1:].numel(),
                filled=sum(len(s) + len(t) + 2 for s, t in batch),
            )
    except Finished:
        write_result(job, meter.result(f"torch {torch.__version__}"))


if __name__ == "__main__":
    main()
