#!/bin/sh
# A character-level language model on your own text: sh examples/char-rnn/run.sh TEXT [TIME]
# The example's text is tinyshakespeare: https://github.com/karpathy/char-rnn, data/tinyshakespeare/input.txt
set -eu
text=$1
limit=${2:-4m}

tx train char-rnn "$text" --max-time "$limit" --overwrite -o bard
tx plot curves bard
tx generate -m bard "ROMEO:"
tx generate -m bard "The king" --samples 3 --stop '\n'
printf 'What is\nO, my\n' | tx generate -m bard --length 60
tx generate -m bard --next 5 "what say"
printf 'my name is Jack\nmy name are Jack\n' | tx score -m bard
tx generate -m bard "" --length 20000 > made.txt
tx plot neurons -m bard made.txt
tx plot neurons -m bard made.txt --track "position in line" -o neurons.png
