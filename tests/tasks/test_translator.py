"""Translation: any encoder, decoder layer and attention; the scores of text; what is rare, resumed, copied, sampled."""

from __future__ import annotations

import importlib
import json
import math
import random
import sys
from pathlib import Path

import pytest
import torch
from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint

from seqmodels import SequencePairs, Task, Translator
from seqmodels.attention import list_attentions
from seqmodels.callbacks.run_report import RunReport
from seqmodels.encoders import create_encoder, encoder_registry, list_encoders
from seqmodels.errors import CheckpointError, ConfigurationError
from seqmodels.inference.checkpoint import check_registered
from seqmodels.inference.translating import translate_batch
from seqmodels.inference.translation_options import TranslationOptions
from seqmodels.tasks.scheduled_sampling import ScheduledSampling

sys.path.insert(0, str(Path(__file__).parents[1] / "examples" / "leaky_package"))
importlib.import_module("leaky")

EXAMPLES = {
    "bidirectional": {"layer": {"name": "gru", "hidden_size": 3}},
    "stacked": {"layers": [{"name": "lstm", "hidden_size": 7}, {"name": "gru", "hidden_size": 5}], "dropout": 0.2},
    "zoneout": {"cell": "lstm_cell"},
    "variational_dropout": {"cell": "lstm_cell"},
}
QUICK = {"class_path": "torch.optim.Adam", "init_args": {"lr": 0.01, "fused": True}}
WORDS = "abcdefg"


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    """Sentences of letters, which are to be written backwards."""
    folder = tmp_path_factory.mktemp("pairs")
    numbers = random.Random(1)
    for split, count in (("train", 29), ("validation", 11), ("test", 13)):
        rows = [[numbers.choice(WORDS) for _ in range(1 + row % 5)] for row in range(count)]
        (folder / f"{split}.in").write_text("".join(" ".join(row) + "\n" for row in rows))
        (folder / f"{split}.out").write_text("".join(" ".join(reversed(row)) + "\n" for row in rows))
    return folder


def data_of(folder, **arguments):
    paths = {split: str(folder / split) for split in ("train", "validation", "test")}
    reader = {"name": "parallel", "source": "in", "target": "out"}
    return SequencePairs(reader, **{**paths, "tokenizer": "word", "batch_size": 5, **arguments})


def create_task(cls=Translator, **arguments):
    torch.manual_seed(0)
    small = {
        "encoder": {"name": "gru", "hidden_size": 5, "bidirectional": True},
        "embedder": {"embedding_dim": 7},
        "target_embedder": {"embedding_dim": 3},
        "decoder": {"layer": {"name": "gru", "hidden_size": 11}},
    }
    return cls(**{**small, **arguments})


def built(folder, data=None, **arguments):
    """Returns an untrained task with its network, in evaluation mode, and a batch of five rows of unlike lengths."""
    data = data_of(folder, **(data or {}))
    data.setup("fit")
    task = create_task(**arguments)
    task._build(data.schema)
    return task.eval(), next(iter(data.train_dataloader()))


def spec_of(name, request):
    if name == "pretrained":
        return {"name": name, "model": str(request.getfixturevalue("tiny_bert")), "frozen": False}
    sizes = {"hidden_size": 7} if "hidden_size" in encoder_registry.arguments(name) else {}
    return {"name": name, **EXAMPLES.get(name, sizes)}


def causal():
    named = [name for name in list_encoders() if name not in ("pretrained", "bidirectional")]
    return [name for name in named if create_encoder(spec_of(name, None), 7).causal]


def steps_of(network, batch):
    """Returns the log-likelihood of the targets (batch, time) as `step` gives it, 0 beyond the lengths."""
    state, keys = network.read(batch)
    columns = []
    for ids, targets in zip(network.previous_ids(batch).unbind(1), batch.targets.unbind(1), strict=True):
        logits, state = network.step(ids, state, keys)
        found = logits.log_softmax(1).gather(1, targets.clamp(min=0).unsqueeze(1)).squeeze(1)
        columns.append(found.masked_fill(targets < 0, 0))
    return torch.stack(columns, 1)


# Any encoder, any decoder


