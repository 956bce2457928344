#!/bin/sh
# Named-entity taggers: sh examples/tagger/run.sh wikigold.conll.txt text8 [wnut17train.conll emerging.dev.conll emerging.test.annotated]
# Train word vectors on raw text, then taggers with random embeddings and with these vectors.
set -eu
here=$(dirname "$0")
wikigold=$1 text=$2
python3 "$here/split.py" "$wikigold" wikigold
tx train word2vec "$text" -o text8-vectors

compare() {  # NAME TRAIN DEV TEST [FLAG...]
    name=$1 train=$2 dev=$3 test=$4
    shift 4
    tx train tagger "$train" --valid "$dev" -o "$name" "$@"
    tx train tagger "$train" --valid "$dev" --embeddings text8-vectors -o "$name-vectors" "$@"
    tx evaluate -m "$name" "$test"
    tx evaluate -m "$name-vectors" "$test" --against "$name"
}

compare wiki wikigold.train wikigold.dev wikigold.test
if [ $# -ge 5 ]; then
    compare wnut "$3" "$4" "$5" --max-epochs 12
fi
for name in wiki wiki-vectors; do
    echo "My name is Jiaqi and I work at OpenML in Shenzhen." | tx tag -m $name --scores
done
