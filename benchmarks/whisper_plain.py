"""Fine-tuning Whisper as tutorials do it: WhisperProcessor, a padding collator, Seq2SeqTrainer."""

from pathlib import Path
from typing import Any

import harness
import torch
from transformers import (
    Seq2SeqTrainer,
    Seq2SeqTrainingArguments,
    TrainerCallback,
    WhisperForConditionalGeneration,
    WhisperProcessor,
)

from tx.speech.media import decode

IGNORED_STEPS = 3


class Items(torch.utils.data.Dataset):  # type: ignore[type-arg]
    """Features of 30 s and labels, made when they are asked for."""

    def __init__(self, rows: list[Any], processor: Any) -> None:
        self.rows, self.processor = rows, processor

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, i: int) -> dict[str, Any]:
        path, text = self.rows[i]
        features = self.processor.feature_extractor(decode(path), sampling_rate=16_000).input_features[0]
        return {"input_features": features, "labels": self.processor.tokenizer(text).input_ids}


class Collator:
    """Pads labels, and takes the start token away, which the model adds."""

    def __init__(self, processor: Any, start: int) -> None:
        self.processor, self.start = processor, start

    def __call__(self, items: list[dict[str, Any]]) -> dict[str, Any]:
        batch = self.processor.feature_extractor.pad(
            [{"input_features": item["input_features"]} for item in items], return_tensors="pt"
        )
        labels = self.processor.tokenizer.pad(
            [{"input_ids": item["labels"]} for item in items], return_tensors="pt"
        )
        padded = labels["input_ids"].masked_fill(labels.attention_mask.ne(1), -100)
        if (padded[:, 0] == self.start).all():
            padded = padded[:, 1:]
        batch["labels"] = padded
        return dict(batch)


class Clock(TrainerCallback):
    """CPU and wall seconds at the end of each step."""

    def __init__(self) -> None:
        import time

        self.time, self.seconds = time.perf_counter, [(0.0, 0.0)]

    def on_step_end(self, *args: Any, **kwargs: Any) -> None:
        self.seconds.append((harness.cpu_seconds(), self.time()))


def main() -> None:
    job = harness.read_job()
    harness.set_torch(job)
    processor = WhisperProcessor.from_pretrained(job["model"], language=job["language"], task="transcribe")
    model = WhisperForConditionalGeneration.from_pretrained(job["model"], dtype=torch.float32)
    model.generation_config.language, model.generation_config.task = job["language"], "transcribe"
    model.generation_config.forced_decoder_ids = None
    out = Path(job["work"]) / f"plain-{'-'.join(job['settings']) or 'float32'}"
    clock = Clock()
    trainer = Seq2SeqTrainer(
        model=model,
        args=Seq2SeqTrainingArguments(
            output_dir=str(out),
            per_device_train_batch_size=job["batch_size"],
            learning_rate=job["lr"],
            warmup_steps=job["warmup_steps"],
            max_steps=job["steps"],
            seed=job["seed"],
            bf16="bf16" in job["settings"],
            use_cpu=True,
            save_strategy="no",
            report_to="none",
            remove_unused_columns=False,
            label_names=["labels"],
        ),
        train_dataset=Items(job["train"], processor),
        data_collator=Collator(processor, model.config.decoder_start_token_id),
        processing_class=processor,
        callbacks=[clock],
    )
    trainer.train()
    model.config.use_cache = True
    trainer.save_model(str(out))
    (cpu, wall), (last_cpu, last_wall) = clock.seconds[IGNORED_STEPS], clock.seconds[-1]
    result = {"cpu": last_cpu - cpu, "wall": last_wall - wall, "steps": job["steps"] - IGNORED_STEPS}
    result |= {"gib": harness.peak_gib(), "total_cpu": harness.cpu_seconds(), "folder": str(out)}
    harness.write_result(job, result)


if __name__ == "__main__":
    main()
