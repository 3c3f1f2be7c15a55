"""Pictures of attention are drawn after each validation, and change nothing in training."""

from __future__ import annotations

import pytest
import torch
from lightning.pytorch import Trainer
from lightning.pytorch.loggers import TensorBoardLogger
from translators import SOURCES, TARGETS

from seqmodels import SequencePairs, Translator
from seqmodels.callbacks.attention_pictures import AttentionPictures
from seqmodels.errors import ConfigurationError


def fit(folder, callbacks, attention="additive"):
    for ending, texts in (("en", SOURCES), ("de", TARGETS)):
        (folder / f"train.{ending}").write_text("".join(f"{text}\n" for text in texts))
    torch.manual_seed(0)
    task = Translator(
        {"name": "gru", "hidden_size": 7},
        {"embedding_dim": 5},
        {"layer": {"name": "gru", "hidden_size": 11}, "attention": attention},
        {"embedding_dim": 5},
        dropout=0.3,
    )
    data = SequencePairs(
        {"name": "parallel", "source": "en", "target": "de"},
        train=str(folder / "train"),
        validation=str(folder / "train"),
        tokenizer="word",
        batch_size=5,
    )
    trainer = Trainer(
        max_epochs=2,
        accelerator="cpu",
        logger=TensorBoardLogger(folder),
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=callbacks,
        num_sanity_val_steps=1,
    )
    drawn = []
    trainer.logger.experiment.add_figure = lambda name, figure, step: drawn.append((name, step, figure))
    trainer.fit(task, datamodule=data)
    return [parameter.detach().clone() for parameter in task.parameters()], drawn


def test_draws_and_leaves_training_alone(tmp_path):
    pytest.importorskip("matplotlib")
    without, _ = fit(tmp_path, [])
    with_pictures, drawn = fit(tmp_path, [AttentionPictures(7, every_n_epochs=2)])
    assert sorted(name for name, *_ in drawn) == [f"attention/{number}" for number in range(1, 8)]
    assert all((one == other).all() for one, other in zip(without, with_pictures, strict=True))
    source = {name: [label.get_text() for label in figure.axes[0].get_xticklabels()] for name, _, figure in drawn}
    assert source["attention/1"] == SOURCES[0].split()


def test_what_has_no_attention_is_refused(tmp_path, toy):
    with pytest.raises(ConfigurationError, match="needs a translator with attention, got Translator with"):
        fit(tmp_path, [AttentionPictures()], "none")
    with pytest.raises(ConfigurationError, match="needs a translator with attention, got SequenceClassifier"):
        toy.trainer(max_steps=1, callbacks=[AttentionPictures()]).fit(toy.task("label"), datamodule=toy.data("label"))


@pytest.mark.parametrize("name", ["sentences", "every_n_epochs"])
def test_mistakes(name):
    with pytest.raises(ConfigurationError, match=f"AttentionPictures: {name} must be at least 1, got 0"):
        AttentionPictures(**{name: 0})