@pytest.mark.parametrize("name", list_encoders())
def test_any_encoder_trains_and_a_row_is_translated_as_it_is_alone(toy, pairs, name, request, tmp_path):
    spec = spec_of(name, request)
    tokenizer = {"name": "pretrained", "path": spec["model"]} if name == "pretrained" else "word"
    data = data_of(pairs, tokenizer=tokenizer, target_tokenizer="word")
    task = create_task(encoder=spec, embedder={} if name == "pretrained" else {"embedding_dim": 7})
    trainer, task, _ = toy.fit("pairs", task=task, data=data)
    assert all(math.isfinite(value) for value in trainer.callback_metrics.values())
    task.eval()
    batch = next(iter(data.val_dataloader()))
    together = task.network.log_probs(task.network.teach(batch), batch)
    translated = translate_batch(task.network, batch)
    for row in range(batch.size):
        alone = batch.select(torch.tensor([row]))
        found = task.network.log_probs(task.network.teach(alone), alone)
        torch.testing.assert_close(found[0], together[row], atol=1e-5, rtol=1e-5)
        assert translate_batch(task.network, alone)[0][0].text == translated[row][0].text
    trainer.save_checkpoint(tmp_path / "model.ckpt")
    loaded = Task.load_from_checkpoint(tmp_path / "model.ckpt").eval()
    assert torch.equal(loaded.network.log_probs(loaded.network.teach(batch), batch), together)


@pytest.mark.parametrize("feeding", [False, True])
@pytest.mark.parametrize("name", causal())
def test_any_causal_encoder_writes_the_same_step_by_step(pairs, name, feeding, request):
    decoder = {"layer": spec_of(name, request), "input_feeding": feeding}
    task, batch = built(pairs, decoder=decoder)
    found = task.network.log_probs(task.network.teach(batch), batch)
    torch.testing.assert_close(found, steps_of(task.network, batch), atol=1e-5, rtol=1e-5)
    task.network.loss(task.network.teach(batch), batch).backward()
    assert all(parameter.grad is not None for parameter in task.network.decoder.parameters())


ATTENTIONS = [*list_attentions(), {"name": "additive", "coverage": True}]


@pytest.mark.parametrize("feeding", [False, True])
@pytest.mark.parametrize("attention", ATTENTIONS, ids=str)
def test_any_attention_writes_the_same_step_by_step(pairs, attention, feeding):
    heads = {"name": "multi_head", "num_heads": 2} if attention == "multi_head" else attention
    decoder = {"layer": {"name": "gru", "hidden_size": 10}, "attention": heads, "input_feeding": feeding}
    task, batch = built(pairs, decoder=decoder)
    found = task.network.log_probs(task.network.teach(batch), batch)
    torch.testing.assert_close(found, steps_of(task.network, batch), atol=1e-5, rtol=1e-5)


def test_a_mixed_precision_fit_is_finite(toy, pairs):
    for feeding in (False, True):
        decoder = {"layer": {"name": "lstm", "hidden_size": 11}, "input_feeding": feeding}
        task = create_task(decoder=decoder, copying=True, label_smoothing=0.1)
        data = data_of(pairs, shared_vocabulary=True)
        trainer, _, _ = toy.fit("pairs", task=task, data=data, precision="bf16-mixed")
        assert all(math.isfinite(value) for value in trainer.callback_metrics.values())


# It learns, and is scored as text


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"decoder": {"layer": {"name": "lstm", "hidden_size": 32}, "input_feeding": True}},
        {"copying": True, "share_embeddings": True, "target_embedder": "embedding"},
        {"scheduled_sampling": {"steps": 100}, "coverage_loss": 0.1},
    ],
    ids=["plain", "feeding", "copying", "sampling"],
)
def test_it_learns_to_write_backwards(toy, pairs, arguments):
    whole = {
        "encoder": {"name": "gru", "hidden_size": 32, "bidirectional": True},
        "embedder": {"embedding_dim": 32},
        "target_embedder": {"embedding_dim": 32},
        "decoder": {"layer": {"name": "gru", "hidden_size": 32}},
        "optimizer": QUICK,
    }
    data = data_of(pairs, shared_vocabulary="copying" in arguments)
    data.given["validation"] = data.given["train"]
    task = create_task(**{**whole, **arguments})
    trainer, task, _ = toy.fit("pairs", task=task, data=data, max_steps=180, check_val_every_n_epoch=1000)
    scores = trainer.validate(task, datamodule=data, verbose=False)[0]
    assert scores["val_exact_match"] == 1
    assert scores["val_ter"] == 0
    assert scores["val_perplexity"] == pytest.approx(math.exp(scores["val_loss"]))
    assert scores["val_perplexity"] < 1.3


