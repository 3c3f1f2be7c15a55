"""Speed and memory of a language model of words, 2 x 200: `fit` and generation, as ratios of one run.

    python scripts/benchmark_language_model.py                            # some minutes on two idle cores
    python scripts/benchmark_language_model.py --parts fit --rounds 15    # one part, more certain

Ways to train the same model (embedding 200 tied to the softmax, LSTM 2 x 200, dropout 0.2, SGD, gradients clipped to
0.25) on the same batches (20 rows of 35 words, the state carried along):

- loop, usual loss: plain PyTorch by hand, which makes all logits and calls torch's cross entropy.
- loop, our loss: the same loop with this framework's chunked linear cross entropy.
- fit: this framework's task under Lightning's Trainer, with the loggers and the report of `seqmodels fit`; without
  progress bar, checkpoints and validation.

`highest` and `medium` are the precision of float32 matrix products: torch's own choice, and that of the recipes.
Generation draws words from an untrained network, 64 prompts at once and one at a time.

The ways take turns, round after round in one process, because a shared machine drifts: trust the ratios. Another
program on the same cores spoils them too. The growth of memory is measured in a process of its own for each way: the
peak of a few steps less what the process held before them, the gradients included; it needs Linux.

Where the data folder lacks a corpus, a synthetic one with the same number of words takes its place.
"""

from __future__ import annotations

import argparse
import functools
import itertools
import logging
import os
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import lightning
import numpy as np
import torch
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from torch import Tensor, nn

from seqmodels import ContiguousStreams, LanguageModel
from seqmodels.callbacks.run_report import RunReport, machine
from seqmodels.inference.predictor import Predictor
from seqmodels.linear_cross_entropy import linear_cross_entropy
from seqmodels.tasks.schedules import WarmupCosine

BATCH, TIME, HIDDEN_SIZE, DROPOUT, CLIP, RATE = 20, 35, 200, 0.2, 0.25, 20.0
WARM_UP = 5
MEMORY_STEPS = 3
SEED = 1
PARTS = ("fit", "softmax", "memory", "generation")

USUAL = "loop, usual loss, highest"
OWN = "loop, our loss, medium"
FIT = "fit, medium"
FIT_HIGHEST = "fit, highest"


class Corpus(NamedTuple):
    """A training text.

    Attributes:
        name: as it is printed.
        file: below the data folder.
        words: different ones, `<unk>` not counted.
        tokens: of the synthetic text that stands in for it.
        wanted: speed of fit over that of the loop with the usual loss.
    """

    name: str
    file: str
    words: int
    tokens: int
    wanted: float


CORPORA = (
    Corpus("PTB", "ptb/ptb.train.txt.gz", 9_998, 900_000, 1.3),
    Corpus("WikiText-2", "wikitext-2/train.txt.gz", 33_276, 2_000_000, 1.7),
)


class Comparison(NamedTuple):
    """A ratio in each round, and the bound it is to keep: "at least" or "at most" `wanted`, none where that is None."""

    name: str
    ratios: list[float]
    bound: str = ""
    wanted: float | None = None


# Data


def find_text(corpus: Corpus, data: str | None, folder: Path) -> Path:
    """Returns the corpus's file, or that of a synthetic text written in its place."""
    path = Path(data or "") / corpus.file
    if data and path.exists():
        return path
    path = folder / f"{corpus.name}.txt"
    if not path.exists():
        print(f"{corpus.name}: no {corpus.file} in the data folder; a synthetic text of as many words takes its place")
        write_synthetic(path, corpus.words, corpus.tokens)
    return path


def write_synthetic(path: Path, words: int, tokens: int) -> None:
    """Writes a text by Zipf's law, lines of 20 words, in which each word occurs at least once."""
    probabilities = 1 / (np.arange(words) + 2.7)
    drawn = np.random.default_rng(SEED).choice(words, max(0, tokens - words), p=probabilities / probabilities.sum())
    text = [f"word{number}" for number in itertools.chain(range(words), drawn.tolist())]
    path.write_text("".join(" ".join(text[row : row + 20]) + "\n" for row in range(0, len(text), 20)))


def create_data(path: Path, folder: Path) -> ContiguousStreams:
    """Returns the streams of a text, ready for training."""
    data = ContiguousStreams(
        train=str(path),
        tokenizer={"name": "word", "split": "whitespace"},
        batch_size=BATCH,
        window=TIME,
        cache_dir=str(folder / "cache"),
    )
    data.setup("fit")
    return data


