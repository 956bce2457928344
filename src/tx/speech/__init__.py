"""Speech as people have it: media files, subtitles, transcripts, and what a recogniser is fed from them."""
