"""A language model writes: as step by step as whole, the same in a batch as alone, and stops where it is told."""

from __future__ import annotations

import functools
import itertools
import json

import pytest
import tokenizers
import torch
from lightning.pytorch import Trainer

import seqmodels
from seqmodels import ContiguousStreams, LanguageModel
from seqmodels.data.schema import Schema, TokenInput
from seqmodels.data.tokenizer_training import train_tokenizer
from seqmodels.data.tokenizers import Tokenizer
from seqmodels.errors import ConfigurationError, DataError
from seqmodels.inference.writing import Writer, WritingOptions
from seqmodels.networks import LanguageModelingNetwork

TEXT = "one dog sat on a mat\nthe cat ran far away\nwho saw the mat of the dog ?\n" * 12


ACCENTS = "trois éléphants à la forêt\nzwölf Bären übten ☂ süß\n" * 12


def train(folder, name, tokenizer, epochs, text=TEXT, reader="text"):
    path = folder / "text.txt"
    path.write_text(text, encoding="utf-8")
    torch.manual_seed(0)
    task = LanguageModel(
        {"name": "gru", "hidden_size": 29},
        {"embedding_dim": 13},
        optimizer=functools.partial(torch.optim.Adam, lr=0.02),
    )
    data = ContiguousStreams(reader, train=str(path), tokenizer=tokenizer, batch_size=3, window=17)
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


@pytest.fixture(scope="module")
def accents(tmp_path_factory):
    """A model of single bytes, most of which are a part of a character only."""
    return train(tmp_path_factory.mktemp("accents"), "accents", {"name": "bpe", "vocab_size": 260}, 6, ACCENTS)


@pytest.fixture(scope="module")
def wordwise(tmp_path_factory):
    """A model of words that were parted before, not all where white space or punctuation would part them."""
    lines = [json.dumps({"tokens": line.split()}) for line in ("the U.S. economy grew", "the dog isn't here") * 12]
    reader = {"name": "jsonl", "tokens": "tokens"}
    return train(tmp_path_factory.mktemp("wordwise"), "wordwise", "word", 40, "\n".join(lines), reader)


def model_of(tokenizer, end_bias=0.0):
    """An untrained model of a tokenizer's tokens, which likes to end as much as it is told."""
    torch.manual_seed(1)
    schema = Schema(TokenInput(tokenizer), None, None, None, framed=False)
    network = LanguageModelingNetwork(schema, encoder={"name": "gru", "hidden_size": 7}, embedder="embedding").eval()
    with torch.no_grad():
        network.head.bias[network.end_id] += end_bias
    return network


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


@pytest.mark.parametrize("model", ["words", "characters", "pieces", "accents"])
@pytest.mark.parametrize(
    "settings",
    [
        {"temperature": 0},
        {"seed": 5},
        {"stop": ["at", "w"]},
        {"stop": [" s", "a"]},
        {"stop_at_end": False},
        {"stop_at_end": False, "stop": ["zebra", "a w"], "max_length": 301},
        {"stop_at_end": False, "max_length": 301},
        {"beam_size": 2},
    ],
    ids=str,
)
def test_a_stream_is_the_whole_piece_by_piece(model, settings, request):
    model = request.getfixturevalue(model)
    settings = {"max_length": 23, **settings}
    for prompt in ("the", "one dog", ""):
        found = list(model.stream(prompt, **settings))
        assert "".join(found) == model.generate([prompt], **settings)[0]
        assert "" not in found


def test_a_character_comes_whole(accents):
    for seed in range(9):
        found = list(accents.stream("zw", max_length=200, stop_at_end=False, seed=seed))
        assert "".join(found) == accents.generate(["zw"], max_length=200, stop_at_end=False, seed=seed)[0]
        assert any("ö" in piece or "é" in piece for piece in found)


@pytest.mark.parametrize("options", [{}, {"stop": ["zebra"]}], ids=["plainly", "with a stop"])
def test_what_has_been_shown_is_not_decoded_again(words, monkeypatch, options):
    decoded = []
    original = Tokenizer.decode
    monkeypatch.setattr(Tokenizer, "decode", lambda self, ids: decoded.append(len(ids)) or original(self, ids))
    assert len("".join(words.stream("the " * 500, max_length=400, stop_at_end=False, **options)).split()) > 200
    assert max(decoded) < 200


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


def test_several_samples_of_a_prompt_read_it_once(words, monkeypatch):
    rows = []
    read = words.network.read
    monkeypatch.setattr(words.network, "read", lambda ids, lengths: rows.append(len(ids)) or read(ids, lengths))
    texts = words.generate(["the", "who saw", "the", "the"], temperature=20.0, seed=1)
    assert rows == [2]
    assert len(set(texts)) == 4
    assert texts == [
        words.generate([prompt], temperature=20.0, seed=1, first=n)[0]
        for n, prompt in enumerate(["the", "who saw", "the", "the"])
    ]


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


def test_a_stop_may_begin_with_the_space_before_a_word(words, monkeypatch):
    steps = []
    step = words.network.step
    monkeypatch.setattr(words.network, "step", lambda *given: steps.append(1) or step(*given))
    assert words.generate(["the cat"], temperature=0, stop=[" ran"]) == [""]
    assert len(steps) == 1