def test_as_many_sentences_are_translated_as_asked_for_and_at_test_all(toy, pairs):
    task = create_task(translate_sentences=3)
    trainer, task, data = toy.fit("pairs", task=task, data=data_of(pairs))
    trainer.validate(task, datamodule=data, verbose=False)
    assert task.scores["val"].exact_counts[1] == 3
    trainer.test(task, datamodule=data, verbose=False)
    assert task.scores["test"].exact_counts[1] == 13


@pytest.mark.parametrize("kept", [0, 2])
def test_rows_that_do_not_count_are_not_scored(toy, pairs, kept):
    _, task, data = toy.fit("pairs", task=create_task(), data=data_of(pairs))
    batch = next(iter(data.val_dataloader()))
    batch.counted[kept:] = False
    task.on_validation_epoch_start()
    task.eval()
    task._score("val", batch)
    assert task.scores["val"].exact_counts[1] == kept
    assert task.losses["val"].count == batch.target_lengths[:kept].sum()


def test_logits_are_those_of_the_loss(pairs):
    task, batch = built(pairs)
    loss, count = task.loss(task(batch), batch)
    torch.testing.assert_close(loss, task.network.loss(task.network.teach(batch), batch))
    assert count == batch.target_lengths.sum()
    assert task.network.results(task(batch), batch)[0].keys() == {"text"}


def test_the_report_says_how_was_scored(toy, pairs, tmp_path):
    report = RunReport(str(tmp_path))
    trainer, task, data = toy.fit("pairs", task=create_task(beam_size=2), data=data_of(pairs), callbacks=[report])
    trainer.test(task, datamodule=data, verbose=False)
    written = json.loads((tmp_path / "results.json").read_text())
    assert written["test_bleu_signature"].startswith("nrefs:1|case:mixed|eff:no|tok:13a|smooth:exp|version:")
    assert written["test_beam_size"] == 2
    assert 0 <= written["test_bleu"] <= 100


def test_predictions_are_translations(toy, pairs):
    trainer, task, data = toy.fit("pairs", task=create_task(), data=data_of(pairs))
    data.given["predict"] = str(pairs / "test")
    rows = [row for batch in trainer.predict(task, datamodule=data) for row in batch]
    assert sorted(row["row"] for row in rows) == list(range(13))
    assert rows[0].keys() == {"row", "translation", "log_probability"}


# Translating rarely


class Watched(Translator):
    """Keeps the scores of every validation, and pretends to those of `given`."""

    given = (10.0, 30.0, 20.0, 20.0, 20.0, 20.0)

    def on_fit_start(self):
        super().on_fit_start()
        self.seen = []

    def _text_scores(self, split):
        self.seen.append(self.current_epoch)
        return {**super()._text_scores(split), "bleu": self.given[len(self.seen) - 1]}


def fit_rarely(toy, pairs, folder, task, **arguments):
    best = ModelCheckpoint(dirpath=folder, filename="{epoch}", monitor="val_bleu", mode="max")
    last = ModelCheckpoint(dirpath=folder, filename="last-{epoch}", save_top_k=-1, save_on_train_epoch_end=True)
    stop = EarlyStopping("val_bleu", mode="max", patience=arguments.pop("patience", 100))
    ckpt_path = arguments.pop("ckpt_path", None)
    trainer = toy.trainer(enable_checkpointing=True, callbacks=[best, last, stop], limit_train_batches=1, **arguments)
    trainer.fit(task, datamodule=data_of(pairs), ckpt_path=ckpt_path)
    return trainer, best


