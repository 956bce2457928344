"""Transcribe a file with another system, in a separate process: see transcribing.py.

python benchmarks/transcribing_peer.py SYSTEM MODEL FILE LANGUAGE BEAM THREADS
"""

import sys
from typing import Any

TEMPERATURES = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)


def by_faster_whisper(system: str, model: str, file: str, language: str, beams: int, threads: int) -> None:
    """faster-whisper on the conversion that tx keeps in the model's folder."""
    from faster_whisper import BatchedInferencePipeline, WhisperModel

    opened = WhisperModel(f"{model}/ctranslate2", "cpu", compute_type="int8", cpu_threads=threads)
    options: dict[str, Any] = {"language": language, "beam_size": beams, "temperature": TEMPERATURES}
    if system == "faster":
        segments, _ = opened.transcribe(file, vad_filter=True, condition_on_previous_text=False, **options)
    else:
        pipeline = BatchedInferencePipeline(opened)
        segments, _ = pipeline.transcribe(file, batch_size=8, without_timestamps=False, **options)
    for segment in segments:
        print(segment.text.strip(), flush=True)


def by_transformers(system: str, model: str, file: str, language: str, beams: int, threads: int) -> None:
    """transformers' own generation, over the whole file or by its pipeline."""
    import torch
    from transformers import (
        AutomaticSpeechRecognitionPipeline,
        WhisperForConditionalGeneration,
        WhisperProcessor,
    )

    from tx.speech.media import RATE, decode

    torch.set_num_threads(threads)
    processor: Any = WhisperProcessor.from_pretrained(model)
    opened: Any = WhisperForConditionalGeneration.from_pretrained(model, dtype=torch.float32).eval()
    opened.generation_config.return_timestamps = True
    asked = {"language": language, "task": "transcribe", "num_beams": beams, "return_timestamps": True}
    sound = decode(file)
    if system == "pipeline":
        pipeline = AutomaticSpeechRecognitionPipeline(
            model=opened,
            tokenizer=processor.tokenizer,
            feature_extractor=processor.feature_extractor,
            chunk_length_s=30,
            batch_size=8,
        )
        found: Any = pipeline(
            {"raw": sound, "sampling_rate": RATE}, return_timestamps=True, generate_kwargs=asked
        )
        print(found["text"].strip())
        return
    inputs = processor(
        sound,
        sampling_rate=RATE,
        return_tensors="pt",
        truncation=len(sound) <= 30 * RATE,
        padding="max_length" if len(sound) <= 30 * RATE else "longest",
        return_attention_mask=True,
    )
    thresholds = {
        "temperature": TEMPERATURES,
        "compression_ratio_threshold": 2.4,
        "logprob_threshold": -1.0,
        "no_speech_threshold": 0.6,
    }
    with torch.inference_mode():
        ids = opened.generate(**inputs, **asked, **thresholds, condition_on_prev_tokens=False)
    print(processor.batch_decode(ids, skip_special_tokens=True)[0].strip())


if __name__ == "__main__":
    by = by_faster_whisper if sys.argv[1].startswith("faster") else by_transformers
    by(sys.argv[1], sys.argv[2], sys.argv[3], sys.argv[4], int(sys.argv[5]), int(sys.argv[6]))