def vocab_size_of(data: ContiguousStreams) -> int:
    """Returns the number of ids."""
    assert data.schema is not None
    assert data.schema.tokens is not None
    return data.schema.tokens.tokenizer.vocab_size


def batch_stream(data: ContiguousStreams) -> Iterator[Any]:
    """Yields training batches for ever."""
    while True:
        yield from data.train_dataloader()


# Measuring


class Meter(lightning.Callback):
    """Measures a training: its speed after the warm-up, and by how much it raises the peak of the memory."""

    def start(self) -> None:
        """Notes the memory before the first step."""
        self._steps = 0
        self._before = resident("VmRSS")
        reset_peak()

    def count(self, batch: Any) -> None:
        """Counts a step."""
        self._steps += 1
        if self._steps <= WARM_UP:
            self._begin, self._tokens = time.perf_counter(), 0
        else:
            self._tokens += batch.targets.numel()
            self._end = time.perf_counter()

    @property
    def speed(self) -> float:
        """Tokens a second."""
        return self._tokens / (self._end - self._begin)

    @property
    def growth(self) -> float:
        """The peak above what was held before the first step, in MiB."""
        return max(0.0, resident("VmHWM") - self._before)  # the kernel counts pages in lots, not one by one

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """Starts."""
        self.start()

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Counts the batch."""
        self.count(batch)


def resident(name: str) -> float:
    """Returns a line of this process's memory status, `VmRSS` now or `VmHWM` at its peak, in MiB; NaN off Linux."""
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.exists() else []
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith(name)), float("nan"))


def reset_peak() -> None:
    """Lets the peak of this process's memory be that from now on, where the system can."""
    reset = Path("/proc/self/clear_refs")
    if reset.exists():
        reset.write_text("5")


# Ways to train


class PlainModel(nn.Module):
    """The model as most tutorials write it."""

    def __init__(self, vocab_size: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocab_size, HIDDEN_SIZE)
        nn.init.uniform_(self.embedding.weight, -0.1, 0.1)
        self.dropout = nn.Dropout(DROPOUT)
        self.lstm = nn.LSTM(HIDDEN_SIZE, HIDDEN_SIZE, num_layers=2, dropout=DROPOUT, batch_first=True)
        self.bias = nn.Parameter(torch.zeros(vocab_size))

    def forward(self, ids: Tensor, state: Any) -> tuple[Tensor, Any]:
        outputs, state = self.lstm(self.dropout(self.embedding(ids)), state)
        return self.dropout(outputs).flatten(0, 1), state  # (batch * time, hidden)


def usual_loss(outputs: Tensor, weight: Tensor, bias: Tensor, targets: Tensor) -> Tensor:
    """Returns the mean cross entropy by way of all logits."""
    return nn.functional.cross_entropy(nn.functional.linear(outputs, weight, bias), targets)


def run_loop(model: PlainModel, loss: Any, data: ContiguousStreams, steps: int) -> Meter:
    """Trains by hand."""
    optimizer = torch.optim.SGD(model.parameters(), lr=RATE)
    model.train()
    meter, state = Meter(), None
    meter.start()
    for batch in itertools.islice(batch_stream(data), steps):
        outputs, state = model(batch.inputs["ids"], state)
        mean = loss(outputs, model.embedding.weight, model.bias, batch.targets.flatten())
        optimizer.zero_grad()
        mean.backward()
        nn.utils.clip_grad_norm_(model.parameters(), CLIP)
        optimizer.step()
        state = tuple(part.detach() for part in state)
        meter.count(batch)
    return meter


def create_task() -> LanguageModel:
    """Returns the task of configs/language_modeling/ptb_small.yaml."""
    return LanguageModel(
        embedder={"embedding_dim": HIDDEN_SIZE, "dropout": DROPOUT},
        encoder={"name": "lstm", "hidden_size": HIDDEN_SIZE, "num_layers": 2, "dropout": DROPOUT},
        dropout=DROPOUT,
        optimizer=functools.partial(torch.optim.SGD, lr=RATE),
        lr_scheduler=functools.partial(WarmupCosine, warmup_steps=200),
    )


def run_fit(task: LanguageModel, data: ContiguousStreams, steps: int, folder: Path) -> Meter:
    """Trains by the Trainer."""
    meter = Meter()
    lightning.Trainer(
        accelerator="cpu",
        max_steps=steps,
        gradient_clip_val=CLIP,
        logger=[TensorBoardLogger(str(folder), "runs"), CSVLogger(str(folder), "runs")],
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=[RunReport(), meter],
    ).fit(task, data)
    return meter


