"""Speed of translation by beam search: whole batches against one sentence at a time.

    python scripts/benchmark_decoding.py                            # trains a small translator first, for some minutes
    python scripts/benchmark_decoding.py --ckpt_path runs/multi30k_en_de/version_0

The 1,000 sentences of Multi30k's test set of 2016 are translated with a beam of 5 in batches of 64 of like length; and
some of them, evenly taken from all, sentence by sentence with the same search. Both ways take turns, round after round
in one process, because a shared machine drifts: trust the ratio. An untrained model never ends its sentences, so that
its speed would say nothing: without a checkpoint, a translator of the usual size (embeddings and GRU of 256, both
directions in the encoder, additive attention, 8,000 pieces of words a side) is trained for as long as `--minutes` says.

Memory is the growth of the peak while all sentences are translated, and needs Linux.

For generation with language models, 64 prompts at once, see scripts/benchmark_language_model.py --parts generation.
"""

from __future__ import annotations

import argparse
import gzip
import itertools
import os
import random
import statistics
import time
from collections.abc import Sequence
from pathlib import Path

import torch

import seqmodels
from seqmodels.callbacks.run_report import machine
from seqmodels.data.encoded import collate
from seqmodels.data.schema import Schema, TokenInput
from seqmodels.data.tokenizer_training import train_tokenizer
from seqmodels.inference.predictor import Predictor
from seqmodels.inference.translation_options import TranslationOptions
from seqmodels.networks import network_registry

SIZE = 256
NETWORK = {
    "name": "translation",
    "encoder": {"name": "gru", "hidden_size": SIZE, "bidirectional": True},
    "embedder": {"embedding_dim": SIZE},
    "target_embedder": {"embedding_dim": SIZE},
    "decoder": {"layer": {"name": "gru", "hidden_size": SIZE}, "attention": "additive"},
}
TOKENIZER = {"name": "bpe", "vocab_size": 8000}
TRAINING_BATCH, POOL = 64, 100
WANTED_SPEED, WANTED_RATIO = 250.0, 3.0
SEED = 1


def read_lines(folder: Path, name: str) -> list[str]:
    """Returns the lines of a gzipped file of Multi30k."""
    with gzip.open(folder / "multi30k" / f"{name}.gz", "rt", encoding="utf-8") as stream:
        return [line.rstrip("\n") for line in stream]


def train(folder: Path, minutes: float) -> Predictor:
    """Returns a translator of English into German that has been trained for so long."""
    sources, targets = (read_lines(folder, f"train.{language}") for language in ("en", "de"))
    tokenizers = (TokenInput(train_tokenizer(TOKENIZER, texts=texts)) for texts in (sources, targets))
    schema = Schema(next(tokenizers), None, None, None, target_tokens=next(tokenizers))
    encoded = schema.encode(
        [{"text": source, "target_text": target} for source, target in zip(sources, targets, strict=True)]
    )
    torch.manual_seed(SEED)
    shuffle = random.Random(SEED)
    rows, lengths = list(range(len(encoded))), encoded.steps().lengths()
    shuffle.shuffle(rows)
    batches = []
    for begin in range(0, len(rows), POOL * TRAINING_BATCH):
        pool = sorted(rows[begin : begin + POOL * TRAINING_BATCH], key=lambda row: int(lengths[row]))
        batches += [pool[place : place + TRAINING_BATCH] for place in range(0, len(pool), TRAINING_BATCH)]
    shuffle.shuffle(batches)
    network = network_registry.create(NETWORK, schema).train()
    optimizer = torch.optim.Adam(network.parameters(), lr=2e-3, fused=True)
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium")
    begin_time, steps = time.perf_counter(), 0
    for chosen in itertools.cycle(batches):
        batch = collate(encoded, chosen)
        loss = network.loss(network.teach(batch), batch)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        steps += 1
        if time.perf_counter() - begin_time > 60 * minutes:
            break
    torch.set_float32_matmul_precision(before)
    print(f"trained for {minutes:g} minutes: {steps} steps, loss {loss.item():.2f} nats a token")
    return Predictor(network, {"format": 1, "network": NETWORK, "schema": schema.to_record(), "model": {}})


def translate(model: Predictor, sources: Sequence[str], options: TranslationOptions, batch_size: int) -> list[str]:
    """Returns the translations, so many sentences at once."""
    return Predictor(model.network, model.record, batch_size).translate(sources, options)


def resident(name: str) -> float:
    """Returns a line of this process's memory status, `VmRSS` now or `VmHWM` at its peak, in MiB; NaN off Linux."""
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.exists() else []
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith(name)), float("nan"))


def measure(model: Predictor, sources: Sequence[str], arguments: argparse.Namespace) -> None:
    """Prints the speeds, their ratio and the growth of the memory."""
    options = TranslationOptions(beam_size=arguments.beam_size)
    single = sources[:: max(1, len(sources) // arguments.single)]
    translate(model, single, options, arguments.batch_size)  # to warm up
    before = resident("VmRSS")
    together: list[float] = []
    alone: list[float] = []
    for _ in range(arguments.rounds):
        for speeds, texts, batch_size in ((together, sources, arguments.batch_size), (alone, single, 1)):
            begin = time.perf_counter()
            found = translate(model, texts, options, batch_size)
            speeds.append(len(texts) / (time.perf_counter() - begin))
            if texts is sources:
                words = sum(len(text.split()) for text in found) / len(found)
    growth = resident("VmHWM") - before
    ratios = [one / other for one, other in zip(together, alone, strict=True)]
    print(f"{len(sources):,} sentences, {words:.1f} words written to each, beam {arguments.beam_size}:")
    print(f"    {arguments.batch_size} at once: {spread(together)} sentences a second", end="")
    print(f", {statistics.median(together) * words:,.0f} words a second{wanted(together, WANTED_SPEED)}")
    print(f"    one at a time: {spread(alone)} sentences a second")
    print(f"    ratio: {spread(ratios)}{wanted(ratios, WANTED_RATIO)}")
    print(f"    growth of the peak memory: {growth:.0f} MiB")


def wanted(values: Sequence[float], least: float) -> str:
    """Returns whether the median reaches what is wanted."""
    return f"; at least {least:g}: {'reached' if statistics.median(values) >= least else 'MISSED'}"


def spread(values: Sequence[float]) -> str:
    """Returns the median with the least and the most."""
    return f"{statistics.median(values):.1f} ({min(values):.1f} to {max(values):.1f})"


def read_options(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Returns what the user typed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ckpt_path", help="a trained translator of English; without it a small one is trained")
    parser.add_argument("--minutes", type=float, default=3.0, help="of training, without a checkpoint")
    parser.add_argument("--data", default=os.environ.get("SEQMODELS_DATA"), help="folder of multi30k")
    parser.add_argument("--sentences", type=int, default=1000, help="of the test set, the first ones")
    parser.add_argument("--single", type=int, default=100, help="about how many of these are translated one by one")
    parser.add_argument("--beam_size", type=int, default=5)
    parser.add_argument("--batch_size", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=3, help="turns of each way")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args(arguments)
    if options.data is None:
        parser.error("--data, or $SEQMODELS_DATA, must name the folder of multi30k")
    return options


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints the figures."""
    options = read_options(arguments)
    torch.set_num_threads(options.threads)
    print(f"machine: {machine()}; {options.threads} threads; {options.rounds} rounds; seed {SEED}")
    folder = Path(options.data)
    model = seqmodels.load(options.ckpt_path) if options.ckpt_path else train(folder, options.minutes)
    measure(model, read_lines(folder, "test_2016_flickr.en")[: options.sentences], options)


if __name__ == "__main__":
    main()
