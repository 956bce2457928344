#!/bin/sh
# Train, query, evaluate and draw word vectors: sh examples/word2vec/run.sh TEXT [FOLDER-OF-MEASURES]
# text8 is at http://mattmahoney.net/dc/text8.zip; any text can be used, plain or .gz. The folder, if given, holds
# questions-words.txt (https://github.com/tmikolov/word2vec) and EN-WS-353-ALL.txt (WordSim-353).
set -eu
text=$1
measures=${2:-}

tx train word2vec "$text" --overwrite -o vectors
tx analogy king-man+woman --model vectors --top 3
printf 'berlin-germany+france\nfather-man+woman\nbigger-big+small\nfrench-france+spain\nathens-greece+italy\n' |
    tx analogy --model vectors --top 1
tx neighbors physics --model vectors --top 5
if [ -n "$measures" ]; then
    tx evaluate -m vectors "$measures/questions-words.txt" | tail -3
    tx evaluate -m vectors "$measures/EN-WS-353-ALL.txt"
fi
tx plot vectors king-man+woman water -m vectors -o strips.png
tx plot map king queen man woman prince princess boy girl father mother son daughter brother sister uncle aunt \
    paris france berlin germany rome italy london england madrid spain -m vectors -o map.png
tx plot skipgram "thou shalt not make a machine" --window 2
