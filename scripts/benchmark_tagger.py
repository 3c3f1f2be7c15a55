"""Training speed of the tagger on UD English EWT: `fit` against hand-written loops, as ratios of one run.

    python scripts/benchmark_tagger.py [--rounds 5] [--steps 60] [--precision medium]

Three ways to train the same model (word table 200, character BiLSTM 25, BiLSTM 256, fused Adam, 32 sentences):

- packed: the loop of the tutorials. Random batches, `pad_sequence`, `pack_padded_sequence`, characters of every token.
- same batches: a bare loop over this framework's network and batches.
- fit: this framework's task under Lightning's Trainer, with its loggers and progress bar.

They take turns, and each figure is the median over the rounds. Needs SEQMODELS_DATA.
"""

from __future__ import annotations

import argparse
import itertools
import random
import statistics
import tempfile
import time
import warnings
from collections.abc import Iterator
from typing import Any

import lightning
import torch
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence, pad_sequence

from seqmodels import LabelledSequences, SequenceTagger
from seqmodels.callbacks.run_report import machine
from seqmodels.precision import set_matmul_precision

TRAIN = "$SEQMODELS_DATA/ud-english-ewt/en_ewt-ud-train.conllu.gz"
BATCH = 32
SEED = 1


class PackedTagger(nn.Module):
    """The same model as most tutorials write it."""

    def __init__(self, words: int, characters: int, tags: int) -> None:
        super().__init__()
        self.words = nn.Embedding(words, 200, padding_idx=0)
        self.characters = nn.Embedding(characters, 25, padding_idx=0)
        self.spell = nn.LSTM(25, 25, batch_first=True, bidirectional=True)
        self.encoder = nn.LSTM(250, 256, batch_first=True, bidirectional=True)
        self.output = nn.Linear(512, tags)

    def forward(self, words: Tensor, lengths: Tensor, spelled: Tensor, spelled_lengths: Tensor) -> Tensor:
        packed = pack_padded_sequence(self.characters(spelled), spelled_lengths, True, enforce_sorted=False)
        _, (hidden, _) = self.spell(packed)  # (2, tokens, 25)
        spellings = hidden.transpose(0, 1).flatten(1).split(lengths.tolist())
        inputs = torch.cat([self.words(words), pad_sequence(list(spellings), batch_first=True)], dim=2)
        outputs, _ = self.encoder(pack_padded_sequence(inputs, lengths, True, enforce_sorted=False))
        return self.output(pad_packed_sequence(outputs, batch_first=True)[0])  # type: ignore[no-any-return]


def packed_rows(data: LabelledSequences) -> list[tuple[Tensor, list[Tensor], Tensor]]:
    """Returns words, characters of each word, and tags of each sentence as tensors."""
    encoded = data.train_dataloader().dataset.encoded  # type: ignore[attr-defined]
    rows = []
    for row in range(len(encoded)):
        begin, end = encoded.ids.offsets[row], encoded.ids.offsets[row + 1]
        spelled = [torch.tensor(encoded.characters[token]).long() for token in range(begin, end)]
        rows.append((torch.tensor(encoded.ids[row]).long(), spelled, torch.tensor(encoded.targets[row]).long()))
    return rows


def packed_steps(rows: list[Any], model: PackedTagger, steps: int) -> float:
    """Trains on random batches and returns sentences a second."""
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3, fused=True)
    model.train()
    begin = 0.0
    for step in range(WARM_UP + steps):
        begin = time.perf_counter() if step == WARM_UP else begin
        words, spelled, tags = zip(*random.sample(rows, BATCH), strict=True)
        letters = list(itertools.chain.from_iterable(spelled))
        lengths = torch.tensor([len(row) for row in words])
        logits = model(
            pad_sequence(list(words), batch_first=True),
            lengths,
            pad_sequence(letters, batch_first=True),
            torch.tensor([len(word) for word in letters]),
        )
        targets = pad_sequence(list(tags), batch_first=True, padding_value=-100)
        loss = nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return steps * BATCH / (time.perf_counter() - begin)


