"""Language modelling: the carried state is exact, never mixed, resumed; what cannot be is refused."""

from __future__ import annotations

import functools
import itertools
import math

import pytest
import torch
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import Callback, ModelCheckpoint

import seqmodels
from seqmodels import ContiguousStreams, LanguageModel, SeparateSequences
from seqmodels.data.streams import StreamBatch
from seqmodels.encoders import create_encoder, encoder_registry, list_encoders
from seqmodels.errors import ConfigurationError, DataError

WORDS = ["the", "cat", "sat", "on", "a", "mat", "and", "saw", "one", "dog", "run", "far"]
NESTED = {
    "bidirectional": None,
    "pretrained": None,
    "stacked": {"layers": [{"name": "lstm", "hidden_size": 7}, {"name": "gru", "hidden_size": 5}]},
    "zoneout": {"cell": "lstm_cell"},
    "variational_dropout": {"cell": "lstm_cell"},
}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    folder = tmp_path_factory.mktemp("corpus")
    state = 1
    for split, lines in (("train", 61), ("validation", 13), ("test", 17)):
        rows = []
        for _ in range(lines):
            words = []
            for _ in range(2 + state % 5):
                state = (state * 1_103_515_245 + 12_345) % 2**31
                words.append(WORDS[(state >> 8) % len(WORDS)])
            rows.append(" ".join(words))
        (folder / f"{split}.txt").write_text("\n".join(rows) + "\n", encoding="utf-8")
    return folder


def streams(corpus, **arguments):
    paths = {split: str(corpus / f"{split}.txt") for split in ("train", "validation", "test")}
    return ContiguousStreams("text", **{**paths, "batch_size": 3, "window": 7, "eval_window": 5, **arguments})


def sentences(corpus, **arguments):
    paths = {split: str(corpus / f"{split}.txt") for split in ("train", "validation", "test")}
    return SeparateSequences("text", **{**paths, "batch_size": 5, **arguments})


def model(cls=LanguageModel, **arguments):
    torch.manual_seed(0)
    return cls(**{"encoder": {"name": "lstm", "hidden_size": 7}, "embedder": {"embedding_dim": 7}, **arguments})


def trainer(**arguments):
    quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False, "num_sanity_val_steps": 0}
    return Trainer(**{"accelerator": "cpu", "max_epochs": 1, "enable_checkpointing": False, **quiet, **arguments})


def spec_of(name):
    sizes = {"hidden_size": 7} if "hidden_size" in encoder_registry.arguments(name) else {}
    return NESTED.get(name, {}) | {"name": name} if name in NESTED else {"name": name, **sizes}


def causal():
    named = [name for name in list_encoders() if NESTED.get(name, {}) is not None]
    return [name for name in named if create_encoder(spec_of(name), 7).causal]


@pytest.mark.parametrize("name", causal())
@pytest.mark.parametrize("resets", [False, True])
def test_windows_with_carried_state_equal_one_long_forward(corpus, name, resets):
    data = streams(corpus, batch_size=2, reset_at_documents=resets)
    data.setup("fit")
    task = model(encoder=spec_of(name))
    task._build(data.schema)
    task.eval()
    task._carries = True
    found = [[], []]
    for batch in data.train_dataloader():
        _, log_probs = task._log_probs("val", batch)
        for row, length in enumerate(batch.lengths.tolist()):
            found[row] += log_probs[row, :length].tolist()
    flat = data.encoded("train").encoded.ids
    for row, (begin, end) in enumerate(zip(*_bounds(data), strict=True)):
        expected = []
        for first, last in _documents(flat, begin, end) if resets else [(begin, end)]:
            inputs = torch.tensor([3, *flat.values.tolist()])[first:last].unsqueeze(0)
            batch = StreamBatch(
                inputs={"ids": inputs},
                lengths=torch.tensor([last - first]),
                targets=torch.tensor(flat.values[first:last], dtype=torch.int64).unsqueeze(0),
                **{"word_starts": None, "word_lengths": None, "target_lengths": None},
                **{"rows": torch.zeros(1), "counted": torch.ones(1).bool()},
                **{"resets": torch.ones(1).bool(), "length_ratio": 1.0},
            )
            outputs, _ = task.network.encode(batch)
            expected += task.network.log_probs(outputs, batch)[0].tolist()
        assert found[row] == pytest.approx(expected, abs=2e-5)


