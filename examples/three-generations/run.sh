#!/bin/sh
# Three generations of translation models, trained on the same data for the same time:
#   sh examples/three-generations/run.sh FOLDER-OF-MULTI30K [TIME-FOR-EACH]
# The corpus is at https://github.com/multi30k/dataset (task 1, raw); unpack its files into one folder.
set -eu
data=$1
limit=${2:-15m}

for recipe in rnn rnn-attention transformer-xs; do
    tx train "$recipe" "$data/train.de" "$data/train.en" --valid "$data/val.de" --valid "$data/val.en" \
        --max-time "$limit" --threads 1 --overwrite -o "$recipe"
done
tx compare rnn rnn-attention transformer-xs --threads 1 -o lengths.png --sentences 3 \
    --test "$data/test_2016_flickr.de" --test "$data/test_2016_flickr.en"
tx plot curves rnn rnn-attention transformer-xs --by minutes --metric bleu -o curves.png