def test_a_stop_is_looked_for_in_the_text_as_it_is_shown(tmp_path):
    text = "The dog sat\nThere the dog ran\nSo the cat saw The Hague\n" * 12
    model = train(tmp_path, "cased", {"name": "word", "split": "whitespace", "truecase": True}, 25, text)
    whole = model.generate(["So"], temperature=0)
    assert whole == [" the cat saw The Hague"]
    assert model.generate(["So"], temperature=0, stop=["The"]) == [" the cat saw "]


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


@pytest.mark.parametrize("beam_size", [1, 3])
def test_blocked_repetition_sees_the_prompt(beam_size):
    network = model_of(train_tokenizer("word", texts=TEXT.splitlines()), end_bias=-5.0)
    for prompt in ("one dog sat one", "the mat of the dog", "saw the dog saw one"):
        for size in (1, 2):
            options = WritingOptions(no_repeat_ngram=size, beam_size=beam_size, max_length=7)
            (text,) = Writer(network, options).texts([prompt])
            written = [*prompt.split(), *text.split()]
            ngrams = [tuple(written[n : n + size]) for n in range(len(written) - size + 1)]
            new = len(prompt.split()) - size + 1
            assert not [ngram for n, ngram in enumerate(ngrams[new:], new) if ngram in ngrams[:n]]


@pytest.mark.parametrize("settings", [{"no_repeat_ngram": 1}, {"repetition_penalty": 3.0}], ids=str)
def test_the_end_before_a_prompt_is_no_repetition(settings):
    network = model_of(train_tokenizer("word", texts=TEXT.splitlines()), end_bias=4.0)
    plainly = Writer(network, WritingOptions(seed=1)).texts(["the"] * 50)
    ruled = Writer(network, WritingOptions(seed=1, **settings)).texts(["the"] * 50)
    assert sum(not text for text in plainly) > 30
    assert sum(not text for text in ruled) >= sum(not text for text in plainly) - 5


def test_a_repetition_penalty_is_that_of_the_tokens_before():
    network = model_of(train_tokenizer("word", texts=TEXT.splitlines()))
    (plainly,) = Writer(network, WritingOptions(temperature=0, max_length=1)).texts(["one dog sat"])
    with torch.no_grad():
        network.head.bias += 9.0  # all logits are positive, so that the penalty divides them
    word = plainly.strip()
    (ruled,) = Writer(network, WritingOptions(temperature=0, max_length=1, repetition_penalty=2.0)).texts(
        [f"{word} {word}"]
    )
    assert ruled.strip() != word
    (again,) = Writer(network, WritingOptions(temperature=0, max_length=1)).texts(["one dog sat"])
    assert again == plainly


def test_unknown_words_are_written_where_they_are_allowed():
    network = model_of(train_tokenizer("word", texts=TEXT.splitlines()))
    with torch.no_grad():
        network.head.bias[network.schema.tokens.tokenizer.unk_id] += 50.0
    options = {"max_length": 3, "min_length": 3}
    assert "<unk>" not in Writer(network, WritingOptions(**options)).texts(["the"])[0]
    assert Writer(network, WritingOptions(allow_unknown=True, **options)).texts(["the"]) == [" <unk> <unk> <unk>"]


def test_words_of_a_prompt_are_those_of_training(wordwise):
    assert wordwise.score(["the U.S. economy grew"])[0].tokens == ["the", "U.S.", "economy", "grew", "</s>"]
    assert wordwise.generate(["the U.S.", "the dog isn't"], temperature=0) == [" economy grew", " here"]
    with pytest.raises(DataError, match=r"prompt 2: not in the model's vocabulary of \d+: 'U\.K\.'; choose"):
        wordwise.generate(["the", "the U.K. economy"])


# Pretrained tokenizers


def test_texts_are_not_framed_by_a_pretrained_tokenizer(tiny_bert, tmp_path, monkeypatch):
    pytest.importorskip("transformers")
    model = train(
        tmp_path, "bert", {"name": "pretrained", "path": str(tiny_bert)}, 1, "the film was great\nso fine\n" * 12
    )
    assert model.score(["the film was"])[0].tokens == ["the", "film", "was", "[SEP]"]
    read, found = model.network.read, []
    monkeypatch.setattr(model.network, "read", lambda ids, lengths: found.append((ids, lengths)) or read(ids, lengths))
    model.generate(["the film", ""], max_length=2)
    (ids, lengths), tokenizer = found[0], model.network.schema.tokens.tokenizer
    assert tokenizer.tokens(ids[0, : lengths[0]].tolist()) == ["[SEP]", "the"]
    assert lengths.tolist() == [2, 0]


def test_a_token_that_is_unknown_and_the_end_may_be_written():
    """As in the vocabulary of GPT-2, where one token stands for the beginning, the end and what is unknown."""
    backend = tokenizers.Tokenizer(tokenizers.models.WordLevel({"<|endoftext|>": 0, "a": 1, "b": 2}, "<|endoftext|>"))
    backend.pre_tokenizer = tokenizers.pre_tokenizers.WhitespaceSplit()
    tokenizer = Tokenizer(backend, "pretrained", pad_id=0, unk_id=0, bos_id=0, eos_id=0)
    writer = Writer(model_of(tokenizer, end_bias=30.0), WritingOptions(temperature=0, max_length=5))
    assert writer.texts(["a b", ""]) == ["", ""]


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
        ({"temperature": 0, "top_k": 5}, "top_k has no meaning with temperature 0, which draws nothing"),
        ({"temperature": 0, "top_p": 0.5}, "top_p has no meaning with temperature 0, which draws nothing"),
        ({"min_length": 3, "stop_at_end": False}, "min_length has no meaning with stop_at_end: false, .* got 3; leave"),
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
