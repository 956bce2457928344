#!/bin/sh
# From a folder of media to a recogniser of one's own and to subtitles:
#     sh examples/whisper/run.sh AUDIOFOLDER WHISPER LANGUAGE [WORK]
# AUDIOFOLDER holds clips and metadata.csv (file_name, transcription); WHISPER is a pretrained model in Hugging
# Face's form, openai/whisper-base for instance.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
data=$1 base=$2 language=$3 work=${4:-whisper-run}

python "$here/make_media.py" "$data" "$work"  # a video with its subtitles, clips with their text: as people have them

echo "== what there is to learn from"
tx data check "$work/train" "$work/test" --model "$base"

echo "== fine-tuning"
tx train whisper "$work/train" --init-from "$base" --language "$language" --overwrite -o "$work/my-whisper"

echo "== before and after, on a video that training never saw"
tx evaluate -m "$work/my-whisper" --against "$base" "$work/test" --language "$language"

echo "== subtitles for a folder of videos"
tx transcribe -m "$work/my-whisper" "$work/test" -f srt -o "$work/subtitles/"
head -12 "$work/subtitles/interview.srt"

echo "== text in a pipe, by the fast engine, which is converted and scored first"
tx transcribe -m "$work/my-whisper" --engine ctranslate2 --check "$work/test" "$work/test/interview.mp4" | head -5
