"""Going on from a checkpoint: the same losses, the same labels, and nothing overwritten."""

from __future__ import annotations

import functools

import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint

import seqmodels
from seqmodels import SequenceClassifier, SequenceTagger, Task
from seqmodels.errors import CheckpointError, ConfigurationError
from seqmodels.tasks.schedules import WarmupLinear

DROPOUT = {
    "encoder": {"name": "lstm", "hidden_size": 7, "num_layers": 2, "dropout": 0.3},
    "embedder": {"embedding_dim": 5, "dropout": 0.2, "word_dropout": 0.2},
    "dropout": 0.5,
    "lr_scheduler": functools.partial(WarmupLinear, warmup_steps=2),
}


class Recorded(SequenceClassifier):
    """Keeps the loss of every step, and fails at one."""

    fail_at: int | None = None

    def training_step(self, batch, batch_idx):
        if self.global_step == self.fail_at:
            raise KeyError("killed")
        loss = super().training_step(batch, batch_idx)
        self.losses_seen = [*getattr(self, "losses_seen", []), loss.item()]
        return loss


def fit(toy, folder, *, fail_at=None, ckpt_path=None):
    torch.manual_seed(0)
    task = Recorded(**DROPOUT)
    task.fail_at = fail_at
    keep = ModelCheckpoint(dirpath=folder, filename="{step}", every_n_train_steps=1, save_top_k=-1)
    trainer = toy.trainer(max_epochs=3, enable_checkpointing=True, callbacks=[keep])
    if fail_at is None:
        trainer.fit(task, datamodule=toy.data("label"), ckpt_path=ckpt_path)
    else:
        with pytest.raises(KeyError, match="killed"):
            trainer.fit(task, datamodule=toy.data("label"))
    return task.losses_seen


