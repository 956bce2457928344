#!/bin/sh
# From nothing to a translator in a pipe: the embedded corpus, a small Transformer, unseen lines, BLEU and chrF.
# Run it with `make demo`, or anywhere `tx` is installed.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
work=${1:-demo-run}

tx demo --overwrite -o "$work/data"
tx train "$here/en-de.toml" "$work/data/train.en" "$work/data/train.de" \
    --valid "$work/data/valid.en" --valid "$work/data/valid.de" --overwrite -o "$work/en-de"

echo "== unseen lines through a pipe"
head -5 "$work/data/test.en" | tx translate -m "$work/en-de" | tee "$work/head.hyp"

echo "== the held-out split: 500 sentences of combinations that training never saw"
tx translate -q -m "$work/en-de" < "$work/data/test.en" > "$work/test.hyp"
tx score "$work/data/test.de" < "$work/test.hyp"

echo "== what it gets wrong (< should be, > is)"
diff "$work/data/test.de" "$work/test.hyp" | grep '^[<>]' | head -20 || echo "nothing"
echo "== $(diff "$work/data/test.de" "$work/test.hyp" | grep -c '^>' || true) of 500 sentences differ from their reference"