def _bounds(data):
    bounds = data.sampler("train").layout.bounds.tolist()
    return bounds[:-1], bounds[1:]


def _documents(flat, begin, end):
    cuts = sorted({begin, end, *(offset for offset in flat.offsets.tolist() if begin < offset < end)})
    return list(itertools.pairwise(cuts))


def test_gradients_equal_the_full_ones_where_the_window_covers_the_stream(corpus):
    gradients = []
    for window in (94, 61):  # of streams of 94 tokens
        data = streams(corpus, batch_size=3, window=window)
        data.setup("fit")
        task = model()
        task._build(data.schema)
        task._carries = True
        batch = next(iter(data.train_dataloader()))
        state = task._take(task._states["train"], batch)
        outputs, _ = task.network.encode(batch, state)
        task.network.loss(outputs[:, :61], _cut(batch, 61)).backward()
        gradients.append([parameter.grad.clone() for parameter in task.network.parameters()])
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other)


def _cut(batch, time):
    batch = batch.copy()
    batch.inputs["ids"], batch.targets = batch.inputs["ids"][:, :time], batch.targets[:, :time]
    batch.lengths = batch.lengths.clamp(max=time)
    return batch


def test_streams_never_mix(corpus):
    data = streams(corpus)
    data.setup("fit")
    states = []
    for other in (5, 9):
        task = model()
        task._build(data.schema)
        task._carries = True
        task.eval()
        for batch in list(data.train_dataloader())[:3]:
            batch.inputs["ids"][1] = other  # what another stream reads
            task._log_probs("val", batch)
        states.append(task._states["val"]._after[1])
    for one, other in zip(*states, strict=True):
        assert (one[[0, 2]] == other[[0, 2]]).all()
        assert not (one[1] == other[1]).all()


class Recorded(LanguageModel):
    """Keeps the loss of every step, and fails at one."""

    fail_at = None

    def objective(self, batch):
        loss, minimised = super().objective(batch)
        if self.global_step == self.fail_at:
            raise KeyError("killed")  # after the state was carried on, before the step was taken
        self.seen = [*getattr(self, "seen", []), loss.item()]
        return loss, minimised


ADVANCED = {
    "encoder": {"name": "lstm", "hidden_size": 7, "num_layers": 2, "dropout": 0.3},
    "dropout": 0.3,
    "activation_penalty": 2.0,
    "temporal_penalty": 1.0,
    "optimizer": functools.partial(torch.optim.SGD, lr=1.0),
}


def fit(corpus, folder, *, fail_at=None, ckpt_path=None, **arguments):
    task = model(Recorded, **ADVANCED)
    task.fail_at = fail_at
    keep = ModelCheckpoint(dirpath=folder, filename="{step}", every_n_train_steps=1, save_top_k=-1)
    options = {"max_epochs": 3, "enable_checkpointing": True, "callbacks": [keep], "gradient_clip_val": 0.25}
    data = streams(corpus, random_windows=True)
    run = trainer(**{**options, **arguments})
    if fail_at is None:
        run.fit(task, datamodule=data, ckpt_path=ckpt_path)
    else:
        with pytest.raises(KeyError, match="killed"):
            run.fit(task, datamodule=data)
        run.save_checkpoint(folder / "broken_off.ckpt")
    return task.seen