def test_between_translations_the_last_scores_stand_in(toy, pairs, tmp_path):
    task = create_task(Watched, translate_every_n_epochs=3)
    trainer, best = fit_rarely(toy, pairs, tmp_path, task, max_epochs=8)
    assert task.seen == [0, 2, 5, 7]  # the first and the last in any case
    assert Path(best.best_model_path).stem == "epoch=2"
    assert best.best_model_score == 30
    assert trainer.callback_metrics["val_bleu"] == 20


def test_early_stopping_counts_translations_alone(toy, pairs, tmp_path):
    task = create_task(Watched, translate_every_n_epochs=3)
    trainer, _ = fit_rarely(toy, pairs, tmp_path, task, max_epochs=20, patience=2)
    assert task.seen == [0, 2, 5, 8]
    assert trainer.current_epoch == 9


def test_a_resumed_fit_knows_the_scores_that_stand_in(toy, pairs, tmp_path):
    fit_rarely(toy, pairs, tmp_path, create_task(translate_every_n_epochs=5), max_epochs=2)
    task = create_task(Watched, translate_every_n_epochs=5)
    trainer, _ = fit_rarely(toy, pairs, tmp_path / "more", task, max_epochs=4, ckpt_path=tmp_path / "last-epoch=0.ckpt")
    assert task.seen == [3]
    assert "val_chrf" in trainer.callback_metrics


def test_a_schedule_waits_for_a_score_as_long_as_it_takes(toy, pairs):
    plateau = {"class_path": "torch.optim.lr_scheduler.ReduceLROnPlateau", "init_args": {"mode": "max"}}
    for monitor, frequency in (("val_bleu", 3), ("val_loss", 1)):
        task = create_task(translate_every_n_epochs=3, lr_scheduler=plateau, monitor=monitor)
        trainer, _, _ = toy.fit("pairs", task=task, data=data_of(pairs), max_epochs=1, limit_train_batches=1)
        assert trainer.lr_scheduler_configs[0].frequency == frequency


def test_several_best_checkpoints_need_a_score_each(toy, pairs, tmp_path):
    keep = ModelCheckpoint(dirpath=tmp_path, monitor="val_bleu", mode="max", save_top_k=2)
    task = create_task(translate_every_n_epochs=2)
    with pytest.raises(ConfigurationError, match=r"translate_every_n_epochs: 2 .* keeps 2 checkpoints by val_bleu"):
        toy.fit("pairs", task=task, data=data_of(pairs), enable_checkpointing=True, callbacks=[keep])


# Resuming


class Recorded(Translator):
    """Keeps the loss of every step."""

    def training_step(self, batch, batch_idx):
        loss = super().training_step(batch, batch_idx)
        self.losses_seen = [*getattr(self, "losses_seen", []), loss.item()]
        return loss


def test_goes_on_in_the_middle_of_an_epoch_as_if_never_stopped(toy, pairs, tmp_path):
    def fit(ckpt_path=None):
        task = create_task(
            Recorded,
            dropout=0.3,
            decoder={"layer": {"name": "lstm", "hidden_size": 11}, "dropout": 0.2, "input_feeding": True},
            scheduled_sampling={"steps": 5, "most": 0.5},
        )
        keep = ModelCheckpoint(dirpath=tmp_path, filename="{step}", every_n_train_steps=1, save_top_k=-1)
        trainer = toy.trainer(max_epochs=2, enable_checkpointing=ckpt_path is None, limit_val_batches=0)
        if ckpt_path is None:
            trainer.callbacks.append(keep)
        trainer.fit(task, datamodule=data_of(pairs), ckpt_path=ckpt_path)
        return task.losses_seen

    whole = fit()
    assert len(whole) == 12
    torch.manual_seed(17)
    assert fit(tmp_path / "step=4.ckpt") == whole[4:]


def test_another_target_vocabulary_is_refused(toy, pairs, tmp_path):
    trainer, _, _ = toy.fit("pairs", task=create_task(), data=data_of(pairs))
    trainer.save_checkpoint(tmp_path / "model.ckpt")
    other = data_of(pairs, target_tokenizer="character")
    with pytest.raises(CheckpointError, match="trained with another target vocabulary than the data"):
        toy.trainer(max_steps=5).fit(create_task(), datamodule=other, ckpt_path=tmp_path / "model.ckpt")


