"""Items whose media prove truncated or unreadable only when they are decoded."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from finetuning import Recorder, configuration, train, write_set, write_set_with_truncated
from tx.errors import TxError
from tx.speech.datasets import read_set
from tx.speech.windows import Labels, Window
from tx.tasks.speech.config import FinetuneConfig
from tx.tasks.speech.dataset import Collator, SpeechDataset
from tx.tasks.speech.run import prepare
from tx.tasks.speech.session import open_session
from tx.tasks.speech.trainer import load_progress
from whisper import whisper_tokenizer


def test_the_next_item_replaces_an_unreadable_one(tmp_path: Path) -> None:
    """In whichever process it is loaded; the batch names the unreadable items."""
    found = read_set(str(write_set_with_truncated(tmp_path / "cut", 2, 3)))
    windows = [Window(i.media, 0.0, 3.0, i.text, origin=i.origin) for i in found.items]
    examples = SpeechDataset(windows, Labels(whisper_tokenizer(), "de"), FinetuneConfig(), seed=1)
    for workers in (0, 1):
        loader: Any = torch.utils.data.DataLoader(
            examples, batch_size=2, sampler=range(16), collate_fn=Collator(80, 0), num_workers=workers
        )
        batches = list(loader)
        assert [sorted(batch.get("unreadable", {})) for batch in batches] == [[], [2, 3], [], []] * 2
        assert all(f"{i}.flac" in reason for i, reason in batches[1]["unreadable"].items())
    assert np.array_equal(examples[10].audio, examples[12].audio) and examples[10].ids == examples[12].ids
    most = SpeechDataset(windows[2:5], examples.labels, FinetuneConfig(), seed=1)
    assert not most[0].audio.any() and len(most[0].unreadable) == 2  # of three, which ends the run


@pytest.mark.parametrize("workers", [0, 1])
def test_items_that_prove_unreadable_are_left_out_of_a_run(workers: int, tiny: Path, tmp_path: Path) -> None:
    cut, other = (write_set_with_truncated(tmp_path / name, 2, 5) for name in ("cut", "other"))
    config = configuration(tiny, cut, data_valid=[str(other)], train_max_steps=9)
    config.finetune.also_valid = [str(write_set(tmp_path / "also", 2))]
    listener = Recorder()
    run = prepare(config, tmp_path / "mine", False, listener)
    run.trainer.args.dataloader_num_workers = workers
    assert run.train().finished == "max_steps"
    assert len(listener.warnings) == 4  # two in the training set and two in the validation set
    assert all("truncated" in line and line.endswith("; it is left out") for line in listener.warnings)
    assert sum("2.flac" in line for line in listener.warnings) == 2 and len(listener.validations) == 4


def test_a_run_stops_if_most_items_are_unreadable(tiny: Path, tmp_path: Path) -> None:
    """The last checkpoint stays; with `strict`, the first such item stops the run before the first step."""
    folder, listener = write_set(tmp_path / "set"), Recorder()
    config = configuration(tiny, folder, data_valid=[str(write_set(tmp_path / "valid", 2))])

    class Deleting(Recorder):
        def train(self, record: dict[str, Any]) -> None:
            for i in range(5):
                (folder / f"{i}.wav").write_bytes(b"")

    config.train.eval_every, config.train.log_every, config.train.max_steps = 2, 4, 12
    with pytest.raises(TxError, match="5 of 8 items cannot be read"):
        train(config, tmp_path / "mine", listener=Deleting())
    assert load_progress(tmp_path / "mine/run/last").step == 6
    cut = write_set_with_truncated(tmp_path / "cut", *range(5))
    with pytest.raises(TxError, match="of 8 items cannot be read"):
        train(configuration(tiny, folder, data_valid=[str(cut)]), tmp_path / "b", False, listener)
    with pytest.raises(TxError, match=r"metadata\.csv:2: .*0\.flac is truncated"):
        open_session(configuration(tiny, cut, finetune_strict=True), listener)
