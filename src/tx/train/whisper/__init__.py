"""Fine-tuning Whisper (Radford et al. 2022) with Hugging Face's own parts: the model, the processor, the trainer.

checkpoint  a model to start from, checked and loaded
model       language and task locked in, what is frozen, adapters and their merging
encoder     windows as long as the clips need
batch       items to features and labels; augment: speed, noise, SpecAugment
validate    text by generation, WER and CER
trainer     transformers' Seq2SeqTrainer with tx's log, schedule and validation
run         a run from the configuration to the package
"""
