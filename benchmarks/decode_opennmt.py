"""Time the translator of OpenNMT-py, on the weights of a tx model.

Its source has no end of sentence of its own, so the model's `</s>` is given as a token. Scores are divided by
the length ("avg"), as in the other systems.
"""

from typing import Any

import absent  # noqa: F401
import numpy as np
import onmt.model_builder
import torch
import train_opennmt
import weights
from harness import Job, read_job, set_torch, timed_decoding
from onmt.inference_engine import InferenceEnginePY
from onmt.inputters.inputter import dict_to_vocabs
from onmt.model_builder import build_base_model
from onmt.opts import translate_opts
from onmt.utils.parse import ArgumentParser

BATCH = 1024  # source tokens
TRAINING = ("lr", "batch_tokens", "clip_norm", "label_smoothing", "train_src", "train_tgt")  # no matter here
MARKS = ("<s>", "<blank>")  # neither is ever part of a translation; both stand for tx's <pad>


def model_of(job: Job) -> tuple[dict[str, Any], Any, Any]:
    """What OpenNMT-py's `load_test_model` returns, for a checkpoint that never was a file."""
    pieces = job["tgt_pieces"]
    opt = train_opennmt.options({**dict.fromkeys(TRAINING, 0), **job, "vocab": "none"})
    ArgumentParser.update_model_opts(opt)
    ArgumentParser.validate_model_opts(opt)
    tokens = ["<unk>", *MARKS, "</s>", *pieces[2:-1]]
    vocabs = dict_to_vocabs(
        {"src": tokens, "tgt": tokens, "data_task": "seq2seq", "decoder_start_token": "<s>"}
    )
    model = build_base_model(opt, vocabs)
    w = weights.load(job)
    rows = {piece: i for i, piece in enumerate(pieces)} | dict.fromkeys(MARKS, len(pieces) - 1)
    table = w["tgt_embedding.weight"][[rows[token] for token in tokens]]
    state = weights.renamed(w, job, weights.OPENNMT) | {"generator.weight": table}
    state["generator.bias"] = np.where(np.isin(tokens, MARKS), np.float32(-1e9), np.float32(0))
    for side, ours in (("encoder", "src"), ("decoder", "tgt")):
        embeddings = getattr(model, side).embeddings.make_embedding
        embeddings.pe.pe = torch.from_numpy(w[f"{ours}_positions"])[:, None]
        state[f"{side}.embeddings.make_embedding.emb_luts.0.weight"] = table
        state[f"{side}.embeddings.make_embedding.pe.pe"] = embeddings.pe.pe.numpy()
    torch.nn.Module.load_state_dict(model, {name: torch.from_numpy(array) for name, array in state.items()})
    return vocabs, model.eval(), opt


def main() -> None:
    job = read_job()
    set_torch(job)
    found = model_of(job)
    onmt.model_builder.load_test_model = lambda opt, device_id=0, model_path=None: found
    parser = ArgumentParser()
    translate_opts(parser)
    words = f"--model none --src none --output /dev/null --beam_size {job['beam_size']} --length_penalty avg"
    words += f" --batch_type tokens --batch_size {job['batch'] or BATCH} --max_length {job['max_len'] - 2}"
    opt = parser.parse_args(words.split())
    ArgumentParser.validate_translate_opts(opt)
    ArgumentParser._get_all_transform_translate(opt)
    ArgumentParser._validate_transforms_opts(opt)
    ArgumentParser.validate_translate_opts_dynamic(opt)
    engine = InferenceEnginePY(opt)

    def decode(sources: list[list[str]]) -> list[str]:
        _, predictions = engine.infer_list([" ".join([*pieces, "</s>"]) for pieces in sources])
        return [hyps[0] for hyps in predictions]

    timed_decoding(job, decode, f"OpenNMT-py {onmt.__version__}, torch {torch.__version__}")


if __name__ == "__main__":
    main()
