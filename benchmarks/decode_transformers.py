"""Time `transformers`: `generate()` of M2M100, a pre-norm Transformer, on a tx model's weights.

Lines are sorted by length and cut into batches here, since `generate()` takes one batch. Positions come from
tx's table: M2M100's own count from the id of the padding, which here is the last of the vocabulary.
"""

import torch
import transformers
import weights
from harness import read_job, set_torch, timed_decoding
from torch import Tensor, nn
from transformers import M2M100Config, M2M100ForConditionalGeneration

BATCH = 32  # sentences


class Positions(nn.Module):
    """Rows of a table, from the number of tokens that went before."""

    def __init__(self, table: Tensor) -> None:
        super().__init__()
        self.register_buffer("table", table, persistent=False)

    def forward(self, ids: Tensor | None, embeds: Tensor | None = None, past: int = 0) -> Tensor:
        length = (ids if ids is not None else embeds).shape[1]
        return self.table[past : past + length][None]


def main() -> None:
    job = read_job()
    set_torch(job)
    w = {name: torch.from_numpy(array) for name, array in weights.load(job).items()}
    pad = len(job["tgt_pieces"]) - 1
    config = M2M100Config(
        vocab_size=pad + 1,
        d_model=job["d_model"],
        encoder_layers=job["n_encoder_layers"],
        decoder_layers=job["n_decoder_layers"],
        encoder_attention_heads=job["n_heads"],
        decoder_attention_heads=job["n_heads"],
        encoder_ffn_dim=job["d_ff"],
        decoder_ffn_dim=job["d_ff"],
        activation_function=job["activation"],
        max_position_embeddings=pad + 1,  # room for its own table, which is replaced
        pad_token_id=pad,
        bos_token_id=pad,
        eos_token_id=0,
        decoder_start_token_id=pad,
        scale_embedding=True,
    )
    model = M2M100ForConditionalGeneration(config).eval()
    state = {
        name: torch.from_numpy(a)
        for name, a in weights.renamed(weights.load(job), job, weights.M2M100).items()
    }
    embeddings = ("model.shared", "model.encoder.embed_tokens", "model.decoder.embed_tokens", "lm_head")
    state |= {f"{name}.weight": w["tgt_embedding.weight"] for name in embeddings}
    model.load_state_dict(state)
    model.model.encoder.embed_positions = Positions(w["src_positions"])
    model.model.decoder.embed_positions = Positions(w["tgt_positions"])
    ids = {piece: i for i, piece in enumerate(job["src_pieces"])}

    @torch.inference_mode()
    def decode(sources: list[list[str]]) -> list[str]:
        size = job["batch"] or BATCH
        order = sorted(range(len(sources)), key=lambda i: -len(sources[i]))
        hyps = [""] * len(sources)
        for start in range(0, len(order), size):
            chosen = order[start : start + size]
            rows = [torch.tensor([*(ids.get(piece, 1) for piece in sources[i]), 0]) for i in chosen]
            src = nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=pad)
            found = model.generate(
                src,
                attention_mask=(src != pad).long(),
                num_beams=job["beam_size"],
                do_sample=False,
                length_penalty=1.0,
                max_new_tokens=min(job["max_len"], int(1.5 * src.shape[1]) + 10),
                suppress_tokens=[pad],
            )
            for i, row in zip(chosen, found.tolist(), strict=True):
                hyps[i] = " ".join(job["tgt_pieces"][id] for id in row if id not in (0, pad))
        return hyps

    timed_decoding(job, decode, f"transformers {transformers.__version__}, torch {torch.__version__}")


if __name__ == "__main__":
    main()
