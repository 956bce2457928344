"""Fine-tuning Whisper (Radford et al. 2022) with Hugging Face's own parts: the model, the processor, the trainer.

checkpoint  a model to start from, checked and loaded
model       language and task locked in, what is frozen, adapters and their merging
encoder     windows as long as the clips need
batch       items to features and labels; augment: speed, noise, SpecAugment
unheard     items whose media turn out to be unreadable
validate    text by generation, WER and CER
session     all of it, opened; ranks: the processes of a distributed run
trainer     transformers' Seq2SeqTrainer with tx's log, schedule and validation
run         a run from the configuration to the package
"""

from tx.tasks.task import Task

TASK = Task(
    name="speech",
    training="tx.tasks.speech.run",
    metrics={"wer": "WER {:.1f} %", "cer": "CER {:.1f} %", "wer_raw": "WER as written {:.1f} %"},
    example="tx transcribe -m {out} {text}",
    log_line="epoch {epochs:.2f}  loss {loss:.3f}  {s_per_step:.2f} s/step",
    distributed=True,
)