@pytest.fixture(scope="module")
def whole(toy, tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    losses = fit(toy, folder)
    assert len(losses) == 9
    return folder, losses


@pytest.mark.parametrize("step", [2, 3, 5, 6])
def test_goes_on_as_if_never_stopped_dropout_and_all(toy, whole, step, tmp_path):
    folder, losses = whole
    torch.manual_seed(17)
    assert fit(toy, tmp_path, ckpt_path=folder / f"step={step}.ckpt") == losses[step:]


def test_a_killed_fit_goes_on(toy, whole, tmp_path):
    before = fit(toy, tmp_path, fail_at=4)
    assert before + fit(toy, tmp_path, ckpt_path=tmp_path / "step=4.ckpt") == whole[1]


def test_other_labels_are_named(toy, checkpoints):
    data = toy.data("label")
    path = toy.folder / "other_labels.txt"
    path.write_text((toy.folder / "train.txt").read_text().replace("mixed", "so-so") + "superb the film was so\n")
    data.given["train"] = str(path)
    message = r"trained with 3 classes, the data has 4: so-so, superb new; mixed gone"
    with pytest.raises(CheckpointError, match=message):
        toy.trainer(max_steps=13).fit(toy.task("label"), datamodule=data, ckpt_path=checkpoints["label"])


def test_another_vocabulary_is_refused(toy, checkpoints):
    data = toy.data("label", tokenizer={"name": "word", "min_count": 4})
    with pytest.raises(CheckpointError, match="trained with another vocabulary or normalisation than the data"):
        toy.trainer(max_steps=13).fit(toy.task("label"), datamodule=data, ckpt_path=checkpoints["label"])


def test_a_foreign_checkpoint_is_refused(toy, tmp_path):
    trainer, _, data = toy.fit("label", max_steps=1)
    trainer.save_checkpoint(tmp_path / "model.ckpt")
    contents = torch.load(tmp_path / "model.ckpt", weights_only=True)
    del contents["seqmodels"]
    torch.save(contents, tmp_path / "foreign.ckpt")
    with pytest.raises(CheckpointError, match="not a seqmodels checkpoint: it holds no record of network and schema"):
        toy.trainer(max_steps=3).fit(toy.task("label"), datamodule=data, ckpt_path=tmp_path / "foreign.ckpt")


@pytest.mark.parametrize(("kind", "task_class"), [("label", SequenceClassifier), ("entities", SequenceTagger)])
def test_load_from_checkpoint_tests_as_the_file_does(toy, checkpoints, kind, task_class):
    loaded = task_class.load_from_checkpoint(checkpoints[kind])
    generic = Task.load_from_checkpoint(checkpoints[kind])
    assert type(loaded) is type(generic) is task_class
    data = toy.data(kind)
    data.use_checkpoint(checkpoints[kind])
    first = toy.trainer().test(loaded, datamodule=data, verbose=False)
    fresh = toy.task(kind, crf=True) if kind == "entities" else toy.task(kind)
    second = toy.trainer().test(fresh, datamodule=data, ckpt_path=checkpoints[kind], verbose=False)
    assert first == second
    assert first == toy.trainer().test(generic, datamodule=data, verbose=False)


def test_load_from_checkpoint_takes_other_arguments(checkpoints):
    assert Task.load_from_checkpoint(checkpoints["entities"], monitor="val_loss").monitor == "val_loss"
    assert Task.load_from_checkpoint(checkpoints["entities"], constrained=False).network.constraints is None
    with pytest.raises(CheckpointError, match="weights do not fit the network"):
        Task.load_from_checkpoint(checkpoints["entities"], crf=False)


def test_load_from_checkpoint_of_another_task_is_refused(checkpoints, tmp_path):
    with pytest.raises(CheckpointError, match="the checkpoint is of a SequenceTagger, not of a SequenceClassifier"):
        SequenceClassifier.load_from_checkpoint(checkpoints["tags"])
    contents = torch.load(checkpoints["tags"], weights_only=True)
    contents["seqmodels"]["model"]["class_path"] = "my.own.Tagger"
    torch.save(contents, tmp_path / "own.ckpt")
    with pytest.raises(CheckpointError, match=r"is of the task 'my\.own\.Tagger', which is not imported here"):
        Task.load_from_checkpoint(tmp_path / "own.ckpt")
    with pytest.raises(CheckpointError, match="no such checkpoint"):
        Task.load_from_checkpoint(tmp_path / "absent.ckpt")


def vectors_file(folder):
    path = folder / "vectors.txt"
    path.write_text("".join(f"{word} {number} 0.5 -1\n" for number, word in enumerate(("film", "was", "great"))))
    return path


def table(task):
    tokenizer = task.network.schema.tokens.tokenizer
    weights = task.network.embedder.token_weights().detach()
    return {word: weights[tokenizer.id_of(word)].clone() for word in ("film", "was", "great")}


def test_vectors_are_copied_where_a_fit_begins_and_never_again(toy, tmp_path):
    path = vectors_file(tmp_path)
    embedder = {"embedding_dim": 3, "vectors": path, "freeze_vectors": True}
    trainer, task, _ = toy.fit("label", task=toy.task("label", embedder=embedder))
    for number, vector in enumerate(table(task).values()):
        assert vector.tolist() == [number, 0.5, -1]
    trainer.save_checkpoint(tmp_path / "frozen.ckpt")

    tuned = toy.task("label", embedder={**embedder, "freeze_vectors": False})
    trainer, tuned, data = toy.fit("label", task=tuned, max_steps=3)
    trained = table(tuned)
    assert any(not torch.equal(trained[word], vector) for word, vector in table(task).items())
    checkpoint = tmp_path / "tuned.ckpt"
    trainer.save_checkpoint(checkpoint)
    expected = seqmodels.load(checkpoint).predict_proba(["the film was great"])
    path.unlink()

    assert (seqmodels.load(checkpoint).predict_proba(["the film was great"])[0] == expected[0]).all()
    resumed = toy.task("label", embedder={**embedder, "freeze_vectors": False})
    toy.trainer(max_steps=3).fit(resumed, datamodule=data, ckpt_path=checkpoint)
    assert all(torch.equal(vector, trained[word]) for word, vector in table(resumed).items())
    again = Task.load_from_checkpoint(checkpoint, optimizer={"class_path": "torch.optim.SGD", "init_args": {"lr": 0.0}})
    toy.fit("label", task=again, data=data, max_steps=1)
    assert all(torch.equal(vector, trained[word]) for word, vector in table(again).items())


def test_vectors_of_another_size_or_without_a_file_are_refused(toy, tmp_path):
    path = vectors_file(tmp_path)
    with pytest.raises(ConfigurationError, match=r"embedding_dim is 5, the vectors in .* have 3 features"):
        toy.fit("label", task=toy.task("label", embedder={"embedding_dim": 5, "vectors": str(path)}))
