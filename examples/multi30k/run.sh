#!/bin/sh
# Train and evaluate a German-English model on Multi30k: sh examples/multi30k/run.sh FOLDER-OF-MULTI30K [TIME]
# The corpus is at https://github.com/multi30k/dataset (task 1, raw); unpack its files into one folder.
set -eu
data=$1
limit=${2:-}

tx train transformer-xs "$data/train.de" "$data/train.en" --valid "$data/val.de" --valid "$data/val.en" \
    ${limit:+--max-time "$limit"} --overwrite -o de-en
tx evaluate -m de-en "$data/test_2016_flickr.de" "$data/test_2016_flickr.en" -o de-en.hyp
head -3 "$data/test_2016_flickr.de" | tx translate -m de-en
