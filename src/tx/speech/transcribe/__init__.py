"""Speech recognition with Whisper (Radford et al., 2022), for audio of any length.

    decoding              Options, Segment, and the temperature fallback
    transcriber           Transcriber and open_transcriber: a model with one of the engines
    longform              long audio to segments, in batches of windows
    native_engine         decodes windows with PyTorch and the search of tx.decode
    logits_processors     which tokens may follow: suppressed tokens, timestamps in pairs
    ctranslate2_engine    decodes windows with CTranslate2

transformers is not imported, because importing it takes longer than transcribing a short file.
"""

from tx.speech.transcribe.decoding import Options, Segment
from tx.speech.transcribe.transcriber import Transcriber, open_transcriber

__all__ = ["Options", "Segment", "Transcriber", "open_transcriber"]
