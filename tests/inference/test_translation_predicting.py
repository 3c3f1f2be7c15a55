"""A trained translator as a user has it: translations, n best, prefixes, constraints, scores, ensembles, folders."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch
from translators import SOURCES, TARGETS, network_of, schema_of

import seqmodels
from seqmodels.data.schema import TokenInput
from seqmodels.data.tokenizer_training import train_tokenizer
from seqmodels.errors import CheckpointError, ConfigurationError, DataError
from seqmodels.inference.translation_options import TranslationOptions

TEXTS = ["the man ran", "", "one dog", "the dog slept", "one"]


@pytest.fixture(scope="module")
def words(translators):
    return seqmodels.load(translators["words"])


@pytest.fixture(scope="module")
def pieces(translators):
    return seqmodels.load(translators["pieces"])


@pytest.mark.parametrize("model", ["words", "pieces"])
def test_translates_what_it_learnt(model, request):
    model = request.getfixturevalue(model)
    assert model.translate(SOURCES) == TARGETS
    assert model.predict(SOURCES) == TARGETS
    assert [result["text"] for result in model.results(SOURCES)] == TARGETS
    assert model.translate([]) == []


@pytest.mark.parametrize(
    "settings", [{}, {"beam_size": 1}, {"beam_size": 1, "temperature": 2.0, "seed": 3}, {"n_best": 3}], ids=str
)
def test_batches_and_order_change_nothing(words, settings):
    small = seqmodels.Predictor(words.network, words.record, batch_size=2)
    together = [[one.text for one in row] for row in words.translate_n_best(TEXTS, **settings)]
    assert [[one.text for one in row] for row in small.translate_n_best(TEXTS, **settings)] == together
    alone = [words.translate_n_best([text], first=row, **settings)[0] for row, text in enumerate(TEXTS)]
    assert [[one.text for one in row] for row in alone] == together
    assert together[1] == [""]


@pytest.mark.parametrize("model", ["words", "pieces"])
def test_of_white_space_there_is_nothing_to_translate(model, request):
    model = request.getfixturevalue(model)
    assert model.translate(["", "  ", "\n", "\u3000"]) == [""] * 4
    assert model.translate_n_best(["  "])[0][0].log_probability == 0


def test_a_pretrained_tokenizer_makes_something_of_nothing_but_it_is_not_translated(tiny_bert):
    source = train_tokenizer({"name": "pretrained", "path": str(tiny_bert)}, texts=SOURCES)
    schema = replace(schema_of(), tokens=TokenInput(source))
    assert len(schema.tokens.tokenizer.encode_texts([""])[0]) == 2
    model = seqmodels.Predictor(network_of(schema), {})
    assert model.translate(["", "the cat"])[0] == model.translate([" "])[0] == ""
    assert model.translate(["", "the cat"])[1]
    assert model.translate([""], prefixes=[TARGETS[0]])[0].startswith(TARGETS[0])


def test_a_phrase_may_repeat_what_is_longer_than_the_sequences_forbidden(words):
    assert "hund hund" in words.translate(["one dog"], must_include=[["hund hund"]], no_repeat_ngram=2)[0]


def test_scores_are_those_of_the_translations_found(words):
    found = words.translate_n_best(SOURCES, n_best=3)
    pairs = [(source, one) for source, row in zip(SOURCES, found, strict=True) for one in row]
    scores = words.score_translations([source for source, _ in pairs], [one.text for _, one in pairs])
    for score, (_, one) in zip(scores, pairs, strict=True):
        assert score.tokens == one.tokens
        assert score.log_probs == pytest.approx(one.log_probs, abs=1e-4)
        assert score.log_probability == pytest.approx(one.log_probability, abs=1e-4)
    good, bad = words.score_translations(["one dog sat"] * 2, ["ein hund sass", "der mann lief"])
    assert good.log_probability > bad.log_probability + 3
    assert words.score_translations([], []) == []


@pytest.mark.parametrize("model", ["words", "pieces"])
def test_a_translation_begins_with_its_prefix(model, request):
    model = request.getfixturevalue(model)
    found = model.translate(["one dog sat", "the man ran", ""], prefixes=["der", "", "ein"])
    assert found[0].startswith("der")
    assert found[1] == "der mann lief"
    assert found[2].startswith("ein")
    for best, *_ in model.translate_n_best(["one dog sat"], prefixes=["der mann lief"], max_length=40):
        assert best.text.startswith("der mann lief")
    drawn = model.translate(["one dog sat"], prefixes=["der"], beam_size=1, temperature=1.0)
    assert drawn[0].startswith("der")


@pytest.mark.parametrize("model", ["words", "pieces"])
def test_a_translation_includes_what_it_must(model, request):
    model = request.getfixturevalue(model)
    found = model.translate(["one dog sat", "the man ran"], must_include=[["mann", "lief"], []], beam_size=8)
    assert {"mann", "lief"} <= set(found[0].split())
    assert found[1] == "der mann lief"


def test_replaces_a_word_that_neither_side_knows(words):
    source = "one dog zzz"
    best = words.translate_n_best(
        [source], prefixes=["ein hund"], alignments=True, replace_unknown=True, min_length=3, n_best=5
    )[0]
    for one in best:
        for token, place, word in zip(one.tokens, one.alignment, one.text.split(), strict=False):
            assert token != "<unk>" or word == source.split()[place]


def test_an_ensemble_of_one_is_itself_and_of_two_translates(translators):
    alone = seqmodels.load(translators["words"])
    one = seqmodels.load_ensemble([translators["words"]])
    two = seqmodels.load_ensemble([translators["words"], translators["other words"]]).to("cpu")
    assert one.translate(TEXTS) == alone.translate(TEXTS)
    assert two.translate(SOURCES) == TARGETS
    score, other = (
        seqmodels.load(translators[name]).score_translations(SOURCES[:1], TARGETS[:1])[0].log_probs
        for name in ("words", "other words")
    )
    together = two.score_translations(SOURCES[:1], TARGETS[:1])[0].log_probs
    expected = torch.tensor([score, other]).exp().mean(0).log().tolist()
    assert together == pytest.approx(expected, abs=1e-5)


def test_an_ensemble_needs_translators_of_one_vocabulary(translators, checkpoints, tmp_path):
    with pytest.raises(ConfigurationError, match=r"vocabulary of .*pieces\.ckpt differs from that of .*words\.ckpt"):
        seqmodels.load_ensemble([translators["words"], translators["pieces"]])
    with pytest.raises(ConfigurationError, match=r"expected a translator, but this model gives labels; use predict"):
        seqmodels.load_ensemble([checkpoints["label"]])
    for paths in ([], "words.ckpt"):
        with pytest.raises(ConfigurationError, match="load_ensemble: expected a list of checkpoints"):
            seqmodels.load_ensemble(paths)
    with pytest.raises(CheckpointError, match="no such checkpoint"):
        seqmodels.load_ensemble([tmp_path / "missing.ckpt"])
    two = seqmodels.load_ensemble([translators["words"], translators["other words"]])
    with pytest.raises(ConfigurationError, match="an ensemble is several models: save each by itself"):
        seqmodels.save_pretrained(two, tmp_path / "model")


@pytest.mark.parametrize("kind", ["words", "pieces"])
def test_a_saved_folder_translates_the_same(translators, kind, tmp_path):
    model = seqmodels.load(translators[kind])
    seqmodels.save_pretrained(model, tmp_path)
    names = {"config.json", "model.safetensors", "README.md", "tokenizer.json", "target_tokenizer.json"}
    assert {file.name for file in tmp_path.iterdir()} == names
    assert "model.translate(" in (tmp_path / "README.md").read_text()
    again = seqmodels.from_pretrained(tmp_path)
    assert again.schema == model.schema
    assert again.translate(TEXTS) == model.translate(TEXTS)
    (tmp_path / "target_tokenizer.json").unlink()
    with pytest.raises(CheckpointError, match=r"damaged, or not a folder of seqmodels.*target_tokenizer\.json"):
        seqmodels.from_pretrained(tmp_path)


def test_what_is_shared_is_saved_once_and_stays_shared(tmp_path):
    from safetensors import safe_open

    shared = schema_of(sources=SOURCES + TARGETS)
    schema = seqmodels.data.schema.Schema(shared.tokens, None, None, None, target_tokens=shared.tokens)
    arguments = {"share_embeddings": True, "tie_weights": True}
    network = network_of(schema, **arguments)
    spec = {
        "name": "translation",
        "encoder": {"name": "gru", "hidden_size": 7, "bidirectional": True},
        "embedder": {"embedding_dim": 5},
        "decoder": {"layer": {"name": "gru", "hidden_size": 11}},
        **arguments,
    }
    record = {"format": 1, "network": spec, "schema": schema.to_record(), "model": {}}
    model = seqmodels.Predictor(network, record)
    seqmodels.save_pretrained(model, tmp_path)
    assert json.loads((tmp_path / "config.json").read_text())["schema"]["target_tokens"] == "shared"
    assert not (tmp_path / "target_tokenizer.json").exists()
    with safe_open(tmp_path / "model.safetensors", "pt") as file:
        tables = [key for key in file.keys() if file.get_tensor(key).shape == (schema.tokens.tokenizer.vocab_size, 5)]  # noqa: SIM118
    assert len(tables) == 1
    again = seqmodels.load(tmp_path)
    assert again.schema.shares_vocabulary
    assert again.network.target_embedder is again.network.embedder
    assert again.translate(TEXTS) == model.translate(TEXTS)


def test_a_source_of_ten_thousand_words(words):
    network = network_of(words.schema)
    model = seqmodels.Predictor(network, words.record)
    long = " ".join(["one dog sat on"] * 2500)
    found = model.translate_n_best([long, "one dog", long], max_length=5, alignments=True)
    assert [len(row[0].source_tokens) for row in found] == [10_000, 2, 10_000]
    assert found[0][0].tokens == found[2][0].tokens


WRONG = {
    "generate": lambda model: model.generate(["one"]),
    "score": lambda model: model.score(["one"]),
    "tag": lambda model: model.tag(["one"]),
    "predict_proba": lambda model: model.predict_proba(["one"]),
}


@pytest.mark.parametrize("call", WRONG)
def test_a_translator_does_nothing_else(words, call):
    with pytest.raises(ConfigurationError, match=rf"{call} needs .*this model translates; use (translate|score_trans)"):
        WRONG[call](words)


@pytest.mark.parametrize("call", ["translate", "translate_n_best", "score_translations"])
def test_others_do_not_translate(checkpoints, call):
    model = seqmodels.load(checkpoints["tags"])
    arguments = (["one"],) if call == "score_translations" else ()
    with pytest.raises(ConfigurationError, match=f"{call} needs a translator, but this model gives labels"):
        getattr(model, call)(["one"], *arguments)


MISTAKES = [
    ({"sources": "one"}, ConfigurationError, r"put it in brackets: translate\(\[...\]\)"),
    ({"sources": [3]}, DataError, r"input 1: expected a text"),
    ({"beam": 3}, ConfigurationError, r"translate has no setting 'beam' \(did you mean 'beam_size'\?\)"),
    ({"beam_size": 0}, ConfigurationError, r"beam_size must be at least 1, got 0"),
    ({"n_best": 2}, ConfigurationError, r"for the 2 best use translate_n_best"),
    ({"options": TranslationOptions(), "beam_size": 2}, ConfigurationError, r"give options or single settings"),
    ({"prefixes": "ein"}, ConfigurationError, r"prefixes: expected texts, one for each of the 1 inputs, got the text"),
    ({"prefixes": ["ein", "der"]}, ConfigurationError, r"prefixes: expected texts.*, got 2"),
    ({"prefixes": [3]}, DataError, r"prefixes, input 1: expected a text, got int"),
    ({"prefixes": ["ein rabe"]}, DataError, r"prefixes, input 1: not in the target vocabulary of 11: 'rabe'"),
    ({"prefixes": ["ein hund"], "max_length": 1}, ConfigurationError, r"2 tokens are needed and max_length is 1"),
    (
        {"must_include": ["ein"]},
        ConfigurationError,
        r"expected a list of words, got 'ein'; put it in brackets",
    ),
    ({"must_include": [None]}, ConfigurationError, r"expected a list of words, got None; an empty list asks for none"),
    (
        {"must_include": [["hund hund"]], "no_repeat_ngram": 1},
        ConfigurationError,
        r"input 1: 'hund hund' cannot be written, .* repeats a sequence of 1 tokens, which no_repeat_ngram: 1 forbids",
    ),
    (
        {"sources": ["one", "a \udce9"]},
        DataError,
        r"text 2: expected Unicode, found the half character '\\udce9' at",
    ),
    ({"sources": [{"text": None}]}, DataError, r"example 1: expected a value of 'text', found none"),
    ({"must_include": [[""]]}, ConfigurationError, r"must_include, input 1: expected words, got ''"),
    ({"must_include": [["rabe"]]}, DataError, r"must_include, input 1: not in the target vocabulary of 11: 'rabe'"),
    ({"must_include": [["ein", "hund"]], "max_length": 2}, ConfigurationError, r"3 tokens are needed and max_length"),
    (
        {"must_include": [["ein"]], "beam_size": 1, "temperature": 1.0},
        ConfigurationError,
        r"must_include has no meaning where tokens are drawn",
    ),
]


@pytest.mark.parametrize(("arguments", "error", "message"), MISTAKES, ids=[message for *_, message in MISTAKES])
def test_mistakes(words, arguments, error, message):
    with pytest.raises(error, match=message):
        words.translate(**{"sources": ["one"], **arguments})


def test_scores_need_a_target_for_each_source(words):
    for targets, got in ((["ein", "der"], "2"), ("ein", "the text 'ein'")):
        with pytest.raises(ConfigurationError, match=f"one target for each of the 1 sources, got {got}"):
            words.score_translations(["one"], targets)
