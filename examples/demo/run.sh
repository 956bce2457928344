#!/bin/sh
# Train a small Transformer on the built-in corpus, translate the test set, and print BLEU and chrF.
# Run it with `make demo`, or wherever `tx` is installed.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
work=${1:-demo-run}

tx demo --overwrite -o "$work/data"
tx train "$here/en-de.toml" "$work/data/train.en" "$work/data/train.de" \
    --valid "$work/data/valid.en" --valid "$work/data/valid.de" --overwrite -o "$work/en-de"

echo "== the first five lines of the test set, through a pipe"
head -5 "$work/data/test.en" | tx translate -m "$work/en-de" | tee "$work/head.hyp"

echo "== scores on the test set: 500 sentences, with combinations of words that are not in the training set"
tx translate -q -m "$work/en-de" < "$work/data/test.en" > "$work/test.hyp"
tx score "$work/data/test.de" < "$work/test.hyp"

echo "== differences (< reference, > translation)"
diff "$work/data/test.de" "$work/test.hyp" | grep '^[<>]' | head -20 || echo "nothing"
echo "== $(diff "$work/data/test.de" "$work/test.hyp" | grep -c '^>' || true) of 500 sentences differ from their reference"
