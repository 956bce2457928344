"""Speech: media files, subtitles, datasets, training windows, and transcription with Whisper."""
