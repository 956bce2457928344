"""The engine of tx itself: windows of up to 30 s to tokens, by PyTorch and the search of `tx.decode.search`.

Shape letters: B windows, W hypotheses of each, N = B * W rows, D d_model, S audio positions, V vocabulary.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from tx.decode.sampling import Sampling
from tx.decode.search import Hypothesis, beam_search, generate
from tx.models.whisper import Memory, Network
from tx.nn.device import choose_device, keep_freed_memory, prefer_fast_products, set_threads
from tx.package.hf_folder import Folder
from tx.speech.features import HOP, Audio, log_mel
from tx.speech.transcribe.fallback import Heard, insist, judged
from tx.speech.transcribe.logits_processors import NEVER, Spoken, first_mask, next_mask
from tx.speech.transcribe.options import Options
from tx.speech.whisper_tokenizer import Vocabulary


@dataclass
class Windows:
    """What a search starts from: the encoded audio of B windows, and a prompt for each, all of one length."""

    src: Tensor  # [B, S, D]
    prompts: list[list[int]]
    timestamps: bool
    no_speech: list[float] = field(default_factory=list)  # filled in when the search starts


@dataclass
class State:
    """N rows in the midst of a search."""

    memory: Memory
    spoken: Spoken
    timestamps: bool
    first: Tensor | None  # the scores of the first token, known from the prompt, until they are asked for

    def reorder(self, index: Tensor, width: int) -> None:
        self.memory.reorder(index, width)
        self.spoken.reorder(index)


class NativeListener:
    """A network that is searched (`start`, `step`) and asked (`listen`, `languages`)."""

    def __init__(self, network: Network, vocabulary: Vocabulary) -> None:
        self.network, self.vocabulary = network, vocabulary

    def start(self, windows: Windows) -> State:
        """Read the prompts, and see there how probable it is that nobody speaks."""
        prompts = torch.tensor(windows.prompts, device=self.network.device)
        memory = self.network.start(windows.src)
        hidden = self.network.read(prompts, memory)
        at = windows.prompts[0].index(self.vocabulary.sot)
        told = self.network.logits(hidden[:, at]).softmax(dim=-1)[:, self.vocabulary.no_speech]
        windows.no_speech = told.tolist()
        first = first_mask(self.network.logits(hidden[:, -1]), self.vocabulary, windows.timestamps)
        spoken = Spoken.nothing(len(windows.prompts), self.network.device)
        return State(memory, spoken, windows.timestamps, first)

    def step(self, tokens: Tensor, state: State) -> tuple[Tensor, State]:
        """The masked scores `[N, V]` of what follows `tokens` `[N]`; at first, of what follows the prompt."""
        if state.first is not None:
            logits, state.first = state.first, None
            return logits, state
        state.spoken.add(tokens, self.vocabulary.first_time)
        logits = self.network.logits(self.network.read(tokens[:, None], state.memory)[:, 0])
        next_mask(logits, self.vocabulary, state.spoken, state.timestamps)
        if (
            state.memory.length + 1 >= self.network.max_len
        ):  # no room: the search wants the end to be possible
            logits[:, self.vocabulary.eot] = 0.0
        return logits, state

    @torch.inference_mode()
    def listen(
        self,
        windows: Sequence[Audio],
        prompts: list[list[int]],
        options: Options,
        numbers: Sequence[int],
        timestamps: bool = True,
    ) -> list[Heard]:
        """See `tx.speech.transcribe.engine.Listener`."""
        audio = self.network.encode(self._features(windows))

        def attempt(left: list[int], temperature: float) -> list[Heard]:
            asked = Windows(audio[left], [prompts[i] for i in left], timestamps)
            found = self._search(asked, temperature, options, [numbers[i] for i in left])
            return [
                judged(h.ids, h.logprob, no_speech, temperature, self.vocabulary)
                for h, no_speech in zip(found, asked.no_speech, strict=True)
            ]

        return insist(attempt, len(windows), options)

    def _features(self, windows: Sequence[Audio]) -> Tensor:
        """`[B, M, 2 S]`."""
        network = self.network
        return torch.from_numpy(
            np.stack([log_mel(w, network.n_mels, network.n_frames * HOP) for w in windows])
        )

    def _search(
        self, windows: Windows, temperature: float, options: Options, numbers: Sequence[int]
    ) -> list[Hypothesis]:
        n_windows, prompt = len(windows.prompts), windows.prompts[0]
        room = [self.network.max_len - len(prompt)] * n_windows
        if temperature == 0 and options.beam_size > 1:
            best = beam_search(
                self,
                windows,
                beam_size=options.beam_size,
                max_lens=room,
                bos_id=prompt[-1],
                eos_id=self.vocabulary.eot,
                leave_in=1,
            )
        else:
            best = generate(
                self,
                windows,
                sampling=Sampling(temperature, seed=options.seed) if temperature else None,
                max_lens=room,
                bos_id=prompt[-1],
                eos_id=self.vocabulary.eot,
                leave_in=1,
                lines=numbers,
            )
        return [hypotheses[0] if hypotheses else Hypothesis([], NEVER, NEVER) for hypotheses in best]

    @torch.inference_mode()
    def languages(self, windows: Sequence[Audio]) -> list[dict[str, float]]:
        """The probability of each language, for each window."""
        known = self.vocabulary.languages
        memory = self.network.start(self.network.encode(self._features(windows)))
        start = torch.full((len(windows), 1), self.vocabulary.sot, device=self.network.device)
        scores = self.network.logits(self.network.read(start, memory)[:, 0])[:, list(known.values())]
        return [dict(zip(known, row, strict=True)) for row in scores.softmax(dim=-1).tolist()]


def open_native(folder: Folder, vocabulary: Vocabulary, device: str, threads: int) -> NativeListener:
    """The model in `folder` on `device`: in float32 on a CPU, in float16 on a GPU."""
    set_threads(threads)
    keep_freed_memory()
    prefer_fast_products()
    chosen = choose_device(device)
    dtype = torch.float16 if chosen.type == "cuda" else torch.float32
    return NativeListener(Network(folder, chosen, dtype), vocabulary)