# Copying


def test_copying_is_the_same_in_loss_scores_and_steps(pairs):
    task, batch = built(pairs, {"shared_vocabulary": True}, copying=True)
    network = task.network
    decoded = network.teach(batch)
    found = network.log_probs(decoded, batch)
    torch.testing.assert_close(found, steps_of(network, batch), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(network.loss(decoded, batch), -found.sum() / batch.target_lengths.sum())
    torch.testing.assert_close(task.loss(task(batch), batch)[0], network.loss(decoded, batch))
    state, keys = network.read(batch)
    logits, _ = network.step(network.previous_ids(batch)[:, 0], state, keys)
    torch.testing.assert_close(logits.exp().sum(1), torch.ones(batch.size))
    network.loss(decoded, batch).backward()
    assert network.copying.gate.weight.grad.abs().sum() > 0


def test_copying_goes_through_a_beam_as_it_does_alone(pairs):
    task, batch = built(pairs, {"shared_vocabulary": True}, copying=True)
    together = translate_batch(task.network, batch, TranslationOptions(beam_size=3))
    for row in range(batch.size):
        alone = translate_batch(task.network, batch.select(torch.tensor([row])), TranslationOptions(beam_size=3))
        assert alone[0][0].tokens == together[row][0].tokens
        assert alone[0][0].score == pytest.approx(together[row][0].score, abs=1e-5)


def test_smoothing_with_copying_is_of_the_vocabulary(pairs):
    task, batch = built(pairs, {"shared_vocabulary": True}, copying=True, label_smoothing=0.3)
    network = task.network
    decoded = network.teach(batch)
    plain = -network.log_probs(decoded, batch).sum() / batch.target_lengths.sum()
    outputs = decoded.outputs[batch.targets >= 0]
    spread = -network.head.log_probs(outputs).mean()
    torch.testing.assert_close(network.loss(decoded, batch), 0.7 * plain + 0.3 * spread)


# Scheduled sampling


@pytest.mark.parametrize("copying", [False, True])
@pytest.mark.parametrize("attention", ["additive", "none"])
def test_true_ids_alone_are_plain_teaching(pairs, copying, attention):
    if copying and attention == "none":
        pytest.skip("nothing to copy from")
    decoder = {"layer": {"name": "lstm", "hidden_size": 11}, "attention": attention, "input_feeding": True}
    task, batch = built(pairs, {"shared_vocabulary": True}, decoder=decoder, copying=copying)
    plain, sampled = task.network.teach(batch), task.network.teach_in_part(batch, 0.0)
    torch.testing.assert_close(sampled, plain, atol=1e-5, rtol=1e-5)


def test_own_ids_alone_are_greedy(pairs):
    task, batch = built(pairs)
    network = task.network
    logits = network.head.logits(network.teach_in_part(batch, 1.0).outputs.flatten(0, 1))
    chosen = logits.argmax(1).view(batch.targets.shape)
    state, keys = network.read(batch)
    ids = network.previous_ids(batch)[:, 0]
    for time in range(int(batch.target_lengths.min())):
        logits, state = network.step(ids, state, keys)
        ids = logits.argmax(1)
        assert torch.equal(ids, chosen[:, time])


@pytest.mark.parametrize(
    ("kind", "half"), [("linear", 0.5), ("exponential", 1 - math.exp(-0.5)), ("inverse_sigmoid", 0.5)]
)
def test_the_schedule_grows_to_its_most(kind, half):
    schedule = ScheduledSampling(kind=kind, steps=100, most=0.75)
    values = [schedule.own(step) for step in range(0, 10_000, 10)]
    assert values == sorted(values)
    assert values[0] < 0.02
    assert schedule.own(50) == pytest.approx(half)
    assert values[-1] == 0.75


def test_wrong_schedules_are_refused():
    for arguments, message in (
        ({"kind": "cosine"}, "kind must be one of linear, exponential, inverse_sigmoid, got 'cosine'"),
        ({"steps": 0}, "steps must be at least 1, got 0"),
        ({"most": 0}, r"most must be in \(0, 1\], got 0"),
        ({"step": 3}, "scheduled_sampling has no argument 'step'.*did you mean 'steps'"),
    ):
        with pytest.raises(ConfigurationError, match=message):
            create_task(scheduled_sampling=arguments)


# What is refused


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"translate_every_n_epochs": 0}, "translate_every_n_epochs must be at least 1, got 0"),
        ({"translate_sentences": 0}, "translate_sentences must be at least 1, got 0"),
        ({"translate_beam_size": 0}, "translate_beam_size must be at least 1, got 0"),
        ({"beam_size": 0}, "beam_size must be at least 1, got 0"),
        ({"coverage_loss": -1.0}, "coverage_loss must be at least 0, got -1"),
        ({"decoder": "atention"}, "unknown decoder 'atention'.*did you mean 'attention'"),
        ({"decoder": {"input_feding": True}}, "has no argument 'input_feding'.*did you mean 'input_feeding'"),
        ({"decoder": {"attention": "aditive"}}, "unknown attention 'aditive'.*did you mean 'additive'"),
        ({"target_embedder": {"embeding_dim": 3}}, "has no argument 'embeding_dim'.*did you mean 'embedding_dim'"),
    ],
    ids=str,
)
def test_wrong_arguments_are_refused_at_once(arguments, message):
    with pytest.raises(ConfigurationError, match=message):
        create_task(**arguments)


