"""Speed of training a translator, `fit` against a loop written by hand, as ratios of one run.

    python scripts/benchmark_translation.py                    # some minutes on one idle core
    python scripts/benchmark_translation.py --rounds 15        # more certain

Two models of Multi30k from English into German, BPE of 8,000 on each side, 64 pairs a batch: a BiGRU of 256 that reads,
additive attention, embeddings of 256, dropout of 0.3; and

- feeding: a GRU of 256 that writes and reads its last output too (input feeding), so both ways go step by step;
- lstm: an LSTM of 256 without, which reads all steps of a known target in one run of its kernel.

Each is trained in two ways, with Adam's fused step and gradients clipped to 1:

- loop: plain PyTorch by hand as tutorials write it: random batches, the source packed, the decoder a Python loop over
  the steps with a cell, attention and the projection to the vocabulary in each, cross entropy of all logits.
- fit: this framework's task under Lightning's Trainer, with the loggers and the report of `seqmodels fit`; without
  progress bar, checkpoints and validation. Float32 matrix products are `medium`, as in the recipes; `fit, highest` has
  torch's own choice, as the loop has.

The two compute the same function; a test holds them to it. Speeds are in target tokens a second, the end token of each
sentence included and padding not. The ways take turns, round after round in one process, because a shared machine
drifts: trust the ratios. Another program on the same cores spoils them too.

Where the data folder lacks the corpus, synthetic pairs of as many words take its place.
"""

from __future__ import annotations

import argparse
import functools
import itertools
import logging
import os
import statistics
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
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence, pad_sequence
from torch.utils.data import DataLoader

from seqmodels import SequencePairs, Translator
from seqmodels.callbacks.run_report import RunReport, machine

BATCH, SIZE, DROPOUT, CLIP, RATE = 64, 256, 0.3, 1.0, 1e-3
VOCAB_SIZE = 8_000
PAIRS, WORDS = 20_000, 9_000  # of the synthetic corpus
WARM_UP = 5
SEED = 1

LOOP, FIT, FIT_HIGHEST = "loop, highest", "fit, medium", "fit, highest"


class Model(NamedTuple):
    """A model to compare.

    Attributes:
        name: as it is printed.
        feeding: whether the decoder reads its last output.
        cell: the decoder's layer.
        wanted: speed of fit over that of the loop.
    """

    name: str
    feeding: bool
    cell: str
    wanted: float


MODELS = (Model("feeding", True, "gru", 2.5), Model("lstm", False, "lstm", 3.0))


# Data


def create_data(data: str | None, folder: Path) -> SequencePairs:
    """Returns the pairs, ready for training; synthetic ones where the corpus is not there."""
    train = Path(data or "") / "multi30k" / "train"
    if not data or not train.with_suffix(".en.gz").exists():
        print("no multi30k in the data folder; synthetic pairs take its place")
        train = folder / "train"
        write_synthetic(train)
    pairs = SequencePairs(
        {"name": "parallel", "source": "en", "target": "de"},
        train=str(train),
        tokenizer={"name": "bpe", "vocab_size": VOCAB_SIZE},
        batch_size=BATCH,
        cache_dir=str(folder / "cache"),
    )
    pairs.setup("fit")
    return pairs


def write_synthetic(path: Path) -> None:
    """Writes pairs of sentences of about 12 words by Zipf's law."""
    random = np.random.default_rng(SEED)
    probabilities = 1 / (np.arange(WORDS) + 2.7)
    probabilities /= probabilities.sum()
    for side in ("en", "de"):
        sentences = [
            " ".join(f"{side}{number:x}" for number in random.choice(WORDS, length, p=probabilities))
            for length in random.integers(4, 22, PAIRS)
        ]
        path.with_suffix(f".{side}").write_text("\n".join(sentences) + "\n")


