from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback, ModelCheckpoint
from torch import Tensor

import seqmodels
from seqmodels.data.batch import Batch
from seqmodels.data.bucketing import BucketSampler
from seqmodels.data.encoded import Encoded
from seqmodels.data.loader import BatchDataset, SequenceLoader, evaluation_loader
from seqmodels.data.ragged import Ragged

pytestmark = pytest.mark.filterwarnings("ignore:.*dirpath has changed", "ignore:Checkpoint directory")

ROWS = 53


def encoded_rows(rows: int = ROWS) -> Encoded:
    random = np.random.default_rng(0)
    ids = [random.integers(0, 11, length) for length in random.integers(0, 17, rows)]
    return Encoded(ids=Ragged.from_rows(ids, np.int32), targets=random.integers(0, 3, rows))


def sequence_loader(**arguments: Any) -> SequenceLoader:
    encoded = encoded_rows()
    sampler = BucketSampler(encoded.steps().lengths(), batch_size=5, shuffle=True, pool=3)
    return SequenceLoader(BatchDataset(encoded), sampler, **arguments)


def rows_of(batches: list[Batch]) -> list[list[int]]:
    return [batch.rows.tolist() for batch in batches]


def test_gives_every_row_once_and_the_right_ones():
    encoded = encoded_rows()
    batches = list(evaluation_loader(BatchDataset(encoded), BucketSampler(encoded.steps().lengths(), batch_size=7)))
    assert sorted(row for batch in batches for row in batch.rows.tolist()) == list(range(ROWS))
    for batch in batches:
        for place, row in enumerate(batch.rows.tolist()):
            length = int(batch.lengths[place])
            assert batch.inputs["ids"][place, :length].tolist() == encoded.ids[row].tolist()
            assert batch.targets[place] == encoded.targets[row]
        assert batch.counted.all()


def test_reshuffles_in_every_epoch_and_repeats_with_the_same_seed():
    loader = sequence_loader()
    first = rows_of(list(loader))
    assert rows_of(list(loader)) == first
    loader.sampler.set_epoch(1)
    assert rows_of(list(loader)) != first


def test_chooses_the_batches_when_the_first_is_asked_for():
    loader = sequence_loader()
    early = iter(loader)
    loader.sampler.set_epoch(1)
    late = list(early)
    assert rows_of(late) == rows_of(list(loader))


@pytest.mark.parametrize("given", [0, 1, 7, 11])
@pytest.mark.parametrize("workers", [0, 2])
def test_goes_on_where_the_state_was_taken(given: int, workers: int):
    if workers and given != 7:
        pytest.skip("starting workers is slow")
    loader = sequence_loader(num_workers=workers)
    loader.sampler.set_epoch(3)
    batches = iter(loader)
    before = [next(batches) for _ in range(given)]
    state = loader.state_dict()
    rest = list(batches)
    assert len(before) + len(rest) == len(loader) == 11

    resumed = sequence_loader(num_workers=workers)
    resumed.load_state_dict(state)
    if given == len(loader):  # the epoch was over: the next begins
        loader.sampler.set_epoch(4)
        rest = list(loader)
    assert rows_of(list(resumed)) == rows_of(rest)
    assert len(resumed) == 11


def test_state_counts_what_was_trained_rather_than_given():
    loader = sequence_loader(trained=lambda: 2)
    batches = iter(loader)
    for _ in range(3):
        next(batches)
    assert loader.state_dict() == {"epoch": 0, "batches": 2, "length": 11}


def test_an_epoch_other_than_that_of_the_state_begins_at_its_start():
    loader = sequence_loader()
    loader.load_state_dict({"epoch": 2, "batches": 4, "length": 11})
    loader.sampler.set_epoch(3)
    assert len(list(loader)) == 11


def test_warns_of_a_state_of_other_batches(caplog: pytest.LogCaptureFixture):
    loader = sequence_loader()
    loader.load_state_dict({"epoch": 2, "batches": 4, "length": 29})
    assert "after 4 of 29 batches of an epoch, which now has 11" in caplog.text
    assert len(list(loader)) == 7


def test_a_batch_of_repeated_rows_is_not_counted():
    encoded = encoded_rows(2)
    seen = []
    for rank in range(3):
        sampler = BucketSampler(encoded.steps().lengths(), batch_size=2, num_replicas=3, rank=rank)
        seen += list(evaluation_loader(BatchDataset(encoded), sampler))
    assert sorted(row for batch in seen for row in batch.rows[batch.counted].tolist()) == [0, 1]
    assert [batch.counted.tolist() for batch in seen].count([False]) == 1


def test_data_set_has_the_rows_of_its_columns():
    assert len(BatchDataset(encoded_rows())) == ROWS


