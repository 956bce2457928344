"""Fine-tuning Whisper (Radford et al. 2022) with Hugging Face's model, processor and trainer.

pretrained   finding, checking and loading the model that training starts from
model        language and task, frozen parts, LoRA adapters, saving; encoder: windows that fit the clips
data         training and validation sets; unreadable media are left out
dataset      windows to examples and batches; augment: speed perturbation, noise, SpecAugment
distributed  the processes that torchrun starts
validation   greedy transcription, WER and CER
session      the opened model, data and device of a run; the package
trainer      the Seq2SeqTrainer, and the callback that logs, validates and saves
run          a run from the configuration to the package; the dry run
"""

from tx.tasks.speech.config import Config
from tx.tasks.task import Task

TASK = Task(
    name="speech",
    config=Config,
    training="tx.tasks.speech.run",
    metrics={"wer": "WER {:.1f} %", "cer": "CER {:.1f} %", "wer_raw": "WER as written {:.1f} %"},
    example="tx transcribe -m {out} {text}",
    log_line="epoch {epochs:.2f}  loss {loss:.3f}  {s_per_step:.2f} s/step",
    distributed=True,
    data="DATA...",
    reads_folders=True,
)
