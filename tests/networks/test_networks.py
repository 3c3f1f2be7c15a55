"""Networks without Lightning: shapes, and that neither padding nor neighbours change what a row is given."""

from __future__ import annotations

import pytest
import torch

from seqmodels.data.encoded import IGNORED, collate
from seqmodels.data.schema import build_schema
from seqmodels.errors import ConfigurationError
from seqmodels.networks import ClassificationNetwork, TaggingNetwork, network_registry
from seqmodels.registry import only_registered

ROWS = ["the film was great", "awful", "", "a b a b a b a b a b a", "so dull so dull so dull so"]
TAGS = ["O", "B-PER", "I-PER", "B-LOC"]
ENCODER = {"name": "lstm", "hidden_size": 7, "bidirectional": True}
EMBEDDER = {"embedding_dim": 5}


def examples(kind):
    rows = []
    for number, text in enumerate(ROWS):
        words = text.split()
        target = {
            "label": f"class {number % 3}",
            "labels": ["x", "y", "z"][: number % 4],
            "tags": [TAGS[place % 4] for place in range(len(words))],
        }[kind]
        rows.append({"text": text, "tokens": words, kind: target})
    return rows


def schema_of(kind, tokenizer="word", characters=False):
    inputs = "tokens" if kind == "tags" else "text"
    return build_schema(examples(kind), inputs=inputs, target=kind, tokenizer=tokenizer, characters=characters)


def networks():
    for pooling in ("final", "mean", "max", "attention"):
        yield "label", {"pooling": pooling}, "word"
    yield "labels", {}, "word"
    yield "label", {}, "character"
    for crf in (False, True):
        for constrained in (False, True):
            yield "tags", {"crf": crf, "constrained": constrained}, "word"
    yield "tags", {"crf": True}, {"name": "bpe", "vocab_size": 262}
    yield "tags", {}, "character"


@pytest.mark.parametrize(("kind", "arguments", "tokenizer"), networks(), ids=str)
@pytest.mark.parametrize("characters", [False, True])
def test_a_row_is_given_the_same_alone_and_among_others(kind, arguments, tokenizer, characters):
    if characters and tokenizer != "word":
        pytest.skip("characters are of words")
    schema = schema_of(kind, tokenizer, characters)
    torch.manual_seed(0)
    name = "tagging" if kind == "tags" else "classification"
    network = network_registry.create(
        {"name": name, "encoder": ENCODER, "embedder": EMBEDDER, **arguments}, schema
    ).eval()
    encoded = schema.encode(examples(kind))
    together = collate(encoded, range(5))
    logits = network(together)
    decoded = network.decode(logits, together)
    results = network.results(logits, together)
    for row in range(5):
        batch = collate(encoded, [row])
        alone = network(batch)
        length = slice(0, int(batch.tag_lengths()[0])) if kind == "tags" else slice(None)
        torch.testing.assert_close(alone[0][length], logits[row][length], atol=1e-5, rtol=1e-5)
        if kind == "tags":
            assert torch.equal(network.decode(alone, batch)[0][length], decoded[row][length])
        else:
            assert torch.equal(network.decode(alone, batch)[0], decoded[row])
        key = {"label": "label", "labels": "labels", "tags": "tags"}[kind]
        assert network.results(alone, batch)[0][key] == results[row][key]
    order = torch.tensor([3, 1, 4, 0, 2])
    shuffled = together.select(order)
    torch.testing.assert_close(network(shuffled), logits[order], atol=1e-5, rtol=1e-5)


def test_tags_beyond_a_row_are_ignored_and_constrained_ones_follow_the_scheme():
    schema = schema_of("tags")
    for crf in (False, True):
        torch.manual_seed(0)
        network = TaggingNetwork(schema, encoder=ENCODER, embedder=EMBEDDER, crf=crf).eval()
        batch = collate(schema.encode(examples("tags")), range(5))
        decoded = network.decode(torch.randn(5, batch.targets.size(1), 4) * 9, batch)
        assert (decoded[2] == IGNORED).all()
        for row, length in zip(decoded.tolist(), batch.tag_lengths().tolist(), strict=True):
            names = [schema.target.names[tag] for tag in row[:length]]
            assert all(tag == IGNORED for tag in row[length:])
            for before, tag in zip(["O", *names], names, strict=False):
                assert tag != "I-PER" or before in ("B-PER", "I-PER")
        probabilities = network.probabilities(network(batch), batch)
        assert probabilities.shape == (5, batch.targets.size(1), 4)


def test_gradients_reach_every_parameter():
    for kind, network_class in (("label", ClassificationNetwork), ("tags", TaggingNetwork)):
        schema = schema_of(kind, characters=True)
        network = network_class(schema, encoder=ENCODER, embedder=EMBEDDER, dropout=0.1)
        network(collate(schema.encode(examples(kind)), range(5))).square().sum().backward()
        assert all(parameter.grad is not None and parameter.grad.abs().sum() > 0 for parameter in network.parameters())


def test_a_network_needs_a_target_of_its_kind():
    with pytest.raises(ConfigurationError, match=r"classification needs one label a sequence, but the data has tags"):
        ClassificationNetwork(schema_of("tags"))
    with pytest.raises(ConfigurationError, match=r"tagging needs one tag a token, but the data has labels"):
        TaggingNetwork(schema_of("label"))
    none = build_schema(examples("label"), inputs="text", target=None)
    with pytest.raises(ConfigurationError, match=r"ClassificationNetwork needs a target, but the data has none"):
        ClassificationNetwork(none)


def test_within_the_guard_registered_classes_go_by_path_and_no_other():
    path = "seqmodels.networks.tagging.TaggingNetwork"
    with only_registered():
        assert network_registry.get(path) is TaggingNetwork
        with pytest.raises(ConfigurationError, match=r"network 'collections.Counter' is not registered"):
            network_registry.get("collections.Counter")
    with pytest.raises(ConfigurationError, match=r"network 'collections.Counter' is not a subclass of Network"):
        network_registry.get("collections.Counter")
