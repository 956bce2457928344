"""From speech to text with Whisper (Radford et al. 2022): who listens, in which windows, and what is believed.

    options      what may be asked for, and what comes out: Options, Segment
    folder       a Hugging Face folder or a tx package, read without torch or transformers
    vocabulary   the special tokens, text to ids and back
    network      the model itself, for inference only
    rules        what may follow what: suppressed tokens, timestamps in pairs
    window       windows of up to 30 s to tokens: search, fallback to higher temperatures
    longform     audio of any length to segments, in batches of windows
    fast         the same by CTranslate2 through faster-whisper

`open_transcriber` gives either engine. transformers is not imported: that alone takes longer than a short file.
"""

from tx.speech.transcribe.engine import Transcriber, open_transcriber
from tx.speech.transcribe.options import Options, Segment

__all__ = ["Options", "Segment", "Transcriber", "open_transcriber"]