class Way:
    """A way to train, with its model.

    Args:
        name: one of the names above.
        data: what it trains on.
        folder: for the loggers.
    """

    def __init__(self, name: str, data: ContiguousStreams, folder: Path) -> None:
        self._kind, _, self._precision = name.rpartition(", ")
        self._data = data
        self._folder = folder
        torch.manual_seed(SEED)
        self._model: Any = create_task() if self._kind == "fit" else PlainModel(vocab_size_of(data))

    def train(self, steps: int) -> Meter:
        """Trains so many steps from the beginning of the streams."""
        torch.set_float32_matmul_precision(self._precision)
        if self._kind == "fit":
            return run_fit(self._model, self._data, steps, self._folder)
        loss = usual_loss if "usual" in self._kind else linear_cross_entropy
        return run_loop(self._model, loss, self._data, steps)


# Parts


def measure_speeds(ways: Sequence[str], data: ContiguousStreams, options: Any, folder: Path) -> dict[str, list[float]]:
    """Returns the tokens a second of each way in each round."""
    made = {name: Way(name, data, folder) for name in ways}
    speeds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(options.rounds):
        for name, way in made.items():
            speeds[name].append(way.train(WARM_UP + options.steps).speed)
    return speeds


def compare_training(corpus: Corpus, options: Any, folder: Path) -> list[Comparison]:
    """Compares fit with the loops on a corpus."""
    parts = [part for part in options.parts if part == "softmax" or (part == "fit" and corpus is CORPORA[0])]
    if not parts:
        return []
    data = create_data(find_text(corpus, options.data, folder), folder)
    ways = [*([USUAL, FIT_HIGHEST] if "softmax" in parts else []), *([OWN] if "fit" in parts else []), FIT]
    speeds = measure_speeds(ways, data, options, folder)
    print(f"{corpus.name}, {vocab_size_of(data):,} ids, tokens a second:")
    for name, values in speeds.items():
        print(f"    {name:<28}{spread(values, '.0f')}")
    compared = []
    if "fit" in parts:
        compared.append(Comparison(f"{corpus.name}: {FIT} / {OWN}", over(speeds[FIT], speeds[OWN]), "at least", 0.97))
    if "softmax" in parts:
        usual = speeds[USUAL]
        name = f"{corpus.name}: {FIT} / {USUAL}"
        compared.append(Comparison(name, over(speeds[FIT], usual), "at least", corpus.wanted))
        compared.append(Comparison(f"{corpus.name}: {FIT_HIGHEST} / {USUAL}", over(speeds[FIT_HIGHEST], usual)))
    return compared