@pytest.fixture(scope="module")
def whole(corpus, tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    return folder, fit(corpus, folder)


@pytest.mark.parametrize("step", [1, 4, 17, 24])
def test_a_run_killed_in_the_middle_of_an_epoch_goes_on_step_for_step(corpus, whole, step, tmp_path):
    folder, losses = whole
    assert len(losses) > 27
    torch.manual_seed(17)
    assert fit(corpus, tmp_path, ckpt_path=folder / f"step={step}.ckpt") == losses[step:]


class SaveAfter(Callback):
    """Saves a checkpoint after so many batches, and where a batch is broken off."""

    def __init__(self, batches, path):
        self.batches, self.path = batches, path

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        if trainer.fit_loop.total_batch_idx + 1 == self.batches:
            trainer.save_checkpoint(self.path)


class SaveAtStart(Callback):
    """Saves a checkpoint before the first batch of a run, as a validation does that is repeated first."""

    def __init__(self, path):
        self.path = path

    def on_train_start(self, trainer, pl_module):
        trainer.save_checkpoint(self.path)


@pytest.mark.parametrize("accumulate", [1, 3])
def test_a_checkpoint_before_the_first_batch_of_a_resumed_run_is_the_one_gone_on_from(corpus, accumulate, tmp_path):
    first, second = tmp_path / "first.ckpt", tmp_path / "second.ckpt"
    options = {"accumulate_grad_batches": accumulate, "enable_checkpointing": False}
    losses = fit(corpus, tmp_path, callbacks=[SaveAfter(5, first)], **options)
    torch.manual_seed(17)
    fit(corpus, tmp_path, callbacks=[SaveAtStart(second)], ckpt_path=first, **options)
    torch.manual_seed(18)
    assert fit(corpus, tmp_path, callbacks=[], ckpt_path=second, **options) == losses[5:]


@pytest.mark.parametrize("batches", [1, 5, 6, 13])
def test_gradients_that_wait_for_their_step_are_in_the_checkpoint(corpus, batches, tmp_path):
    path = tmp_path / "middle.ckpt"
    options = {"accumulate_grad_batches": 3, "enable_checkpointing": False}
    losses = fit(corpus, tmp_path, callbacks=[SaveAfter(batches, path)], **options)
    in_epoch = batches % (len(losses) // 3)  # of three epochs, each of which ends with a step
    assert ("gradients" in torch.load(path, weights_only=True)) == (in_epoch % 3 > 0)
    torch.manual_seed(17)
    assert fit(corpus, tmp_path, callbacks=[], ckpt_path=path, **options) == losses[batches:]


def test_gradients_of_a_batch_broken_off_are_not_kept(corpus, tmp_path):
    class Failing(Recorded):
        def on_after_backward(self):
            super().on_after_backward()
            if len(self.seen) == 5:
                raise KeyError("killed")

    task = model(Failing, **ADVANCED)
    run = trainer(accumulate_grad_batches=3)
    with pytest.raises(KeyError, match="killed"):
        run.fit(task, datamodule=streams(corpus))
    run.save_checkpoint(tmp_path / "broken_off.ckpt")
    assert "gradients" not in torch.load(tmp_path / "broken_off.ckpt", weights_only=True)


def test_a_checkpoint_of_a_step_broken_off_holds_the_state_before_it(corpus, whole, tmp_path):
    before = fit(corpus, tmp_path, fail_at=5)
    states = [
        torch.load(path, weights_only=True)["carried_state"]
        for path in (tmp_path / "broken_off.ckpt", whole[0] / "step=5.ckpt")
    ]
    for one, other in zip(states[0][0], states[1][0], strict=True):
        assert (one == other).all()
    assert before == whole[1][:5]


def test_carrying_helps_and_can_be_left_out(tmp_path):
    """Each word follows from the two before it, of which a window of two steps shows one only half of the time."""
    path = tmp_path / "cycle.txt"
    path.write_text("one two one three two three " * 200)
    losses = {}
    for stateful in (None, False):
        task = model(stateful=stateful, optimizer=functools.partial(torch.optim.Adam, lr=0.03))
        data = ContiguousStreams(train=str(path), test=str(path), batch_size=4, window=2, eval_window=2)
        run = trainer(max_epochs=3)
        run.fit(task, datamodule=data)
        losses[stateful] = run.test(task, datamodule=data, verbose=False)[0]["test_loss"]
    assert losses[None] < 0.1
    assert losses[False] > 0.2


def test_validation_has_a_state_of_its_own(corpus):
    seen = []
    for interval in (1.0, 0.25):
        task = model(Recorded)
        trainer(val_check_interval=interval).fit(task, datamodule=streams(corpus))
        seen.append(task.seen)
    assert seen[0] == seen[1]


@pytest.mark.parametrize("window", [1, 3, 64])
@pytest.mark.parametrize("size", [1, 2])
def test_evaluation_does_not_depend_on_the_window(corpus, window, size):
    task = model()
    trainer().fit(task, datamodule=streams(corpus))
    found = [
        trainer().test(task, datamodule=streams(corpus, eval_window=steps, test_batch_size=1), verbose=False)[0]
        for steps in (7, window)
    ]
    assert found[0] == pytest.approx(found[1], abs=1e-5)
    assert found[0]["test_perplexity"] == pytest.approx(math.exp(found[0]["test_loss"]), rel=1e-5)
    assert found[0]["test_word_perplexity"] == pytest.approx(found[0]["test_perplexity"], rel=1e-5)


def test_units_are_those_of_the_tokenizer_in_use(corpus):
    data, other = streams(corpus, tokenizer="character"), streams(corpus)
    for each in (data, other):
        each.setup("fit")
    assert data.units("validation") != other.units("validation")
    data.schema = other.schema
    data.setup("fit")
    assert data.units("validation") == other.units("validation")


def test_fractions_of_a_stream_are_its_last_texts(corpus):
    lines = (corpus / "train.txt").read_text().splitlines()
    data = streams(corpus, validation=None, test=None, validation_fraction=0.2, test_fraction=0.1)
    parts = {split: [example["text"] for example in data.examples(split)] for split in ("train", "validation", "test")}
    assert parts["train"] + parts["validation"] + parts["test"] == lines
    assert [len(part) for part in parts.values()] == [43, 12, 6]


@pytest.mark.parametrize(
    ("data", "sizes"),
    [
        (functools.partial(sentences, batch_size=3), [3] * 5 + [2]),
        (functools.partial(sentences, max_tokens=14), None),
        (streams, [17]),
    ],
    ids=["rows", "tokens", "default"],
)
def test_predictions_come_in_batches_of_the_size_asked_for(corpus, data, sizes):
    data = data(corpus, predict=str(corpus / "test.txt"))
    data.setup("fit")
    data.setup("predict")
    found = list(data.predict_dataloader())
    assert sorted(row for batch in found for row in batch.rows.tolist()) == list(range(17))
    if sizes is None:
        assert all(batch.inputs["ids"].numel() <= 14 for batch in found)
    else:
        assert sorted(batch.size for batch in found) == sorted(sizes)


def test_units_do_not_depend_on_the_tokenizer(corpus):
    text = (corpus / "test.txt").read_text()
    task = model()
    run = trainer()
    run.fit(task, datamodule=streams(corpus, tokenizer="character"))
    found = run.test(task, datamodule=streams(corpus, tokenizer="character"), verbose=False)[0]
    nats = found["test_loss"] * len(text)
    assert found["test_bits_per_character"] == pytest.approx(nats / math.log(2) / len(text), rel=1e-5)
    words = len(text.split()) + text.count("\n")
    assert found["test_word_perplexity"] == pytest.approx(math.exp(nats / words), rel=1e-4)


def test_accumulation_and_clipping_and_schedules_equal_a_loop_by_hand(corpus):
    task = model(
        optimizer=functools.partial(torch.optim.SGD, lr=2.0),
        lr_scheduler=functools.partial(torch.optim.lr_scheduler.StepLR, step_size=1, gamma=0.5),
    )
    run = trainer(accumulate_grad_batches=2, gradient_clip_val=0.1, max_epochs=3)
    run.fit(task, datamodule=streams(corpus, random_windows=True))
    assert run.optimizers[0].param_groups[0]["lr"] == pytest.approx(2.0 * 0.5**3)

    data = streams(corpus, random_windows=True)
    data.setup("fit")
    by_hand = model()
    by_hand._build(data.schema)
    network, loader = by_hand.network, data.train_dataloader()
    for epoch in range(3):
        loader.sampler.set_epoch(epoch)
        batches, state = list(loader), None
        for pair in (batches[n : n + 2] for n in range(0, len(batches), 2)):
            network.zero_grad()
            for batch in pair:
                outputs, state = network.encode(batch, state)
                (network.loss(outputs, batch) / 2).backward()
                state = tuple(part.detach() for part in state)
            torch.nn.utils.clip_grad_norm_(network.parameters(), 0.1)
            rate = 2.0 * 0.5**epoch * sum(batch.length_ratio for batch in pair) / len(pair)
            with torch.no_grad():
                for parameter in network.parameters():
                    parameter -= rate * parameter.grad
    for found, wanted in zip(task.network.parameters(), network.parameters(), strict=True):
        torch.testing.assert_close(found, wanted, atol=1e-5, rtol=1e-4)


class Watching(torch.optim.SGD):
    """Keeps the learning rate of each step."""

    def step(self, closure=None):
        result = super().step(closure)
        self.rates = [*getattr(self, "rates", []), self.param_groups[0]["lr"]]
        return result


def test_the_learning_rate_follows_the_window(corpus):
    task = model(optimizer=functools.partial(Watching, lr=0.5))
    run = trainer()
    data = streams(corpus, random_windows=True)
    run.fit(task, datamodule=data)
    sampler = data.sampler("train")
    assert run.optimizers[0].rates == pytest.approx([0.5 * window.length / 7 for window in sampler])
    assert run.optimizers[0].param_groups[0]["lr"] == 0.5


@pytest.mark.parametrize("batch", [3, 4, 5])
def test_the_learning_rate_of_a_step_that_was_broken_off_is_that_of_its_windows(corpus, batch, tmp_path):
    class Failing(Recorded):
        def on_after_backward(self):
            super().on_after_backward()
            if len(self.seen) == batch + 1:
                raise KeyError("killed")

    rates = []
    for task in (Failing, Recorded):
        run = trainer(accumulate_grad_batches=3)
        task = model(task, optimizer=functools.partial(Watching, lr=0.5))
        if isinstance(task, Failing):
            with pytest.raises(KeyError, match="killed"):
                run.fit(task, datamodule=streams(corpus, random_windows=True))
            run.save_checkpoint(tmp_path / "broken_off.ckpt")
            run, task = trainer(accumulate_grad_batches=3), model(Recorded, optimizer=task.optimizer_factory)
            run.fit(task, datamodule=streams(corpus, random_windows=True), ckpt_path=tmp_path / "broken_off.ckpt")
        else:
            run.fit(task, datamodule=streams(corpus, random_windows=True))
        rates.append(run.optimizers[0].rates)
    assert len(rates[1]) - len(rates[0]) == 1  # the first step was taken before
    if batch == 3:  # no batch of the step waits: all three are read again
        assert rates[0] == pytest.approx(rates[1][1:])
    windows = [window.length / 7 for window in streams_of(corpus)]
    steps = [windows[first : first + 3] for first in range(0, len(windows), 3)]
    assert rates[1] == pytest.approx([0.5 * sum(step) / len(step) for step in steps])


def streams_of(corpus):
    data = streams(corpus, random_windows=True)
    data.setup("fit")
    return data.sampler("train")


def test_sentences_are_scored_as_they_are_predicted(corpus, tmp_path):
    task = model()
    run = trainer(max_epochs=2)
    run.fit(task, datamodule=sentences(corpus))
    scores = run.test(task, datamodule=sentences(corpus), verbose=False)[0]
    run.save_checkpoint(tmp_path / "model.ckpt")
    texts = (corpus / "test.txt").read_text().splitlines()
    scored = seqmodels.load(tmp_path / "model.ckpt").score(texts)
    log_probs = [value for score in scored for value in score.log_probs]
    assert -sum(log_probs) / len(log_probs) == pytest.approx(scores["test_loss"], abs=1e-5)
    data = sentences(corpus, predict=str(corpus / "test.txt"))
    data.schema = task.schema
    predicted = [row for batch in trainer().predict(task, datamodule=data) for row in batch]
    for row in predicted:
        assert row["log_probability"] == pytest.approx(sum(scored[row["row"]].log_probs), abs=1e-4)


def test_it_learns(corpus, tmp_path):
    path = tmp_path / "rhyme.txt"
    path.write_text("one dog sat on a mat\nthe cat ran far\n" * 40)
    data = ContiguousStreams("text", train=str(path), validation=str(path), batch_size=2, window=11)
    run = trainer(max_epochs=30)
    run.fit(model(optimizer=functools.partial(torch.optim.Adam, lr=0.03)), datamodule=data)
    assert float(run.callback_metrics["val_perplexity"]) < 1.1


@pytest.mark.parametrize("window", [3, 50])
def test_a_neural_cache_remembers_over_windows(corpus, window):
    task = model(neural_cache={"size": 7, "flatness": 2.0, "weight": 0.3})
    plain = model()
    scores = {}
    for name, one in (("cache", task), ("plain", plain)):
        data = streams(corpus, eval_window=window)
        trainer().fit(one, datamodule=data)
        scores[name] = trainer().test(one, datamodule=data, verbose=False)[0]["test_loss"]
    data = streams(corpus, eval_window=1_000)
    data.schema = task.schema
    data.setup("test")
    (batch,) = data.test_dataloader()
    with torch.no_grad():
        outputs, _ = task.network.encode(batch)
        expected, _ = task.neural_cache.log_probs(
            outputs, batch.targets, task.network.log_probs(outputs, batch), batch.lengths
        )
    assert scores["cache"] == pytest.approx(-float(expected.sum() / batch.lengths.sum()), abs=1e-5)
    assert scores["cache"] != pytest.approx(scores["plain"], abs=1e-3)


def test_dynamic_evaluation_learns_from_what_it_has_scored_and_forgets_it(corpus, tmp_path):
    path = tmp_path / "again.txt"
    path.write_text("one dog sat on a mat\n" * 60)
    task = model(dynamic_evaluation={"lr": 1.0})
    trainer().fit(task, datamodule=streams(corpus))
    before = [parameter.detach().clone() for parameter in task.parameters()]
    data = streams(corpus, test=str(path))
    dynamic = trainer().test(task, datamodule=data, verbose=False)[0]["test_loss"]
    assert all((one == other).all() for one, other in zip(before, task.parameters(), strict=True))
    task.dynamic_evaluation = None
    assert dynamic < trainer().test(task, datamodule=data, verbose=False)[0]["test_loss"] - 0.3
    first = trainer(limit_test_batches=1)
    still = first.test(task, datamodule=data, verbose=False)[0]["test_loss"]
    task.dynamic_evaluation = model(dynamic_evaluation={"lr": 1.0}).dynamic_evaluation
    assert first.test(task, datamodule=data, verbose=False)[0]["test_loss"] == pytest.approx(
        still
    )  # scored, then learnt


def test_a_test_that_was_broken_off_leaves_nothing_learnt_to_the_next(corpus):
    task = model(dynamic_evaluation={"lr": 1.0})
    trainer().fit(task, datamodule=streams(corpus))
    whole = trainer().test(task, datamodule=streams(corpus), verbose=False)[0]

    class Breaking(Callback):
        def on_test_batch_end(self, *arguments):
            raise KeyError("broken")

    with pytest.raises(KeyError, match="broken"):
        trainer(callbacks=[Breaking()]).test(task, datamodule=streams(corpus), verbose=False)
    assert trainer().test(task, datamodule=streams(corpus), verbose=False)[0] == whole


# What cannot be


def test_state_of_other_processes_is_not_taken(corpus, whole, tmp_path):
    checkpoint = torch.load(whole[0] / "step=4.ckpt", weights_only=True)
    checkpoint["carried_state"] *= 2
    torch.save(checkpoint, tmp_path / "two.ckpt")
    with pytest.warns(UserWarning, match="is that of 2 processes, whose streams are not those of 1; it begins anew"):
        fit(corpus, tmp_path, ckpt_path=tmp_path / "two.ckpt")


def test_an_encoder_that_reads_the_future_is_refused(corpus):
    task = model(encoder={"name": "lstm", "hidden_size": 7, "bidirectional": True})
    with pytest.raises(ConfigurationError, match="reads the future, so it would see the very step"):
        trainer().fit(task, datamodule=streams(corpus))


def test_state_over_shuffled_rows_is_refused(corpus):
    with pytest.raises(ConfigurationError, match="SeparateSequences shuffles rows that have nothing to do with one"):
        trainer().fit(model(stateful=True), datamodule=sentences(corpus))


def test_labelled_data_is_refused(toy):
    with pytest.raises(ConfigurationError, match="needs data: ContiguousStreams or SeparateSequences, got Labelled"):
        trainer().fit(model(), datamodule=toy.data("label"))


def test_positions_are_refused(corpus):
    with pytest.raises(ConfigurationError, match=r"leave out embedder\.positions"):
        trainer().fit(model(embedder={"positions": 5}), datamodule=streams(corpus))


@pytest.mark.parametrize("name", ["window", "eval_window", "batch_size", "eval_batch_size", "test_batch_size"])
def test_sizes_of_zero_are_refused(corpus, name):
    with pytest.raises(ConfigurationError, match=f"{name} must be at least 1, got 0"):
        streams(corpus, **{name: 0})


def test_two_ways_to_vary_the_cuts_are_refused(corpus):
    with pytest.raises(ConfigurationError, match="exclude each other"):
        streams(corpus, random_windows=True, reset_at_documents=True)


def test_a_corpus_shorter_than_its_windows_is_refused(corpus):
    with pytest.raises(DataError, match=r"train.txt: its \d+ tokens are too few for 50 streams of at least one window"):
        trainer().fit(model(), datamodule=streams(corpus, batch_size=50))


def test_an_empty_file_is_refused(corpus, tmp_path):
    (tmp_path / "empty.txt").write_text("")
    with pytest.raises(DataError, match=r"empty\.txt: holds no examples"):
        trainer().fit(model(), datamodule=streams(corpus, train=str(tmp_path / "empty.txt")))


def test_features_are_no_streams():
    with pytest.raises(ConfigurationError, match="use data: SeparateSequences"):
        ContiguousStreams("uea")


def test_a_neural_cache_of_features_is_refused(tmp_path):
    (tmp_path / "notes.json").write_text('{"train": [[[60, 64], [62]], [[60], [64, 67]]]}')
    data = SeparateSequences("piano_roll", train={"path": str(tmp_path / "notes.json"), "split": "train"})
    task = model(embedder={"feature_dim": 7}, neural_cache={"size": 5, "flatness": 0.3, "weight": 0.1})
    with pytest.raises(ConfigurationError, match="neural_cache needs tokens, but the steps of this data are features"):
        trainer().fit(task, datamodule=data)


def test_another_vocabulary_than_the_checkpoints_is_refused(corpus, whole):
    task = model(Recorded, **ADVANCED)
    data = streams(corpus, tokenizer={"name": "word", "min_count": 20})
    with pytest.raises(seqmodels.CheckpointError, match="trained with another vocabulary"):
        trainer().fit(task, datamodule=data, ckpt_path=whole[0] / "step=4.ckpt")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"activation_penalty": -1.0}, "activation_penalty must be at least 0"),
        ({"neural_cache": {"sise": 5}}, r"neural_cache has no argument 'sise' .did you mean 'size'"),
        ({"neural_cache": {"size": 5}}, "neural_cache needs the arguments flatness, weight"),
        ({"dynamic_evaluation": {"lr": 0}}, "lr and clip must be positive, got 0"),
    ],
)
def test_arguments_out_of_range_are_refused(arguments, message):
    with pytest.raises(ConfigurationError, match=message):
        model(**arguments)
