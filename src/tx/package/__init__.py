"""The model package: one folder on disk, of the same shape for every task, that every command can open.

    de-en/
      model.json            what it is: task, architecture, tokenizers, training data, scores, digests
      weights.safetensors   absent where nothing was trained by gradient
      tokenizer.model       or src.model and tgt.model, or whatever the tokenizer writes
      README.md             the model card; yours as soon as you edit it
      run/                  the training run, not part of the package

Nothing in it can run code: JSON and safetensors, no pickle. Everything is checked before it is used.
"""

from tx.package.card import best_score, model_card
from tx.package.find import Summary, find_package, get_default, list_packages, set_default, user_folder
from tx.package.manifest import FORMAT, HF_WEIGHTS, MANIFEST, WEIGHTS
from tx.package.read import Package, load_package
from tx.package.weights import Tensor, read_header
from tx.package.write import (
    add_scores,
    check_place,
    not_a_package,
    update_manifest,
    update_package,
    write_package,
)

__all__ = [
    "FORMAT",
    "HF_WEIGHTS",
    "MANIFEST",
    "WEIGHTS",
    "Package",
    "Summary",
    "Tensor",
    "add_scores",
    "best_score",
    "check_place",
    "find_package",
    "get_default",
    "list_packages",
    "load_package",
    "model_card",
    "not_a_package",
    "read_header",
    "set_default",
    "update_manifest",
    "update_package",
    "user_folder",
    "write_package",
]