def batch_stream(data: LabelledSequences) -> Iterator[Any]:
    """Yields training batches for ever."""
    loader = data.train_dataloader()
    for epoch in itertools.count():
        loader.sampler.set_epoch(epoch)
        yield from loader


def bare_steps(task: SequenceTagger, data: LabelledSequences, steps: int) -> float:
    """Trains over this framework's batches without Lightning and returns sentences a second."""
    optimizer = torch.optim.Adam(task.network.parameters(), lr=2e-3, fused=True)
    task.train()
    begin, sentences = 0.0, 0
    for step, batch in enumerate(itertools.islice(batch_stream(data), WARM_UP + steps)):
        if step == WARM_UP:
            begin, sentences = time.perf_counter(), 0
        loss, _ = task.loss(task.network(batch), batch)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        sentences += batch.size
    return sentences / (time.perf_counter() - begin)


class Clock(lightning.Callback):
    """Measures the sentences a second of a fit, after its warm-up."""

    begin = 0.0
    sentences = 0

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Counts the batch."""
        if trainer.global_step <= WARM_UP:
            self.begin, self.sentences = time.perf_counter(), 0
        else:
            self.sentences += batch.size
            self.speed = self.sentences / (time.perf_counter() - self.begin)


def fit_steps(task: SequenceTagger, data: LabelledSequences, steps: int, folder: str) -> float:
    """Trains by the Trainer and returns sentences a second."""
    clock = Clock()
    lightning.Trainer(
        accelerator="cpu",
        max_steps=WARM_UP + steps,
        logger=[TensorBoardLogger(folder), CSVLogger(folder)],
        enable_checkpointing=False,
        enable_model_summary=False,
        callbacks=[clock],
    ).fit(task, data)
    return clock.speed


WARM_UP = 10


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=60, help="steps a round, after 10 to warm up")
    parser.add_argument("--precision", choices=["highest", "medium"], default="highest", help="of float32 products")
    parser.add_argument(
        "--characters", choices=["recurrent", "cnn"], default="recurrent", help="fit's and the bare loop's"
    )
    arguments = parser.parse_args()
    warnings.filterwarnings("ignore")
    lightning.seed_everything(SEED)
    print(f"machine: {machine()}; seed {SEED}")
    if arguments.precision != "highest":
        print(set_matmul_precision(arguments.precision))
    data = LabelledSequences(
        reader={"name": "conllu", "label": "upos"},
        train=TRAIN,
        characters=True,
        tokenizer={"name": "word", "min_count": 2},
    )
    data.setup("fit")
    embedder = {"embedding_dim": 200, "characters": {"name": arguments.characters}}

    def create_task() -> SequenceTagger:
        task = SequenceTagger(
            encoder={"name": "lstm", "hidden_size": 256, "bidirectional": True},
            embedder=embedder,
            optimizer=lambda parameters: torch.optim.Adam(parameters, lr=2e-3, fused=True),
        )
        task.schema = data.schema
        task.configure_model()
        return task

    schema = data.schema
    packed_model = PackedTagger(schema.tokens.tokenizer.vocab_size, schema.characters.size, len(schema.target.names))
    rows = packed_rows(data)
    bare, fitted = create_task(), create_task()
    speeds: dict[str, list[float]] = {"packed": [], "same batches": [], "fit": []}
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(arguments.rounds):
            speeds["packed"].append(packed_steps(rows, packed_model, arguments.steps))
            speeds["same batches"].append(bare_steps(bare, data, arguments.steps))
            speeds["fit"].append(fit_steps(fitted, data, arguments.steps, folder))
    print(f"{'way':<14}{'sentences/s: median':>22}{'min':>8}{'max':>8}{'fit / it: median':>20}{'min':>8}{'max':>8}")
    for way, values in speeds.items():
        ratios = [ours / theirs for ours, theirs in zip(speeds["fit"], values, strict=True)]
        print(
            f"{way:<14}{statistics.median(values):>22.0f}{min(values):>8.0f}{max(values):>8.0f}"
            f"{statistics.median(ratios):>20.2f}{min(ratios):>8.2f}{max(ratios):>8.2f}"
        )


if __name__ == "__main__":
    main()