def random_batches(data: SequencePairs) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Yields ids of sources (batch, time), their lengths and targets (batch, time) for ever, in random batches."""
    assert data.schema is not None
    columns = data.encoded("train").encoded
    assert columns.ids is not None
    assert columns.target_ids is not None
    begin = begin_id_of(data)
    pairs = [
        (torch.tensor(columns.ids[row]), torch.tensor([begin, *columns.target_ids[row]])) for row in range(len(columns))
    ]
    loader = DataLoader(pairs, batch_size=BATCH, shuffle=True, collate_fn=collate)  # type: ignore[arg-type]
    while True:
        yield from loader


def begin_id_of(data: SequencePairs) -> int:
    """Returns the id that a target begins with."""
    assert data.schema is not None
    assert data.schema.target_tokens is not None
    tokenizer = data.schema.target_tokens.tokenizer
    begin = tokenizer.eos_id if tokenizer.bos_id is None else tokenizer.bos_id
    assert begin is not None
    return begin


def collate(pairs: Sequence[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor, Tensor]:
    """Pads a batch, with 0 the sources and with -1 the targets."""
    sources, targets = zip(*pairs, strict=True)
    lengths = torch.tensor([len(source) for source in sources])
    return (
        pad_sequence(sources, batch_first=True).long(),
        lengths,
        pad_sequence(targets, batch_first=True, padding_value=-1).long(),
    )


# The loop


class Attention(nn.Module):
    """Additive attention as tutorials write it."""

    def __init__(self) -> None:
        super().__init__()
        self.from_query = nn.Linear(SIZE, SIZE, bias=False)
        self.from_memory = nn.Linear(2 * SIZE, SIZE)
        self.score = nn.Linear(SIZE, 1, bias=False)

    def forward(self, query: Tensor, memory: Tensor, mask: Tensor) -> Tensor:
        energy = torch.tanh(self.from_query(query).unsqueeze(1) + self.from_memory(memory))
        scores = self.score(energy).squeeze(2).masked_fill(~mask, -1e10)
        return torch.bmm(torch.softmax(scores, dim=1).unsqueeze(1), memory).squeeze(1)


class PlainModel(nn.Module):
    """The model as most tutorials write it.

    Args:
        model: which of the two.
        source_size: ids of the source.
        target_size: ids of the target.
    """

    def __init__(self, model: Model, source_size: int, target_size: int) -> None:
        super().__init__()
        self.feeding, self.is_lstm = model.feeding, model.cell == "lstm"
        self.source_embedding = nn.Embedding(source_size, SIZE)
        self.target_embedding = nn.Embedding(target_size, SIZE)
        for embedding in (self.source_embedding, self.target_embedding):
            nn.init.uniform_(embedding.weight, -0.1, 0.1)
        self.dropout = nn.Dropout(DROPOUT)
        self.encoder = nn.GRU(SIZE, SIZE, bidirectional=True, batch_first=True)
        self.bridge = nn.Linear(2 * SIZE, 2 * SIZE if self.is_lstm else SIZE)
        self.attention = Attention()
        cell: Any = nn.LSTMCell if self.is_lstm else nn.GRUCell
        self.cell = cell(2 * SIZE if self.feeding else SIZE, SIZE)
        self.from_hidden = nn.Linear(SIZE, SIZE)
        self.from_context = nn.Linear(2 * SIZE, SIZE, bias=False)
        self.bias = nn.Parameter(torch.zeros(target_size))

    def forward(self, sources: Tensor, lengths: Tensor, targets: Tensor) -> Tensor:
        embedded = self.dropout(self.source_embedding(sources))
        packed = pack_padded_sequence(embedded, lengths, batch_first=True, enforce_sorted=False)
        packed, last = self.encoder(packed)
        memory, _ = pad_packed_sequence(packed, batch_first=True)
        mask = torch.arange(memory.size(1)) < lengths.unsqueeze(1)
        state = torch.tanh(self.bridge(torch.cat([last[0], last[1]], dim=1)))
        if self.is_lstm:
            state = state.chunk(2, dim=1)
        output = memory.new_zeros(memory.size(0), SIZE)
        logits = []
        for place in range(targets.size(1) - 1):
            step = self.dropout(self.target_embedding(targets[:, place].clamp(min=0)))
            if self.feeding:
                step = torch.cat([step, output], dim=1)
            state = self.cell(step, state)
            hidden = state[0] if self.is_lstm else state
            context = self.attention(hidden, memory, mask)
            output = torch.tanh(self.from_hidden(hidden) + self.from_context(context))
            logits.append(nn.functional.linear(self.dropout(output), self.target_embedding.weight, self.bias))
        return torch.stack(logits, dim=1)


def loss_of(model: PlainModel, sources: Tensor, lengths: Tensor, targets: Tensor) -> Tensor:
    """Returns the mean cross entropy of the real target ids."""
    logits = model(sources, lengths, targets)
    return nn.functional.cross_entropy(logits.flatten(0, 1), targets[:, 1:].flatten(), ignore_index=-1)


def run_loop(model: PlainModel, data: SequencePairs, steps: int) -> Meter:
    """Trains by hand."""
    optimizer = torch.optim.Adam(model.parameters(), lr=RATE, fused=True)
    model.train()
    meter = Meter()
    for sources, lengths, targets in itertools.islice(random_batches(data), steps):
        mean = loss_of(model, sources, lengths, targets)
        optimizer.zero_grad()
        mean.backward()
        nn.utils.clip_grad_norm_(model.parameters(), CLIP)
        optimizer.step()
        meter.count(int((targets[:, 1:] >= 0).sum()))
    return meter


# Fit


class Meter(lightning.Callback):
    """Measures the speed of a training after the warm-up."""

    def __init__(self) -> None:
        self._steps = 0

    def count(self, tokens: int) -> None:
        """Counts a step."""
        self._steps += 1
        if self._steps <= WARM_UP:
            self._begin, self._tokens = time.perf_counter(), 0
        else:
            self._tokens += tokens
            self._end = time.perf_counter()

    @property
    def speed(self) -> float:
        """Target tokens a second."""
        return self._tokens / (self._end - self._begin)

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Counts the batch."""
        self.count(int(batch.target_lengths.sum()))