@pytest.mark.parametrize(
    ("arguments", "shared", "message"),
    [
        ({"copying": True}, False, "copying: true needs one vocabulary .* data.shared_vocabulary: true"),
        ({"share_embeddings": True}, False, "share_embeddings: true needs one vocabulary"),
        ({"copying": True, "decoder": {"attention": "none"}}, True, "copying: true copies from where .* looks nowhere"),
        ({"target_embedder": {"positions": 5}}, False, "embeds its target step by step, but the target embedder"),
        ({"embedder": {"positions": 5}, "share_embeddings": True}, True, "step by step, but the shared embedder"),
    ],
    ids=str,
)
def test_what_does_not_fit_the_data_is_refused(pairs, arguments, shared, message):
    with pytest.raises(ConfigurationError, match=message):
        built(pairs, {"shared_vocabulary": shared}, **arguments)


def test_a_coverage_loss_without_attention_is_refused(toy, pairs):
    task = create_task(coverage_loss=0.5, decoder={"layer": {"name": "gru", "hidden_size": 7}, "attention": "none"})
    with pytest.raises(ConfigurationError, match=r"coverage_loss: 0.5 is about where the decoder looks, .* nowhere"):
        toy.fit("pairs", task=task, data=data_of(pairs))


def test_data_without_a_text_to_write_is_refused(toy):
    with pytest.raises(ConfigurationError, match="needs a text to write, but the data has none; use SequencePairs"):
        toy.fit("label", task=create_task())


def test_a_misspelt_monitor_is_found_before_the_first_epoch(toy, pairs):
    with pytest.raises(ConfigurationError, match=r"no score 'val_blue'.*did you mean 'val_bleu'.*val_perplexity"):
        toy.fit("pairs", task=create_task(monitor="val_blue"), data=data_of(pairs))


@pytest.mark.parametrize(
    ("decoder", "kind"),
    [
        ({"name": "my.Decoder"}, "decoder 'my.Decoder'"),
        ({"attention": "my.Attention"}, "attention 'my.Attention'"),
        ({"layer": {"name": "my.Layer"}}, "encoder 'my.Layer'"),
    ],
    ids=str,
)
def test_a_checkpoint_names_registered_parts_alone(decoder, kind):
    network = {"name": "translation", "encoder": "lstm", "embedder": "embedding", "target_embedder": "embedding"}
    check_registered({"network": {**network, "decoder": "attention"}})
    with pytest.raises(CheckpointError, match=f"names the {kind}, which is not registered here"):
        check_registered({"network": {**network, "decoder": decoder}})
    with pytest.raises(CheckpointError, match=r"names the embedder 'my\.Embedder'"):
        check_registered({"network": {**network, "target_embedder": "my.Embedder"}})
