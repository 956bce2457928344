"""The model package: a folder with the same layout for every task, which every command can open.

    de-en/
      model.json            task, architecture, tokenizers, training data, scores, checksums
      weights.safetensors   the parameters, if the model has any
      tokenizer.model       or src.model and tgt.model, or other files of the tokenizers
      README.md             the model card; tx no longer rewrites it once you have edited it
      run/                  the training run, which is not a part of the package

A package cannot run code: it consists of JSON and safetensors, without pickle. Everything is checked before its use.
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