def create_task(model: Model) -> Translator:
    """Returns the task of a model."""
    return Translator(
        embedder={"embedding_dim": SIZE, "dropout": DROPOUT},
        encoder={"name": "gru", "hidden_size": SIZE, "bidirectional": True},
        target_embedder={"embedding_dim": SIZE, "dropout": DROPOUT},
        decoder={"layer": {"name": model.cell, "hidden_size": SIZE}, "input_feeding": model.feeding},
        dropout=DROPOUT,
        optimizer=functools.partial(torch.optim.Adam, lr=RATE, fused=True),
    )


def run_fit(task: Translator, data: SequencePairs, steps: int, folder: Path) -> Meter:
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
        model: which of the two.
        data: what it trains on.
        folder: for the loggers.
    """

    def __init__(self, name: str, model: Model, data: SequencePairs, folder: Path) -> None:
        self._kind, _, self._precision = name.partition(", ")
        self._data = data
        self._folder = folder
        torch.manual_seed(SEED)
        self._model: Any = create_task(model) if self._kind == "fit" else create_plain(model, data)

    def train(self, steps: int) -> Meter:
        """Trains so many steps."""
        torch.set_float32_matmul_precision(self._precision)
        if self._kind == "fit":
            return run_fit(self._model, self._data, steps, self._folder)
        return run_loop(self._model, self._data, steps)


def create_plain(model: Model, data: SequencePairs) -> PlainModel:
    """Returns the model of the loop."""
    assert data.schema is not None
    assert data.schema.tokens is not None
    assert data.schema.target_tokens is not None
    return PlainModel(model, data.schema.tokens.tokenizer.vocab_size, data.schema.target_tokens.tokenizer.vocab_size)


# Printing


def spread(values: Sequence[float], form: str) -> str:
    """Returns the median with the least and the most."""
    least, most = min(values), max(values)
    return f"{format(statistics.median(values), form)} ({format(least, form)} to {format(most, form)})"


def compare(model: Model, data: SequencePairs, options: argparse.Namespace, folder: Path) -> list[str]:
    """Prints the speeds of a model and returns its lines of the table of ratios."""
    ways = {name: Way(name, model, data, folder) for name in (LOOP, FIT, FIT_HIGHEST)}
    speeds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(options.rounds):
        for name, way in ways.items():
            speeds[name].append(way.train(WARM_UP + options.steps).speed)
    print(f"{model.name}, target tokens a second:")
    for name, values in speeds.items():
        print(f"    {name:<24}{spread(values, '.0f')}")
    lines = []
    for name in (FIT, FIT_HIGHEST):
        ratios = [one / other for one, other in zip(speeds[name], speeds[LOOP], strict=True)]
        line = f"{f'{model.name}: {name} / {LOOP}':<44}{spread(ratios, '.2f'):<24}"
        if name == FIT:
            reached = "reached" if statistics.median(ratios) >= model.wanted else "MISSED"
            line += f"at least {model.wanted:.2f}: {reached}"
        lines.append(line.rstrip())
    return lines


def read_options(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Returns what the user typed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=5, help="turns of each way")
    parser.add_argument("--steps", type=int, default=30, help=f"steps of a turn, after {WARM_UP} to warm up")
    parser.add_argument("--data", default=os.environ.get("SEQMODELS_DATA"), help="folder of multi30k")
    names = [model.name for model in MODELS]
    parser.add_argument("--models", nargs="+", choices=names, default=names)
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints the speeds and the table of ratios."""
    options = read_options(arguments)
    warnings.filterwarnings("ignore")
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    torch.set_num_threads(options.threads)
    print(f"machine: {machine()}; {options.rounds} rounds of {options.steps} steps; seed {SEED}")
    lines = []
    with tempfile.TemporaryDirectory() as temporary:
        data = create_data(options.data, Path(temporary))
        for model in MODELS:
            if model.name in options.models:
                lines += compare(model, data, options, Path(temporary))
    print("ratios: median of the rounds (least to most), wanted")
    for line in lines:
        print(line)


if __name__ == "__main__":
    main()
