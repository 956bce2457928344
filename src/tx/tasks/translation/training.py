"""Training a translator: tokenizers, corpus, validation text and model of `tx train transformer SRC TGT`."""

import math
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path

import torch
from torch import nn

from tx.data.corpus import Corpus, EncodedText, check_line_counts, encode_corpus, hold_out, open_corpus
from tx.data.sampler import PairSampler
from tx.decode.translate import SearchOptions, Translator
from tx.errors import TxError
from tx.evaluation.metrics import bleu
from tx.evaluation.perplexity import mean_loss
from tx.files import cache_folder
from tx.models import load_architecture
from tx.package import Package
from tx.tasks.translation import Config
from tx.text.fit_tokenizer import train_tokenizer
from tx.text.lines import read_lines
from tx.text.load_tokenizer import open_tokenizers
from tx.text.tokenizer import Tokenizer
from tx.training.loop import Evaluation
from tx.training.prepare import LoopRun, TrainingSetup
from tx.training.prepare import prepare as prepare_run
from tx.training.run import Listener

N_SAMPLES = 3  # translations to show at each validation


def fit_tokenizers(config: Config, say: Callable[[str], None]) -> tuple[Tokenizer, Tokenizer]:
    """The tokenizers of both sides: the named package's, or new ones fitted to the training text."""
    data = config.data
    if data.tokenizer:
        from tx.package import find_package

        return open_tokenizers(Package.open(find_package(data.tokenizer, "tokenizer")))
    if data.valid:
        check_line_counts(data.valid)  # before the tokenizer is trained, which may take minutes
    src, tgt = data.train
    if data.shared_vocab:
        n_lines: list[int] = []

        def read(path: str | Path) -> Iterator[str]:
            n = 0
            for n, line in enumerate(read_lines(path), start=1):  # noqa: B007
                yield line
            n_lines.append(n)
            if len(n_lines) == 2 and n_lines[0] != n_lines[1]:
                check_line_counts(data.train)  # raises the error

        say(
            f"training a {data.tokenizer_kind} tokenizer with {data.vocab_size:,} pieces on source and target"
        )
        shared = train_tokenizer(
            data.tokenizer_kind, [src, tgt], data.vocab_size, seed=config.seed, say=say, read=read
        )
        return shared, shared
    check_line_counts(data.train)
    say(f"training a {data.tokenizer_kind} tokenizer of {data.vocab_size:,} pieces on each side")
    one, two = (
        train_tokenizer(data.tokenizer_kind, [path], data.vocab_size, seed=config.seed, say=say)
        for path in (src, tgt)
    )
    return one, two


def _whole(src: EncodedText, tgt: EncodedText) -> Corpus:
    return Corpus(src, tgt, torch.arange(len(src)).numpy(), {"pairs": len(src)})


def open_data(
    config: Config, tokenizers: tuple[Tokenizer, Tokenizer], say: Callable[[str], None]
) -> tuple[Corpus, Corpus]:
    """Training and validation corpus; without validation files, held out from the training text."""
    data, cache = config.data, cache_folder()
    corpus = open_corpus(
        data.train,
        tokenizers,
        cache,
        say,
        max_len=data.max_len,
        max_ratio=data.max_ratio,
        deduplicate=data.deduplicate,
    )
    if data.valid:
        return corpus, _whole(*encode_corpus(data.valid, tokenizers, cache))
    corpus, valid = hold_out(corpus, data.n_valid, config.seed)
    say(f"held out {len(valid):,} pairs for validation; {len(corpus):,} are left")
    return corpus, valid


def build_model(config: Config, tokenizers: tuple[Tokenizer, Tokenizer], device: torch.device) -> nn.Module:
    """A new model for these vocabularies, initialised from the seed."""
    architecture = load_architecture(config.arch)
    src, tgt = tokenizers
    sizes = {"src_vocab_size": len(src), "tgt_vocab_size": len(tgt), "shared_vocab": src is tgt}
    longest = config.model.get("max_len", architecture.Config().max_len)
    if longest <= config.data.max_len:
        raise TxError(
            f"model.max_len {longest} leaves no room for </s> after the {config.data.max_len} pieces of data.max_len",
            f"--set data.max_len={max(1, longest - 1)}, or a larger model.max_len",
        )
    torch.manual_seed(config.seed)
    model: nn.Module = architecture.Model(architecture.Config(**config.model | sizes))
    return model.to(device)


class Validation:
    """Loss over all validation pairs, and BLEU of greedy translations of the first `eval_lines`."""

    def __init__(
        self, model: nn.Module, valid: Corpus, tokenizers: tuple[Tokenizer, Tokenizer], config: Config
    ) -> None:
        self.model, self.valid, self.tokenizers, self.config = model, valid, tokenizers, config
        self.device = next(model.parameters()).device
        lines = valid.kept[: config.train.eval_lines]
        self.src, self.tgt = ([side.line(int(i)) for i in lines] for side in (valid.src, valid.tgt))
        decode = Config().decode
        decode.beam_size = 1
        self.search = SearchOptions(decode)

    def __call__(self) -> Evaluation:
        loss = mean_loss(self.model, self.valid, self.tokenizers, self.config.train.batch_tokens)
        translator = Translator(self.model, *self.tokenizers, self.device)
        hyps = [result.text for result in translator.translate(self.src, self.search)]
        score = bleu(hyps, [self.tgt])
        samples = [
            {"src": self.src[i], "ref": self.tgt[i], "hyp": hyps[i]} for i in range(min(N_SAMPLES, len(hyps)))
        ]
        values = {"valid_loss": loss, "valid_ppl": math.exp(min(loss, 700.0)), "valid_bleu": score.value}
        # Where no four words in a row are right yet, BLEU is 0 and the loss decides.
        return Evaluation(
            -loss if self.config.train.metric == "loss" else score.value or -loss, values, samples
        )


def set_up(config: Config, saved: Package | None, device: torch.device, listener: Listener) -> TrainingSetup:
    """The data and the model, for `tx.training.prepare`."""
    tokenizers = fit_tokenizers(config, listener.info) if saved is None else open_tokenizers(saved)
    src, tgt = tokenizers
    corpus, valid = open_data(config, tokenizers, listener.info)
    model = build_model(config, tokenizers, device)
    data, batch_tokens = config.data, config.train.batch_tokens
    dropped = [
        {"reason": reason, "pairs": value["pairs"], "first_lines": ", ".join(map(str, value["first_lines"]))}
        for reason, value in corpus.report["dropped"].items()
    ]
    return TrainingSetup(
        tokenizers={"tokenizer": src} if src is tgt else {"src": src, "tgt": tgt},
        model=model,
        sampler=PairSampler(corpus, tokenizers, batch_tokens, config.seed, data.sampling, data.max_len),
        evaluate=Validation(model, valid, tokenizers, config),
        report=corpus.report | {"dropped": dropped},
        scores={"valid_bleu": "BLEU", "valid_loss": "loss", "valid_ppl": "perplexity"},
        measured_on="validation, greedy",
        decode=asdict(config.decode),
    )


def prepare(config: Config, out: Path, resume: bool, listener: Listener) -> LoopRun:
    """A run of the training loop in `out`, ready to train."""
    return prepare_run(config, out, resume, listener, set_up)
