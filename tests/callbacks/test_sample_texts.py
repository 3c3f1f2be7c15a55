"""Samples are written after each validation, and change nothing in training."""

from __future__ import annotations

import pytest
import torch
from lightning.pytorch import Trainer
from lightning.pytorch.loggers import TensorBoardLogger

from seqmodels import ContiguousStreams, LanguageModel
from seqmodels.callbacks.sample_texts import SampleTexts
from seqmodels.errors import ConfigurationError, DataError


def fit(tmp_path, callbacks, **arguments):
    path = tmp_path / "text.txt"
    path.write_text("one dog sat on a mat\nthe cat ran far away\n" * 20)
    torch.manual_seed(0)
    task = LanguageModel({"name": "gru", "hidden_size": 7}, {"embedding_dim": 5}, dropout=0.5)
    data = ContiguousStreams(train=str(path), validation=str(path), batch_size=3, window=17)
    trainer = Trainer(
        max_epochs=4,
        **arguments,
        accelerator="cpu",
        logger=TensorBoardLogger(tmp_path),
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=callbacks,
        num_sanity_val_steps=1,
    )
    trainer.fit(task, datamodule=data)
    return [parameter.detach().clone() for parameter in task.parameters()]


def test_writes_and_leaves_training_alone(tmp_path, capsys):
    without = fit(tmp_path, [])
    capsys.readouterr()
    with_samples = fit(tmp_path, [SampleTexts(["the cat", ""], max_length=5, every_n_epochs=2)])
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("sample: ")]
    assert len(lines) == 2 * 2
    assert lines[0].startswith("sample: the cat")
    assert all((one == other).all() for one, other in zip(without, with_samples, strict=True))


@pytest.mark.parametrize(
    ("arguments", "samples"), [({"check_val_every_n_epoch": 2}, 1), ({"val_check_interval": 0.5}, 4)]
)
def test_it_is_validations_that_are_counted(tmp_path, capsys, arguments, samples):
    fit(tmp_path, [SampleTexts(["the cat"], max_length=5, every_n_epochs=2)], **arguments)
    assert capsys.readouterr().out.count("sample: ") == samples


def test_counting_goes_on_with_a_checkpoint():
    callback = SampleTexts(every_n_epochs=2)
    callback.load_state_dict({"validations": 3})
    assert callback.state_dict() == {"validations": 3}


def test_unknown_words_of_a_prompt_are_found_before_training(tmp_path):
    with pytest.raises(DataError, match=r"prompt 1: not in the model's vocabulary of .*: 'zebra'"):
        fit(tmp_path, [SampleTexts(["the zebra"])])


def test_classifiers_do_not_write(toy):
    with pytest.raises(ConfigurationError, match="SampleTexts needs a LanguageModel, got SequenceClassifier"):
        toy.trainer(max_steps=1, callbacks=[SampleTexts()]).fit(toy.task("label"), datamodule=toy.data("label"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"prompts": "the"}, "prompts must be a list of texts, got 'the'"),
        ({"prompts": []}, "prompts must be a list of texts"),
        ({"every_n_epochs": 0}, "every_n_epochs must be at least 1"),
        ({"top_p": 2.0}, "top_p must be in"),
    ],
)
def test_mistakes(arguments, message):
    with pytest.raises(ConfigurationError, match=message):
        SampleTexts(**arguments)
