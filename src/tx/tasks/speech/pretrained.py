"""The pretrained Whisper that fine-tuning starts from: a package of tx, a Hugging Face folder, or a model on the hub.

A folder is checked by `tx.package.hf_folder` before transformers opens it; weights are read from safetensors only.
"""

import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tx.errors import TxError
from tx.models.whisper import check_weights
from tx.package import find_package
from tx.package.hf_folder import HINT, HfFolder, open_hf_folder
from tx.package.manifest import SPEECH

_PACKAGES = ("transformers", "accelerate", "peft", "av")
_ON_HUB = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")
_OPENAI = re.compile(r"whisper-(tiny|base|small|medium|large)[a-z0-9.-]*")


def import_transformers() -> Any:
    """The transformers library with its messages disabled. Raises TxError where the extra is not installed."""
    for name in _PACKAGES:
        if find_spec(name) is None:
            raise TxError(f"fine-tuning Whisper needs {name}", "pip install 'tx[whisper]'")
    import transformers
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    warnings.filterwarnings("ignore", category=FutureWarning, module="transformers")
    return transformers


def find_pretrained(name: str) -> HfFolder:
    """The model called `name`: a folder, a package, or a model on the hub, which is downloaded once.

    Raises TxError if it does not exist or is damaged, or if the hub cannot be reached.
    """
    path = Path(name).expanduser()
    if not path.is_dir():
        try:
            path = find_package(name, SPEECH)
        except TxError as error:
            repo = f"openai/{name}" if _OPENAI.fullmatch(name) else name
            if not _ON_HUB.fullmatch(repo):
                raise TxError(f"there is no folder and no package {name}", HINT) from error
            path = _download(repo, name)
    return open_hf_folder(path)


def load_model(folder: HfFolder) -> Any:
    """The WhisperForConditionalGeneration of a folder, with weights in float32 whatever their type on disk.

    Raises TxError if the weights do not fit the configuration.
    """
    hf = import_transformers()
    check_weights(folder)  # before memory is allocated for them
    with _readable(folder) as path:
        return hf.WhisperForConditionalGeneration.from_pretrained(
            path, dtype="float32", use_safetensors=True, local_files_only=True
        )


def load_processor(folder: HfFolder) -> Any:
    """The WhisperProcessor (tokenizer and feature extractor) of a folder. Raises TxError if it is damaged."""
    hf = import_transformers()
    with _readable(folder) as path:
        return hf.WhisperProcessor.from_pretrained(path, local_files_only=True)


@contextmanager
def _readable(folder: HfFolder) -> Iterator[Path]:
    """A folder in which every file has its plain name, for transformers to load; turns its errors into a TxError."""
    files = {name: folder.file(name) for name in folder.package.manifest["files"]} if folder.package else {}
    try:
        if all(file == folder.path / name for name, file in files.items()):
            yield folder.path
            return
        # Some files have other names after a writer was killed: see tx.package.write.
        with TemporaryDirectory() as temporary:
            for name, file in files.items():
                (Path(temporary) / name).symlink_to(file.absolute())
            yield Path(temporary)
    except TxError:
        raise
    except Exception as error:  # whatever transformers raises, these files are the cause
        reason = str(error).strip().split("\n")[0] or type(error).__name__
        what = f"cannot load the Whisper model in {folder.path}: {reason}"
        raise TxError(what, "download all of its files again") from error


def _download(repo: str, name: str) -> Path:
    """Download a model from the hub into its cache. Raises TxError if that fails."""
    import_transformers()
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError
    from huggingface_hub.utils.tqdm import disable_progress_bars

    disable_progress_bars()
    try:
        return Path(snapshot_download(repo, allow_patterns=["*.json", "*.txt", "model*.safetensors"]))
    except GatedRepoError as error:
        what = f"the hub gives access to {repo} only to users who are logged in"
        raise TxError(what, "hf auth login") from error
    except RepositoryNotFoundError as error:
        what = f"there is no folder {name} and no model {repo} on the hub"
        raise TxError(what, "check the name") from error
    except Exception as error:  # the many errors of a missing network
        raise TxError(
            f"there is no folder {name}, and the hub cannot be reached for {repo}",
            "name the folder of a model on this machine, or try again with a network connection",
        ) from error
