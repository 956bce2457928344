"""WER and CER of a Whisper folder: transformers' generation and normaliser, jiwer's counting; nothing is tx's."""

import harness
import jiwer
import torch
from transformers import WhisperForConditionalGeneration, WhisperProcessor
from transformers.models.whisper.english_normalizer import BasicTextNormalizer

from tx.speech.media import decode


def main() -> None:
    job = harness.read_job()
    harness.set_torch(job)
    processor = WhisperProcessor.from_pretrained(job["folder"])
    model = WhisperForConditionalGeneration.from_pretrained(job["folder"], dtype=torch.float32)
    texts: list[str] = []
    for start in range(0, len(job["test"]), 8):
        sounds = [decode(path) for path, _ in job["test"][start : start + 8]]
        features = processor(sounds, sampling_rate=16_000, return_tensors="pt").input_features
        ids = model.generate(
            features, language=job["language"], task="transcribe", num_beams=1, do_sample=False
        )
        texts += processor.batch_decode(ids, skip_special_tokens=True)
    normalize = BasicTextNormalizer()
    refs, hyps = (
        [normalize(text).strip() for _, text in job["test"]],
        [normalize(text).strip() for text in texts],
    )
    harness.write_result(job, {"wer": jiwer.wer(refs, hyps), "cer": jiwer.cer(refs, hyps), "texts": texts})


if __name__ == "__main__":
    main()