def print_growth(name: str, words: int) -> None:
    """Prints by how many MiB a few steps over so many different words raise the peak of this process's memory."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        path = folder / "text"
        write_synthetic(path, words, words + 2 * MEMORY_STEPS * BATCH * TIME)
        way = Way(name, create_data(path, folder), folder)
        print(way.train(MEMORY_STEPS).growth)


def measure_growth(name: str, words: int, threads: int) -> float:
    """Returns what `print_growth` prints in a process of its own."""
    command = [sys.executable, __file__, "--growth", name, "--words", str(words), "--threads", str(threads)]
    return float(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()[-1])


def compare_memory(corpus: Corpus, options: Any) -> list[Comparison]:
    """Compares the growth of memory of fit and of the loops."""
    growths = {name: measure_growth(name, corpus.words, options.threads) for name in (USUAL, OWN, FIT)}
    print(f"{corpus.name}, {corpus.words:,} words, growth of the peak memory:")
    for name, growth in growths.items():
        print(f"    {name:<28}{growth:.0f} MiB")
    name = f"{corpus.name}: {FIT} / {USUAL}, memory"
    return [Comparison(name, [growths[FIT] / growths[USUAL]], "at most", 0.5)]


def create_predictor(data: ContiguousStreams, batch_size: int) -> Predictor:
    """Returns an untrained model of the data, as `seqmodels.load` would return a trained one."""
    torch.manual_seed(SEED)
    task = create_task()
    task.schema = data.schema
    task.configure_model()
    return Predictor(task.network, task.record(), batch_size=batch_size)


def write_texts(predictor: Predictor, prompts: Sequence[str], length: int) -> float:
    """Writes so many words behind each prompt, all at once, and returns words a second."""
    begin = time.perf_counter()
    # beyond the ends of texts, so that both ways write as much
    predictor.generate(prompts, max_length=length, stop_at_end=False, seed=SEED)
    return len(prompts) * length / (time.perf_counter() - begin)


def compare_generation(corpus: Corpus, options: Any, folder: Path) -> list[Comparison]:
    """Compares the generation of all prompts at once with one at a time."""
    torch.set_float32_matmul_precision("highest")
    data = create_data(find_text(corpus, options.data, folder), folder)
    predictor = create_predictor(data, options.prompts)
    texts = itertools.islice(data.examples("train"), options.prompts)
    prompts = [" ".join(example["text"].split()[: 3 + row % 8]) for row, example in enumerate(texts)]
    single = prompts[:: max(1, len(prompts) // 8)]  # a sample, for they take long
    speeds: dict[str, list[float]] = {f"{len(prompts)} prompts at once": [], "one prompt at a time": []}
    together, alone = speeds.values()
    for number in range(options.rounds + 1):
        at_once = write_texts(predictor, prompts, options.length)
        each = [write_texts(predictor, [prompt], options.length) for prompt in single]
        if number > 0:  # after one to warm up
            together.append(at_once)
            alone.append(statistics.harmonic_mean(each))
    print(f"{corpus.name}, {vocab_size_of(data):,} ids, words written a second, {options.length} behind each prompt:")
    for name, values in speeds.items():
        print(f"    {name:<28}{spread(values, '.0f')}")
    return [Comparison(f"generation: {len(prompts)} at once / one at a time", over(together, alone), "at least", 20.0)]


# Printing


def over(above: Sequence[float], below: Sequence[float]) -> list[float]:
    """Returns the ratio of each round."""
    return [one / other for one, other in zip(above, below, strict=True)]


def spread(values: Sequence[float], form: str) -> str:
    """Returns the median with the least and the most."""
    least, most = min(values), max(values)
    return f"{format(statistics.median(values), form)} ({format(least, form)} to {format(most, form)})"


def describe(comparison: Comparison) -> str:
    """Returns a line of the table of ratios."""
    median = statistics.median(comparison.ratios)
    line = f"{comparison.name:<58}{spread(comparison.ratios, '.2f'):<24}"
    if comparison.wanted is None:
        return line.rstrip()
    kept = median >= comparison.wanted if comparison.bound == "at least" else median <= comparison.wanted
    return f"{line}{comparison.bound} {comparison.wanted:.2f}: {'reached' if kept else 'MISSED'}"


def read_options(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Returns what the user typed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5, help="turns of each way")
    parser.add_argument("--steps", type=int, default=30, help=f"steps of a turn, after {WARM_UP} to warm up")
    parser.add_argument("--data", default=os.environ.get("SEQMODELS_DATA"), help="folder of ptb and wikitext-2")
    parser.add_argument("--parts", default=",".join(PARTS), help=f"what to measure, of {','.join(PARTS)}")
    parser.add_argument("--prompts", type=int, default=64)
    parser.add_argument("--length", type=int, default=100, help="words to write behind each prompt")
    parser.add_argument("--growth", help="print the growth of the memory of this one way, in MiB, and no more")
    parser.add_argument("--words", type=int, default=CORPORA[0].words, help="of --growth")
    options = parser.parse_args(arguments)
    options.parts = options.parts.split(",")
    if unknown := set(options.parts) - set(PARTS):
        parser.error(f"--parts: expected some of {','.join(PARTS)}, got {','.join(sorted(unknown))}")
    return options


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints the figures and the table of ratios."""
    options = read_options(arguments)
    warnings.filterwarnings("ignore")
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    torch.set_num_threads(options.threads)
    if options.growth:
        print_growth(options.growth, options.words)
        return
    print(f"machine: {machine()}; {options.rounds} rounds of {options.steps} steps; seed {SEED}")
    compared: list[Comparison] = []
    with tempfile.TemporaryDirectory() as temporary:
        for corpus in CORPORA:
            compared += compare_training(corpus, options, Path(temporary))
        for corpus in CORPORA if "memory" in options.parts else ():
            compared += compare_memory(corpus, options)
        if "generation" in options.parts:
            compared += compare_generation(CORPORA[0], options, Path(temporary))
    print("ratios: median of the rounds (least to most), wanted")
    for comparison in compared:
        print(describe(comparison))


if __name__ == "__main__":
    main()
