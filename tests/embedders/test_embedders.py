"""Every embedder and character encoder keeps the contract; the default one's parts do what they say."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from seqmodels.data.schema import CharacterInput, FeatureInput, Schema, TokenInput
from seqmodels.data.tokenizer_training import train_tokenizer
from seqmodels.embedders import (
    CharacterEncoder,
    Embedder,
    Embedding,
    character_encoder_registry,
    create_embedder,
    embedder_registry,
    list_character_encoders,
    list_embedders,
)
from seqmodels.errors import ConfigurationError, DataError

BATCH, TIME, SIZE = 3, 5, 2
LENGTHS = torch.tensor([5, 2, 3])
WORDS = [["the", "cat", "sat", "on", "internationalisation"], ["Cat", "sat"], ["a", "ж", "cat"]]
TOKENIZER = train_tokenizer("word", words=WORDS[:2])
VOCABULARY = tuple("aceinoshtlrz")


def make_schema(parts: str) -> Schema:
    return Schema(
        tokens=TokenInput(TOKENIZER) if "tokens" in parts else None,
        characters=CharacterInput(VOCABULARY) if "characters" in parts else None,
        features=FeatureInput(SIZE, mean=(3.0, -1.0), std=(2.0, 0.5)) if "features" in parts else None,
        target=None,
    )


def make_inputs(words=WORDS, extra_time: int = 0, extra_characters: int = 0) -> dict[str, torch.Tensor]:
    """Builds inputs of every kind, padded by more than needed where asked."""
    time = max(map(len, words)) + extra_time
    known = sorted({word for row in words for word in row})
    longest = max(map(len, known)) + extra_characters
    ids = torch.zeros(len(words), time, dtype=torch.int64)
    forms = torch.zeros(len(words), time, dtype=torch.int64)
    features = torch.full((len(words), time, SIZE), 777.0)
    for row, tokens in enumerate(words):
        for step, word in enumerate(tokens):
            ids[row, step] = TOKENIZER.encode_words([[word]])[0][0][0]
            forms[row, step] = known.index(word)
            features[row, step] = torch.tensor([len(word), ord(word[0]) % 7])
    spelled = [[VOCABULARY.index(c) + 2 if c in VOCABULARY else 1 for c in word] for word in known]
    return {
        "ids": ids,
        "forms": forms,
        "characters": torch.tensor([row + [0] * (longest - len(row)) for row in spelled]),
        "character_lengths": torch.tensor([len(row) for row in spelled]),
        "features": features,
    }


CASES = [
    ("embedding", "tokens", {}),
    ("embedding", "tokens characters", {"characters": "recurrent"}),
    ("embedding", "tokens characters", {"characters": {"name": "cnn", "widths": [1, 2, 5], "filters": 7}}),
    ("embedding", "features", {}),
    ("embedding", "features", {"feature_dim": 7}),
    ("embedding", "tokens", {"positions": 2, "position_dim": 3}),
    ("embedding", "tokens characters features", {"feature_dim": 3, "embedding_dim": 11}),
]
every_case = pytest.mark.parametrize(("name", "parts", "arguments"), CASES, ids=str)


def build(name: str, parts: str, arguments: dict) -> Embedder:
    torch.manual_seed(0)
    return create_embedder({"name": name, **arguments}, make_schema(parts))


def test_every_embedder_is_tested():
    own = {name for name in list_embedders() if embedder_registry.get(name).__module__.startswith("seqmodels.")}
    assert {name for name, _, _ in CASES} == own


@every_case
def test_shape(name, parts, arguments):
    embedder = build(name, parts, arguments)
    assert embedder(make_inputs(), LENGTHS).shape == (BATCH, TIME, embedder.output_size)


@every_case
def test_padding_changes_nothing(name, parts, arguments):
    embedder = build(name, parts, arguments)
    tight = embedder(make_inputs(), LENGTHS)
    loose = embedder(make_inputs(extra_time=3, extra_characters=13), LENGTHS)
    for row, length in enumerate(LENGTHS):
        torch.testing.assert_close(loose[row, :length], tight[row, :length])


@every_case
def test_neighbours_change_nothing(name, parts, arguments):
    embedder = build(name, parts, arguments)
    together = embedder(make_inputs(), LENGTHS)
    for row, length in enumerate(LENGTHS):
        alone = embedder(make_inputs(WORDS[row : row + 1]), LENGTHS[row : row + 1])
        torch.testing.assert_close(alone[0], together[row, :length])


@every_case
def test_gradients_reach_every_parameter(name, parts, arguments):
    embedder = build(name, parts, arguments)
    outputs = embedder(make_inputs(), LENGTHS)
    if outputs.requires_grad:  # features alone have no parameters
        (outputs * torch.randn_like(outputs)).sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in embedder.parameters())


@every_case
def test_state_dict_round_trip(name, parts, arguments):
    embedder, other = build(name, parts, arguments), build(name, parts, arguments)
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.add_(1)
    other.load_state_dict(embedder.state_dict())
    assert torch.equal(other(make_inputs(), LENGTHS), embedder(make_inputs(), LENGTHS))


@every_case
@pytest.mark.parametrize("lengths", [[0, 2, 0], [0, 0, 0]])
def test_rows_of_no_length(name, parts, arguments, lengths):
    words = [row[:length] for row, length in zip(WORDS, lengths, strict=True)]
    if any(words):
        inputs = make_inputs(words, extra_time=2)
    else:
        inputs = {"ids": torch.zeros(3, 2, dtype=torch.int64), "forms": torch.zeros(3, 2, dtype=torch.int64)}
        inputs["characters"] = torch.zeros(0, 0, dtype=torch.int64)
        inputs["character_lengths"] = torch.zeros(0, dtype=torch.int64)
        inputs["features"] = torch.zeros(3, 2, SIZE)
    embedder = build(name, parts, arguments)
    outputs = embedder(inputs, torch.tensor(lengths))
    assert outputs.shape == (3, inputs["ids"].size(1), embedder.output_size)
    assert outputs.isfinite().all()


@every_case
def test_bf16_autocast(name, parts, arguments):
    embedder = build(name, parts, arguments)
    exact = embedder(make_inputs(), LENGTHS)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        torch.testing.assert_close(embedder(make_inputs(), LENGTHS).float(), exact, atol=0.05, rtol=0.05)


@pytest.mark.parametrize("name", list_character_encoders())
def test_splitting_off_long_words_changes_nothing(name):
    encoder = character_encoder_registry.create(name, len(VOCABULARY) + 2)
    inputs = make_inputs()
    characters, lengths = inputs["characters"], inputs["character_lengths"]
    assert lengths.min() <= 8 < lengths.max()
    whole = encoder.encode(encoder.embedding(characters), lengths)
    torch.testing.assert_close(encoder(characters, lengths), whole)
    for form in range(len(lengths)):
        alone = encoder(characters[form : form + 1, : lengths[form]], lengths[form : form + 1])
        torch.testing.assert_close(alone[0], whole[form])


def test_characters_see_what_the_table_does_not_know():
    embedder = build("embedding", "tokens characters", {"embedding_dim": 7})
    outputs = embedder(make_inputs([["sos", "choc"]]), torch.tensor([2]))
    assert torch.equal(outputs[0, 0, :7], outputs[0, 1, :7])
    assert not torch.allclose(outputs[0, 0, 7:], outputs[0, 1, 7:])


def test_features_are_normalised():
    outputs = build("embedding", "features", {})(make_inputs(), LENGTHS)
    raw = make_inputs()["features"][:1]
    torch.testing.assert_close(outputs[:1], (raw - torch.tensor([3.0, -1.0])) / torch.tensor([2.0, 0.5]))


def test_steps_have_vectors_of_their_own_and_later_ones_share_the_last():
    embedder = Embedding(make_schema("tokens"), embedding_dim=5, positions=3, position_dim=7)
    vectors = embedder(make_inputs(), LENGTHS)[:, :, 5:]
    assert torch.equal(vectors[0, :3], embedder.positions.weight)
    assert torch.equal(vectors[1, 2], vectors[1, 3])


def test_padding_of_the_table_is_zero():
    assert build("embedding", "tokens", {}).token_weights()[TOKENIZER.pad_id].eq(0).all()


def test_a_pad_that_is_also_the_end_is_trained():
    tokenizer = train_tokenizer("word", words=WORDS)
    tokenizer.eos_id = tokenizer.pad_id
    weights = Embedding(Schema(TokenInput(tokenizer), None, None, None)).token_weights()
    assert weights[tokenizer.pad_id].ne(0).all()


def test_token_weights_are_the_table_itself():
    embedder = build("embedding", "tokens", {"embedding_dim": 7})
    with torch.no_grad():
        embedder.token_weights().fill_(3)
    assert embedder(make_inputs(), LENGTHS).eq(3).all()
    assert build("embedding", "features", {}).token_weights() is None


def test_word_dropout_is_for_training_and_real_words_only():
    torch.manual_seed(0)
    schema = make_schema("tokens")
    embedder = Embedding(schema, embedding_dim=1, word_dropout=0.3)
    with torch.no_grad():
        embedder.token_weights().copy_(torch.arange(TOKENIZER.vocab_size).unsqueeze(1))
    ids = torch.full((101, 103), 5)
    lengths = torch.arange(101)
    real = torch.arange(103) < lengths.unsqueeze(1)
    ids[~real] = TOKENIZER.pad_id
    outputs = embedder({"ids": ids}, lengths).squeeze(2)
    assert set(outputs[real].tolist()) == {5, TOKENIZER.unk_id}
    assert (outputs[real] == TOKENIZER.unk_id).float().mean() == pytest.approx(0.3, abs=0.03)
    assert outputs[~real].eq(TOKENIZER.pad_id).all()
    embedder.eval()
    assert embedder({"ids": ids}, lengths).squeeze(2).equal(ids.float())


@pytest.mark.parametrize("locked", [False, True])
def test_dropout(locked):
    torch.manual_seed(0)
    embedder = Embedding(make_schema("tokens"), embedding_dim=101, dropout=0.4, locked_dropout=locked)
    with torch.no_grad():
        embedder.token_weights().fill_(1)
    dropped = embedder(make_inputs(), LENGTHS) == 0
    assert dropped.float().mean() == pytest.approx(0.4, abs=0.1)
    assert torch.equal(dropped, dropped[:, :1].expand_as(dropped)) == locked
    assert embedder.eval()(make_inputs(), LENGTHS).eq(1).all()


def test_embedding_dropout_drops_a_word_everywhere():
    torch.manual_seed(0)
    embedder = Embedding(make_schema("tokens"), embedding_dim=7, embedding_dropout=0.5)
    ids = torch.arange(4, TOKENIZER.vocab_size).repeat(11, 1)
    outputs = embedder({"ids": ids}, torch.full((11,), ids.size(1)))
    dropped = outputs.eq(0).all(2)
    assert dropped.any()
    assert not dropped.all()
    assert torch.equal(dropped, dropped[:1].expand_as(dropped))


def write_vectors(path, dim: int = 3) -> str:
    path.write_text(
        "".join(f"{word} {' '.join([str(n)] * dim)}\n" for n, word in enumerate(("cat", "sat", "other"), 1))
    )
    return str(path)


def test_vectors_fill_the_table(tmp_path):
    path = write_vectors(tmp_path / "v.txt")
    embedder = Embedding(make_schema("tokens"), embedding_dim=3, vectors=path)
    before = embedder.token_weights().detach().clone()
    assert embedder.load_vectors(path) == {"found": 3, "vocabulary": TOKENIZER.vocab_size - 4}
    after = embedder.token_weights()
    for word, value in (("cat", 1), ("Cat", 1), ("sat", 2)):
        assert after[TOKENIZER.id_of(word)].tolist() == [value] * 3
        before[TOKENIZER.id_of(word)] = value
    assert torch.equal(after, before)
    assert after.requires_grad


def test_building_reads_no_file():
    embedder = Embedding(make_schema("tokens"), vectors="/not/there.txt", freeze_vectors=True)
    assert embedder.vectors == "/not/there.txt"
    assert not embedder.token_weights().requires_grad


def test_vectors_of_another_size_are_refused(tmp_path):
    path = write_vectors(tmp_path / "v.txt", dim=5)
    with pytest.raises(ConfigurationError, match=r"embedding_dim is 3, the vectors in .*v\.txt have 5 features"):
        Embedding(make_schema("tokens"), embedding_dim=3).load_vectors(path)


def test_vectors_of_no_known_word_are_refused(tmp_path):
    (tmp_path / "v.txt").write_text("chat 1 2 3\n")
    with pytest.raises(DataError, match="holds none of the 6 words"):
        Embedding(make_schema("tokens"), embedding_dim=3).load_vectors(str(tmp_path / "v.txt"))


def test_vectors_without_a_table_are_refused():
    with pytest.raises(ConfigurationError, match=r"Embedding has no table of words to fill with the vectors of x\.txt"):
        build("embedding", "features", {}).load_vectors("x.txt")


@pytest.mark.parametrize(
    ("parts", "arguments", "message"),
    [
        ("tokens", {"embedding_dim": 0}, "embedding_dim must be a positive integer, got 0"),
        ("tokens", {"embedding_dim": "7"}, "embedding_dim must be a whole number, got '7'"),
        ("features", {"feature_dim": -1}, "feature_dim must be a positive integer"),
        ("tokens", {"positions": 0}, "positions must be a positive integer, got 0"),
        ("tokens", {"dropout": 1.0}, "embedding: dropout must be in"),
        ("tokens", {"word_dropout": -0.1}, "embedding: word_dropout must be in"),
        ("tokens", {"embedding_dropout": 2}, "embedding: embedding_dropout must be in"),
        ("features", {"vectors": "x.txt"}, "vectors needs data made of words"),
        ("tokens", {"freeze_vectors": True}, "freeze_vectors: true needs vectors"),
        ("tokens", {"embeding_dim": 7}, "did you mean 'embedding_dim'"),
        ("tokens characters", {"characters": "ccn"}, "unknown character encoder 'ccn'.*did you mean 'cnn'"),
        ("tokens characters", {"characters": {"name": "cnn", "widths": []}}, "expected positive widths and filters"),
        ("tokens characters", {"characters": {"name": "cnn", "embedding_dim": 0}}, "embedding_dim must be a positive"),
        (
            "tokens characters",
            {"characters": {"name": "recurrent", "encoder": "lstmm"}},
            "character encoder 'recurrent': encoder: unknown encoder 'lstmm'",
        ),
    ],
)
def test_options_that_do_not_fit_are_refused(parts, arguments, message):
    with pytest.raises(ConfigurationError, match=message):
        build("embedding", parts, arguments)


def test_a_character_encoder_of_the_users_own():
    class Mean(CharacterEncoder):
        def __init__(self, vocab_size: int) -> None:
            super().__init__(vocab_size, 7, embedding_dim=7)

        def encode(self, embedded, lengths):
            return embedded.sum(1) / lengths.clamp(min=1).unsqueeze(1)

    encoder = Mean(len(VOCABULARY) + 2)
    assert isinstance(encoder.embedding, nn.Embedding)
    inputs = make_inputs()
    assert encoder(inputs["characters"], inputs["character_lengths"]).shape == (len(inputs["characters"]), 7)