class Recorder(LightningModule):
    """Learns to classify bags of ids, and records the rows and the loss of every step."""

    def __init__(self, fail_at: int | None = None) -> None:
        super().__init__()
        self.embedding = torch.nn.Embedding(11, 3)
        self.fail_at = fail_at
        self.steps: list[tuple[list[int], float]] = []

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        if len(self.steps) == self.fail_at:
            raise KeyError("killed")
        embedded = self.embedding(batch.inputs["ids"])
        mask = torch.arange(embedded.size(1)) < batch.lengths.unsqueeze(1)
        loss = torch.nn.functional.cross_entropy((embedded * mask.unsqueeze(2)).sum(1), batch.targets)
        self.steps.append((batch.rows.tolist(), loss.item()))
        return loss

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        pass

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters(), lr=0.1)


class SaveWhenKilled(Callback):
    """Writes a checkpoint in the middle of the step that fails, as after Ctrl-C."""

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        trainer.save_checkpoint(Path(trainer.default_root_dir) / "killed.ckpt")


def fit(model: Recorder, folder: Path, *, ckpt_path: Path | None = None, **arguments: Any) -> None:
    callbacks = [
        ModelCheckpoint(dirpath=folder, filename="{step}", every_n_train_steps=1, save_top_k=-1),
        SaveWhenKilled(),
    ]
    trainer = Trainer(
        max_epochs=3,
        accelerator="cpu",
        default_root_dir=folder,
        callbacks=callbacks,
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        **arguments,
    )
    progress = trainer.fit_loop.epoch_loop.batch_progress
    encoded = encoded_rows()
    validation = evaluation_loader(BatchDataset(encoded), BucketSampler(encoded.steps().lengths(), batch_size=19))
    trainer.fit(model, sequence_loader(trained=lambda: progress.current.processed), validation, ckpt_path=ckpt_path)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[tuple[list[int], float]]]:
    torch.manual_seed(0)
    model = Recorder()
    folder = tmp_path_factory.mktemp("whole")
    fit(model, folder)
    assert len(model.steps) == 33
    for epoch in range(3):
        trained = [row for rows, _ in model.steps[11 * epoch : 11 * epoch + 11] for row in rows]
        assert sorted(trained) == list(range(ROWS))
    return folder, model.steps


@pytest.mark.parametrize("step", [1, 10, 11, 12, 17, 22, 32])
def test_a_fit_goes_on_from_a_checkpoint_as_if_never_stopped(
    step: int, whole: tuple[Path, list[tuple[list[int], float]]], tmp_path: Path
):
    folder, steps = whole
    model = Recorder()
    fit(model, tmp_path, ckpt_path=folder / f"step={step}.ckpt")
    assert model.steps == steps[step:]


@pytest.mark.parametrize("step", [4, 15, 22])
def test_a_fit_killed_in_a_step_trains_that_step_again(
    step: int, whole: tuple[Path, list[tuple[list[int], float]]], tmp_path: Path
):
    torch.manual_seed(0)
    with pytest.raises(KeyError, match="killed"):
        fit(Recorder(fail_at=step), tmp_path)
    model = Recorder()
    fit(model, tmp_path, ckpt_path=tmp_path / "killed.ckpt")
    assert model.steps == whole[1][step:]


class Watch(Callback):
    """Notes the rows of each batch of training, by epoch, and the batches of validation."""

    def __init__(self) -> None:
        self.train: list[tuple[int, list[int], list[int]]] = []
        self.validation: list[int] = []

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Batch, batch_idx: int) -> None:
        self.train.append((trainer.current_epoch, batch.lengths.tolist(), batch.rows.tolist()))

    def on_validation_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Batch, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        self.validation.append(batch_idx)


@pytest.mark.parametrize("asked", [2, 0.5])
def test_overfitting_repeats_the_same_batches(toy: Any, asked: float) -> None:
    watch = Watch()
    trainer, _, _ = toy.fit("label", overfit_batches=asked, max_epochs=3, callbacks=[watch])
    taken = trainer.num_training_batches
    assert taken == (2 if asked == 2 else 1)
    epochs = [[rest for number, *rest in watch.train if number == epoch] for epoch in range(3)]
    assert epochs[0] == epochs[1] == epochs[2]
    assert len(epochs[0]) == taken
    assert watch.validation


def test_overfitting_a_stream_begins_with_its_first_windows(tmp_path: Path) -> None:
    path = tmp_path / "text.txt"
    path.write_text("a b c d e f g\n" * 40)
    data = seqmodels.ContiguousStreams("text", train=str(path), validation=str(path), batch_size=3, window=7)
    task = seqmodels.LanguageModel({"name": "lstm", "hidden_size": 7}, {"embedding_dim": 7})
    watch = Watch()
    trainer = Trainer(
        accelerator="cpu",
        overfit_batches=2,
        max_epochs=2,
        callbacks=[watch],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(task, data)
    assert trainer.global_step == 4
    assert watch.train[:2] == [(0, *rest) for _, *rest in watch.train[2:]]
