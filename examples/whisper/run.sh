#!/bin/sh
# Fine-tune Whisper on your recordings, evaluate it, and write subtitles:
#     sh examples/whisper/run.sh AUDIOFOLDER WHISPER LANGUAGE [WORK]
# AUDIOFOLDER holds clips and metadata.csv (file_name, transcription); WHISPER is a pretrained model in the Hugging
# Face format, for example openai/whisper-base.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
data=$1 base=$2 language=$3 work=${4:-whisper-run}

python "$here/make_media.py" "$data" "$work"  # a video with subtitles, and clips with text files

echo "== the data"
tx data check "$work/train" "$work/test" --model "$base"

echo "== fine-tuning"
tx train whisper "$work/train" --init-from "$base" --language "$language" --overwrite -o "$work/my-whisper"

echo "== the pretrained and the fine-tuned model, on a video that is not in the training data"
tx evaluate -m "$work/my-whisper" --against "$base" "$work/test" --language "$language"

echo "== subtitles for a folder of videos"
tx transcribe -m "$work/my-whisper" "$work/test" -f srt -o "$work/subtitles/"
head -12 "$work/subtitles/interview.srt"

echo "== the same with the faster CTranslate2 engine, which converts the model first"
tx evaluate -m "$work/my-whisper" --engine ctranslate2 "$work/test" --language "$language"
tx transcribe -m "$work/my-whisper" --engine ctranslate2 "$work/test/interview.mp4" | head -5
