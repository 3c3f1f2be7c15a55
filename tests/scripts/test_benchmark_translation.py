"""The benchmark of translation compares equals and prints its ratios; what it prints is not judged here."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
import torch

SCRIPTS = Path(__file__).parent.parent.parent / "scripts"


@pytest.fixture
def speed(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    specification = importlib.util.spec_from_file_location("benchmark", SCRIPTS / "benchmark_translation.py")
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    small = {"BATCH": 3, "SIZE": 7, "VOCAB_SIZE": 290, "PAIRS": 31, "WORDS": 47, "WARM_UP": 2}
    for name, value in small.items():
        monkeypatch.setattr(module, name, value)
    threads, precision = torch.get_num_threads(), torch.get_float32_matmul_precision()
    yield module
    torch.set_num_threads(threads)
    torch.set_float32_matmul_precision(precision)


def test_it_prints_ratios(speed: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    speed.main(["--threads", "1", "--data", "/nowhere", "--rounds", "1", "--steps", "2"])
    printed = capsys.readouterr().out
    assert "synthetic pairs take its place" in printed
    table = printed.split("ratios: ")[1].splitlines()[1:]
    assert [re.split(r" +\d+\.\d\d \(", line)[0] for line in table] == [
        f"{model}: {name} / loop, highest" for model in ("feeding", "lstm") for name in ("fit, medium", "fit, highest")
    ]
    assert [bool(re.search(r": (reached|MISSED)$", line)) for line in table] == [True, False, True, False]


@pytest.mark.parametrize("place", [0, 1])
def test_both_ways_compute_the_same_loss(speed: ModuleType, tmp_path: Path, place: int) -> None:
    data = speed.create_data(None, tmp_path)
    model = speed.MODELS[place]
    task = speed.create_task(model)
    task._build(data.schema)
    network, plain = task.network.eval(), speed.create_plain(model, data).eval()
    decoder = network.decoder
    copied = {
        "source_embedding.weight": network.embedder.token_weights(),
        "target_embedding.weight": network.target_embedder.token_weights(),
        "attention.score.weight": decoder.attention.vector.unsqueeze(0),
        "bias": network.head.bias,
    }
    copied |= {f"encoder.{name}": value for name, value in network.encoder.network.state_dict().items()}
    copied |= {f"cell.{name.removesuffix('_l0')}": value for name, value in decoder.layer.network.state_dict().items()}
    for ours, theirs in (
        (decoder.bridge.projection, "bridge"),
        (decoder.attention.from_query, "attention.from_query"),
        (decoder.attention.from_memory, "attention.from_memory"),
        (decoder.from_hidden, "from_hidden"),
        (decoder.from_context, "from_context"),
    ):
        copied |= {f"{theirs}.{name}": value for name, value in ours.state_dict().items()}
    plain.load_state_dict(copied)
    assert sum(p.numel() for p in plain.parameters()) == sum(p.numel() for p in network.parameters())
    batch = next(iter(data.train_dataloader()))
    begin = torch.full((batch.size, 1), network.begin_id)
    targets = torch.cat([begin, batch.targets.masked_fill(batch.targets < 0, -1)], dim=1)
    found = speed.loss_of(plain, batch.inputs["ids"], batch.lengths, targets)
    torch.testing.assert_close(found, network.loss(network.teach(batch), batch))


def test_the_loop_reads_every_pair_once_an_epoch(speed: ModuleType, tmp_path: Path) -> None:
    data = speed.create_data(None, tmp_path)
    batches = speed.random_batches(data)
    seen = [next(batches) for _ in range(11)]  # of 31 pairs, 3 a batch
    tokens = sum(int((targets[:, 1:] >= 0).sum()) for _, _, targets in seen)
    assert tokens == len(data.encoded("train").encoded.target_ids.values)
