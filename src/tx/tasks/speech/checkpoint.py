"""The model that fine-tuning starts from: a package of tx, a Hugging Face folder, or a name on the hub.

A folder is checked by `tx.speech.transcribe` before a library opens it; weights are safetensors: nothing is
unpickled.
"""

import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tx.config.schema import SPEECH
from tx.errors import TxError
from tx.package import find_package, read_header
from tx.package.hf_folder import HINT, HfFolder, open_hf_folder

_EXTRA = ("transformers", "accelerate", "peft", "av")
_ON_HUB = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")
_OPENAI = re.compile(r"whisper-(tiny|base|small|medium|large)[a-z0-9.-]*")


def transformers() -> Any:
    """The transformers library, made quiet. Raises TxError where the extra is not installed."""
    for name in _EXTRA:
        if find_spec(name) is None:
            raise TxError(f"fine-tuning Whisper needs {name}", "pip install 'tx[whisper]'")
    import transformers
    from transformers.utils import logging

    logging.set_verbosity_error()
    warnings.filterwarnings(
        "ignore", category=FutureWarning, module="transformers"
    )  # of its own later versions
    logging.disable_progress_bar()
    return transformers


def find_checkpoint(name: str) -> HfFolder:
    """The model called `name`: a folder, a package, or one on the hub, which is downloaded once.

    Raises TxError if there is none, if it is damaged, or if the hub cannot be reached.
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
    """The WhisperForConditionalGeneration of a folder, its weights in float32 whatever their type on disk.

    Raises TxError if the weights do not fit the configuration.
    """
    hf = transformers()
    import torch

    _check_shapes(folder)
    with _readable(folder) as path:
        model, report = hf.WhisperForConditionalGeneration.from_pretrained(
            path, dtype=torch.float32, use_safetensors=True, local_files_only=True, output_loading_info=True
        )
    if missing := sorted(map(str, report["missing_keys"])):
        raise _unfit(folder.path, f"{missing[0]} is missing")
    return model


def load_processor(folder: HfFolder) -> Any:
    """The WhisperProcessor (tokenizer and feature extractor) of a folder. Raises TxError if it is damaged."""
    hf = transformers()
    with _readable(folder) as path:
        return hf.WhisperProcessor.from_pretrained(path, local_files_only=True)


def _check_shapes(folder: HfFolder) -> None:
    """Raise TxError unless the weights have the shapes that config.json implies, before memory is taken by them."""
    from tx.models.whisper import expected_shapes

    found: dict[str, tuple[int, ...]] = {}
    for path in folder.weight_files():
        with path.open("rb") as file:
            header = read_header(file, path.stat().st_size, path)
        found |= {name.removeprefix("model."): tensor.shape for name, tensor in header.items()}
    for name, shape in expected_shapes(folder).items():
        if found.get(name) != shape:
            raise _unfit(folder.path, f"{name} is {found.get(name, 'missing')}, and config.json says {shape}")


@contextmanager
def _readable(folder: HfFolder) -> Iterator[Path]:
    """A folder in which every file is at its plain name, for a library; its errors become one sentence."""
    files = {name: folder.file(name) for name in folder.package.manifest["files"]} if folder.package else {}
    try:
        if all(file == folder.path / name for name, file in files.items()):
            yield folder.path
            return
        with (
            TemporaryDirectory() as temporary
        ):  # a writer died before it had renamed all: see tx.package.write
            for name, file in files.items():
                (Path(temporary) / name).symlink_to(file.absolute())
            yield Path(temporary)
    except TxError:
        raise
    except Exception as error:  # whatever the library raises, it is about these files
        raise _unfit(folder.path, str(error).strip().split("\n")[0] or type(error).__name__) from error


def _unfit(path: Path, reason: str) -> TxError:
    return TxError(
        f"cannot load the Whisper model in {path}: {reason}", "get the model again, all of its files"
    )


def _download(repo: str, name: str) -> Path:
    """The files of a model on the hub. Raises TxError where that cannot be done."""
    transformers()
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError
    from huggingface_hub.utils.tqdm import disable_progress_bars

    disable_progress_bars()
    try:
        return Path(snapshot_download(repo, allow_patterns=["*.json", "*.txt", "model*.safetensors"]))
    except GatedRepoError as error:
        raise TxError(f"the hub gives {repo} to those alone who are logged in", "hf auth login") from error
    except RepositoryNotFoundError as error:
        raise TxError(
            f"there is no folder {name}, and no model {repo} on the hub", "check the name"
        ) from error
    except Exception as error:  # the many ways in which a network is not there
        raise TxError(
            f"there is no folder {name} here, and the hub cannot be reached for {repo}",
            "give the folder of a model on this machine, or try again with a network",
        ) from error
