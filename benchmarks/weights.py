"""The weights of a tx Transformer under the parameter names of other systems. Needs numpy alone."""

from typing import Any

import numpy as np

Weights = dict[str, np.ndarray]

OPENNMT = {
    "encoder": "encoder.transformer",
    "decoder": "decoder.transformer_layers",
    "self_attention": "self_attn",
    "cross_attention": "context_attn",
    "parts": ["linear_query", "linear_keys", "linear_values", "final_linear"],
    "encoder_norms": ["layer_norm", "feed_forward.layer_norm"],
    "decoder_norms": ["layer_norm_1", "layer_norm_2", "feed_forward.layer_norm"],
    "up": "feed_forward.w_1",
    "down": "feed_forward.w_2",
    "final_norm": "{side}.layer_norm",
}
M2M100 = {
    "encoder": "model.encoder.layers",
    "decoder": "model.decoder.layers",
    "self_attention": "self_attn",
    "cross_attention": "encoder_attn",
    "parts": ["q_proj", "k_proj", "v_proj", "out_proj"],
    "encoder_norms": ["self_attn_layer_norm", "final_layer_norm"],
    "decoder_norms": ["self_attn_layer_norm", "encoder_attn_layer_norm", "final_layer_norm"],
    "up": "fc1",
    "down": "fc2",
    "final_norm": "model.{side}.layer_norm",
}


def load(job: dict[str, Any]) -> Weights:
    """The arrays that the benchmark exported, by tx's names."""
    with np.load(job["weights"]) as file:
        return {name: file[name] for name in file.files}


def renamed(weights: Weights, job: dict[str, Any], names: dict[str, Any]) -> Weights:
    """All layers and final norms; fused products are cut into those of query, key and value."""
    out: Weights = {}

    def put(new: str, old: str) -> None:
        out.update({f"{new}.{kind}": weights[f"{old}.{kind}"] for kind in ("weight", "bias")})

    def put_attention(new: str, old: str, cross: bool) -> None:
        put(f"{new}.{names['parts'][3]}", f"{old}.out")
        for kind in ("weight", "bias"):
            if cross:
                fused = [weights[f"{old}.query.{kind}"], *np.split(weights[f"{old}.key_value.{kind}"], 2)]
            else:
                fused = np.split(weights[f"{old}.query_key_value.{kind}"], 3)
            out.update({f"{new}.{part}.{kind}": x for part, x in zip(names["parts"], fused, strict=False)})

    for side in ("encoder", "decoder"):
        put(names["final_norm"].format(side=side), f"{side}_norm")
        for i in range(job[f"n_{side}_layers"]):
            new, old = f"{names[side]}.{i}", f"{side}.{i}"
            put_attention(f"{new}.{names['self_attention']}", f"{old}.self_attention", cross=False)
            if side == "decoder":
                put_attention(f"{new}.{names['cross_attention']}", f"{old}.cross_attention", cross=True)
            put(f"{new}.{names['up']}", f"{old}.feed_forward.up")
            put(f"{new}.{names['down']}", f"{old}.feed_forward.down")
            for j, norm in enumerate(names[f"{side}_norms"]):
                put(f"{new}.{norm}", f"{old}.residuals.{j}.norm")
    return out
