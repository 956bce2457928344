"""Time CTranslate2, on the weights of a tx model; the conversion is `specification`."""

from pathlib import Path
from typing import Any

import ctranslate2
import numpy as np
import weights
from ctranslate2.specs import TransformerSpec
from ctranslate2.specs.common_spec import Activation
from harness import read_job, timed_decoding

BATCH = 8192  # source tokens


def specification(w: weights.Weights, job: dict[str, Any]) -> TransformerSpec:
    """The model as CTranslate2 describes one. It changes arrays in place, so it is given copies."""
    layers = (job["n_encoder_layers"], job["n_decoder_layers"])
    activation = {"relu": Activation.RELU, "gelu": Activation.GELU, "silu": Activation.SWISH}[
        job["activation"]
    ]
    spec = TransformerSpec.from_config(
        layers, job["n_heads"], pre_norm=job["norm"] == "pre", activation=activation
    )

    def linear(target: Any, name: str) -> None:
        target.weight, target.bias = w[f"{name}.weight"].copy(), w[f"{name}.bias"].copy()

    def norm(target: Any, name: str) -> None:
        target.gamma, target.beta = w[f"{name}.weight"].copy(), w[f"{name}.bias"].copy()

    def attention(target: Any, name: str, products: list[str]) -> None:
        for part, product in zip(target.linear, [*products, "out"], strict=True):
            linear(part, f"{name}.{product}")

    for side, stack in (("encoder", spec.encoder), ("decoder", spec.decoder)):
        if job["norm"] == "pre":
            norm(stack.layer_norm, f"{side}_norm")
        for i, layer in enumerate(stack.layer):
            attention(layer.self_attention, f"{side}.{i}.self_attention", ["query_key_value"])
            blocks = [layer.self_attention, layer.ffn]
            if side == "decoder":
                attention(layer.attention, f"{side}.{i}.cross_attention", ["query", "key_value"])
                blocks.insert(1, layer.attention)
            linear(layer.ffn.linear_0, f"{side}.{i}.feed_forward.up")
            linear(layer.ffn.linear_1, f"{side}.{i}.feed_forward.down")
            for j, block in enumerate(blocks):
                norm(block.layer_norm, f"{side}.{i}.residuals.{j}.norm")
    source = w.get("src_embedding.weight", w["tgt_embedding.weight"])
    spec.encoder.embeddings[0].weight, spec.decoder.embeddings.weight = (
        source.copy(),
        w["tgt_embedding.weight"].copy(),
    )
    spec.encoder.position_encodings.encodings = w["src_positions"].copy()
    spec.decoder.position_encodings.encodings = w["tgt_positions"].copy()
    projection = w.get("output.weight", w["tgt_embedding.weight"])
    spec.decoder.projection.weight = projection.copy()
    spec.decoder.projection.bias = np.zeros(len(projection), np.float32)
    spec.decoder.projection.bias[-1] = -1e9  # <pad> starts a translation and is never part of it
    spec.register_source_vocabulary(job["src_pieces"])
    spec.register_target_vocabulary(job["tgt_pieces"])
    spec.config.add_source_eos = True
    spec.config.decoder_start_token = job["tgt_pieces"][-1]
    return spec


def main() -> None:
    job = read_job()
    folder = Path(job["work"]) / "ctranslate2-model"
    spec = specification(weights.load(job), job)
    spec.validate()
    spec.optimize()
    folder.mkdir(exist_ok=True)
    spec.save(str(folder))
    kind = "int8" if "int8" in job["settings"] else "float32"
    translator = ctranslate2.Translator(str(folder), compute_type=kind, inter_threads=1, intra_threads=1)

    def decode(sources: list[list[str]]) -> list[str]:
        results = translator.translate_batch(
            sources,
            beam_size=job["beam_size"],
            length_penalty=1,
            max_batch_size=job["batch"] or BATCH,
            batch_type="tokens",
            max_decoding_length=job["max_len"],
        )
        return [" ".join(result.hypotheses[0]) for result in results]

    timed_decoding(job, decode, f"CTranslate2 {ctranslate2.__version__}, {kind}")


if __name__ == "__main__":
    main()
