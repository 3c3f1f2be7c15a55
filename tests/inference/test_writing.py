"""A language model writes: as step by step as whole, the same in a batch as alone, and stops where it is told."""

from __future__ import annotations

import functools
import itertools

import pytest
import torch
from lightning.pytorch import Trainer

import seqmodels
from seqmodels import ContiguousStreams, LanguageModel
from seqmodels.errors import ConfigurationError, DataError
from seqmodels.inference.writing import WritingOptions

TEXT = "one dog sat on a mat\nthe cat ran far away\nwho saw the mat of the dog ?\n" * 12


def train(folder, name, tokenizer, epochs):
    path = folder / "text.txt"
    path.write_text(TEXT, encoding="utf-8")
    torch.manual_seed(0)
    task = LanguageModel(
        {"name": "gru", "hidden_size": 29},
        {"embedding_dim": 13},
        optimizer=functools.partial(torch.optim.Adam, lr=0.02),
    )
    data = ContiguousStreams("text", train=str(path), tokenizer=tokenizer, batch_size=3, window=17)
    trainer = Trainer(
        max_epochs=epochs,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(task, datamodule=data)
    trainer.save_checkpoint(folder / f"{name}.ckpt")
    return seqmodels.load(folder / f"{name}.ckpt")


@pytest.fixture(scope="module")
def words(tmp_path_factory):
    return train(tmp_path_factory.mktemp("words"), "words", {"name": "word", "split": "whitespace"}, 25)


@pytest.fixture(scope="module")
def characters(tmp_path_factory):
    return train(tmp_path_factory.mktemp("characters"), "characters", "character", 20)


@pytest.fixture(scope="module")
def pieces(tmp_path_factory):
    return train(tmp_path_factory.mktemp("pieces"), "pieces", {"name": "bpe", "vocab_size": 290}, 12)


def test_goes_on_with_what_it_learnt(words):
    assert words.generate(["one dog", "the cat ran", "who saw the"], temperature=0) == [
        " sat on a mat",
        " far away",
        " mat of the dog ?",
    ]


def test_an_empty_prompt_begins_a_text(words):
    (text,) = words.generate([""], temperature=0)
    assert text in TEXT.splitlines()


@pytest.mark.parametrize("model", ["words", "characters", "pieces"])
@pytest.mark.parametrize("settings", [{"temperature": 0}, {"top_p": 0.9, "seed": 3}, {"beam_size": 3}], ids=str)
def test_a_batch_writes_what_each_alone_does(model, settings, request):
    model = request.getfixturevalue(model)
    prompts = ["the", "", "one dog sat on a", "who saw", "the cat"]
    together = model.generate(prompts, max_length=19, **settings)
    alone = [model.generate([prompt], first=n, max_length=19, **settings)[0] for n, prompt in enumerate(prompts)]
    assert together == alone
    small = seqmodels.Predictor(model.network, model.record, batch_size=2)
    assert small.generate(prompts, max_length=19, **settings) == together


@pytest.mark.parametrize("model", ["words", "characters", "pieces"])
@pytest.mark.parametrize(
    "settings",
    [
        {"temperature": 0},
        {"seed": 5},
        {"stop": ["at", "w"]},
        {"stop": [" s", "a"]},
        {"stop_at_end": False},
        {"beam_size": 2},
    ],
    ids=str,
)
def test_a_stream_is_the_whole_piece_by_piece(model, settings, request):
    model = request.getfixturevalue(model)
    for prompt in ("the", "one dog", ""):
        found = list(model.stream(prompt, max_length=23, **settings))
        assert "".join(found) == model.generate([prompt], max_length=23, **settings)[0]
        assert "" not in found


def test_costs_a_step_a_token_whatever_the_prompt(words, monkeypatch):
    calls = {"step": 0, "read": 0}
    for name in calls:
        original = getattr(words.network, name)

        def count(*arguments, name=name, original=original):
            calls[name] += 1
            return original(*arguments)

        monkeypatch.setattr(words.network, name, count)
    words.generate(["one dog sat on a mat", "the"], max_length=7, min_length=7)
    assert calls == {"step": 7, "read": 1}


def test_reading_a_prompt_at_once_equals_step_by_step(words):
    network = words.network
    ids = torch.tensor([[3, 5, 7, 6]])
    state = network.encoder.initial_state(1)
    for column in ids.unbind(1):
        logits, state = network.step(column, state)
    read = network.read(ids[:, :-1], torch.tensor([3]))
    at_once, after = network.step(ids[:, -1], read)
    torch.testing.assert_close(at_once, logits)
    torch.testing.assert_close(after, state)


def test_stops_before_the_text_it_is_told(words, characters):
    assert words.generate(["one"], temperature=0, stop=[" on"]) == [" dog sat"]
    assert characters.generate(["one"], temperature=0, stop=["sat", "dog"]) == [" "]


def test_goes_on_beyond_the_end_of_a_text(words):
    (text,) = words.generate(["one dog"], temperature=0, stop_at_end=False, max_length=30)
    first, *others = text.split("\n")
    assert first == " sat on a mat"
    assert all(line in TEXT.splitlines() for line in others[:-1])
    assert len(others) >= 3


def test_lengths_and_blocked_repetition(words):
    (text,) = words.generate(["the"], max_length=31, min_length=31, no_repeat_ngram=2, seed=2)
    tokens = ["the", *text.split()]
    assert len(tokens) == 32
    pairs = list(itertools.pairwise(tokens))
    assert len(set(pairs)) == len(pairs)


def test_never_writes_special_tokens(words):
    texts = words.generate(["the"] * 64, temperature=50.0, max_length=13)
    assert not any("<" in text for text in texts)


def test_the_seed_decides(words):
    one, again, other = (words.generate(["the"] * 5, temperature=20.0, seed=seed) for seed in (1, 1, 2))
    assert one == again != other
    assert len(set(one)) > 1


def test_scores_rank_texts(words):
    likely, unlikely = words.score(["one dog sat on a mat", "mat a on sat dog one"])
    assert likely.log_probability > unlikely.log_probability
    assert likely.tokens == ["one", "dog", "sat", "on", "a", "mat", "</s>"]
    assert likely.perplexity < 2 < unlikely.perplexity
    (beam,) = words.generate(["one dog"], beam_size=4)
    assert beam == " sat on a mat"


# What cannot be


def test_unknown_words_of_a_prompt_are_named(words, characters):
    with pytest.raises(DataError, match=r"prompt 2: not in the model's vocabulary of \d+: 'zebra', 'yak'; choose"):
        words.generate(["the dog", "the zebra saw one yak"])
    with pytest.raises(DataError, match=r"not in the model's vocabulary of .*: 'X'"):
        characters.generate(["X"])
    assert words.generate(["the <unk> saw"], max_length=1, seed=1)


def test_a_single_text_is_refused(words):
    with pytest.raises(ConfigurationError, match=r"put them in brackets: generate\(\[...\]\)"):
        words.generate("the")
    with pytest.raises(DataError, match="prompt 1: expected a text, got int"):
        words.generate([5])
    with pytest.raises(ConfigurationError, match=r"put it in brackets: score\(\[...\]\)"):
        words.score("the")
    with pytest.raises(ConfigurationError, match="expected a list of prompts, got NoneType"):
        words.generate(None)


def test_labels_are_not_written(checkpoints):
    with pytest.raises(ConfigurationError, match="generate needs a language model, but this model gives labels"):
        seqmodels.load(checkpoints["label"]).generate(["the"])
    with pytest.raises(ConfigurationError, match="score needs a language model"):
        seqmodels.load(checkpoints["label"]).score(["the"])


def test_labels_are_not_predicted_by_a_language_model(words):
    with pytest.raises(ConfigurationError, match="of a language model ask score or generate"):
        words.predict(["the"])


def test_misspelt_settings_are_named(words):
    with pytest.raises(ConfigurationError, match=r"no setting 'temprature' .did you mean 'temperature'"):
        words.generate(["the"], temprature=0)
    with pytest.raises(ConfigurationError, match="give options or single settings, not both"):
        words.generate(["the"], WritingOptions(), seed=1)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"stop": "abc"}, "stop must be a list of texts"),
        ({"stop": [""]}, "stop: an empty text is everywhere"),
        ({"stop": [1]}, "generate: stop must be a list of texts, got .1."),
        ({"temperature": "hot"}, "generate: temperature must be a number, got 'hot'"),
        ({"max_length": 2.5}, "generate: max_length must be a whole number, got 2.5"),
        ({"top_k": True}, "generate: top_k must be a whole number, got True"),
        ({"seed": None}, "generate: seed needs a value, got None"),
        ({"temperature": -1.0}, "temperature must be 0"),
        ({"top_k": 0}, "top_k must be at least 1"),
        ({"top_p": 0.0}, r"top_p must be in \(0, 1\]"),
        ({"max_length": 0}, "max_length must be at least 1"),
        ({"min_length": 8, "max_length": 7}, "min_length must be in"),
        ({"beam_size": 0}, "beam_size must be at least 1"),
        ({"beam_size": 3, "top_k": 5}, "top_k has no meaning with beam_size: 3"),
        ({"beam_size": 3, "stop": ["x"]}, "stop has no meaning with beam_size: 3"),
        ({"length_penalty": 0.6}, "length_penalty has no meaning without a beam, got 0.6 with beam_size: 1"),
    ],
)
def test_settings_out_of_range(settings, message):
    with pytest.raises(ConfigurationError, match=message):
        WritingOptions(**settings)


def test_a_saved_folder_writes_the_same(words, tmp_path):
    seqmodels.save_pretrained(words, tmp_path / "model")
    loaded = seqmodels.from_pretrained(tmp_path / "model")
    assert loaded.generate(["the"], seed=3) == words.generate(["the"], seed=3)
    assert "score" in (tmp_path / "model" / "README.md").read_text()


def test_a_language_model_has_no_class_probabilities(words):
    with pytest.raises(ConfigurationError, match="of a language model ask score"):
        words.predict_proba(["the"])
