"""Translations of a batch against the enumeration of everything, in other batches, and under every option."""

from __future__ import annotations

import itertools
import math
from typing import Any

import pytest
import torch
from translators import SOURCES, network_of, schema_of

from seqmodels.data.encoded import collate
from seqmodels.errors import ConfigurationError
from seqmodels.generation import GenerationOptions, generate
from seqmodels.inference.translating import Translation, translate_batch
from seqmodels.inference.translation_ensemble import TranslationEnsemble
from seqmodels.inference.translation_options import TranslationOptions

TEXTS = ["one dog sat", "the", "", "the man ran the man ran", "one zebra slept"]


@pytest.fixture(scope="module")
def network():
    return network_of(schema_of())


def batch_of(network, texts=TEXTS):
    return collate(network.columns([{"text": text} for text in texts]), range(len(texts)))


def assert_same(found: list[Translation], expected: list[Translation]) -> None:
    assert [(one.text, one.tokens, one.alignment) for one in found] == [
        (one.text, one.tokens, one.alignment) for one in expected
    ]
    assert [one.score for one in found] == pytest.approx([one.score for one in expected], abs=1e-4)


def test_a_beam_of_full_width_finds_the_best_of_all():
    network = network_of(schema_of(targets=["ein hund", "ein mann"]))
    batch = batch_of(network, ["one dog sat", "the man"])
    tokenizer = network.target_tokenizer
    words = [tokenizer.id_of(word) for word in ("ein", "hund", "mann")]
    options = TranslationOptions(beam_size=64, n_best=4, max_length=3, length_penalty=0.7, patience=None)
    found = translate_batch(network, batch, options)
    ended = [[*body, network.end_id] for size in range(3) for body in itertools.product(words, repeat=size)]
    for row, translations in enumerate(found):
        state, keys = network.read(batch.select(torch.tensor([row])))
        scored = []
        for ids in [*ended, *map(list, itertools.product(words, repeat=3))]:
            last, after, total = torch.tensor([network.begin_id]), state, 0.0
            for id in ids:
                logits, after = network.step(last, after, keys)
                total += logits.double().log_softmax(1)[0, id].item()
                last = torch.tensor([id])
            scored.append((total / ((5 + len(ids)) / 6) ** 0.7, tokenizer.tokens(ids)))
        scored.sort(reverse=True)
        assert [one.tokens for one in translations] == [tokens for _, tokens in scored[:4]]
        assert [one.score for one in translations] == pytest.approx([score for score, _ in scored[:4]], abs=1e-4)


def test_a_beam_of_one_is_greedy(network):
    batch = batch_of(network, [text for text in TEXTS if text])
    state, keys = network.read(batch)
    tokenizer = network.target_tokenizer
    greedy = generate(
        lambda ids, state: network.step(ids, state, keys),
        state,
        torch.full((batch.size,), network.begin_id),
        GenerationOptions(temperature=0, forbidden_ids=(tokenizer.pad_id, tokenizer.unk_id, tokenizer.bos_id)),
        eos_id=network.end_id,
        max_lengths=[2 * length + 10 for length in batch.lengths.tolist()],
    )
    found = translate_batch(network, batch, TranslationOptions(beam_size=1))
    assert [row[0].tokens for row in found] == [tokenizer.tokens(one.ids) for one in greedy]
    assert [row[0].log_probability for row in found] == pytest.approx([one.score for one in greedy], abs=1e-4)


OPTIONS: dict[str, dict[str, Any]] = {
    "plain": {},
    "n best": {"n_best": 4},
    "length penalty": {"n_best": 2, "length_penalty": 0.3},
    "coverage penalty": {"n_best": 2, "coverage_penalty": 0.4},
    "no patience": {"patience": None},
    "minimal length": {"min_length": 4},
    "maximal length": {"max_length": 3},
    "n-grams": {"no_repeat_ngram": 2},
    "groups": {"beam_size": 6, "groups": 3, "n_best": 3, "diversity": 0.9},
    "unknown": {"allow_unknown": True},
    "replaced": {"replace_unknown": True},
    "drawn": {"beam_size": 1, "temperature": 1.0, "seed": 5},
    "drawn, cut": {"beam_size": 1, "temperature": 0.7, "top_k": 5, "top_p": 0.9},
}


@pytest.mark.parametrize("name", OPTIONS)
def test_a_batch_of_one_gives_what_a_batch_of_many_does(network, name):
    batch = batch_of(network)
    options = TranslationOptions(**OPTIONS[name])
    together = translate_batch(network, batch, options, alignments=True)
    for row in range(batch.size):
        alone = translate_batch(network, batch.select(torch.tensor([row])), options, alignments=True)
        assert_same(alone[0], together[row])


@pytest.mark.parametrize("name", OPTIONS)
def test_the_best_come_first_and_no_two_are_the_same(network, name):
    options = TranslationOptions(**OPTIONS[name])
    for row, length in zip(
        translate_batch(network, batch_of(network), options), batch_of(network).lengths.tolist(), strict=True
    ):
        scores = [one.score for one in row]
        assert scores == sorted(scores, reverse=True)
        assert len({tuple(one.tokens) for one in row}) == len(row) <= options.n_best
        assert length == 0 or options.groups > 1 or len(row) == options.n_best
        for one in row:
            assert len(one.tokens) == len(one.log_probs) <= options.longest(length)
            assert one.finished == (length == 0 or one.tokens[-1] == "</s>")
            assert (
                options.draws
                or options.coverage_penalty
                or length == 0
                or one.score
                == pytest.approx(one.log_probability / ((5 + len(one.tokens)) / 6) ** options.length_penalty, abs=1e-6)
            )


def test_attention_is_where_each_token_looked(network):
    batch = batch_of(network)
    lengths = batch.lengths.tolist()
    for row, (best, *_) in enumerate(translate_batch(network, batch, attention=True)):
        assert best.attention is not None
        assert best.attention.shape == (len(best.tokens), lengths[row])
        assert best.attention.sum(1) == pytest.approx(torch.ones(len(best.tokens)), abs=1e-5)
        assert best.alignment == (best.attention.argmax(1).tolist() if lengths[row] else [])
        if lengths[row]:
            ids = [network.target_tokenizer.id_of(token) for token in best.tokens]
            alone = batch.select(torch.tensor([row]))
            alone.targets, alone.target_lengths = torch.tensor([ids]), torch.tensor([len(ids)])
            with torch.no_grad():
                looked = network.teach(alone).attention
            assert best.attention == pytest.approx(looked[0, :, : lengths[row]], abs=1e-5)
    assert translate_batch(network, batch)[0][0].attention is None
    assert translate_batch(network, batch)[0][0].alignment is None


def test_an_empty_source_has_an_empty_translation_unless_something_is_asked_for(network):
    batch = batch_of(network, ["", ""])
    ein = network.target_tokenizer.id_of("ein")
    for options in OPTIONS.values():
        for row in translate_batch(network, batch, TranslationOptions(**options)):
            assert [(one.text, one.tokens, one.log_probability, one.finished) for one in row] == [("", [], 0.0, True)]
    forced, free = translate_batch(network, batch, prefixes=[[ein], []], attention=True)
    assert forced[0].tokens[0] == "ein"
    assert forced[0].alignment == []
    assert free[0].text == ""
    assert translate_batch(network, batch_of(network, ["x"]).select(torch.tensor([], dtype=torch.int64))) == []


def test_an_unknown_word_is_replaced_by_the_source_word_that_was_looked_at(network):
    batch = batch_of(network, ["one zebra slept", "the man sat"])
    unknown = network.target_tokenizer.unk_id
    words = [["one", "zebra", "slept"], ["the", "man", "sat"]]
    for source_words in (words, None):
        found = translate_batch(
            network,
            batch,
            TranslationOptions(replace_unknown=True, min_length=2),
            prefixes=[[unknown, unknown], [unknown]],
            source_words=source_words,
            alignments=True,
        )
        for row, (best, *_) in enumerate(found):
            read = words[row] if source_words else best.source_tokens
            assert best.tokens[0] == "<unk>"
            assert best.alignment is not None
            assert best.text.split()[0] == read[best.alignment[0]]


def test_what_is_left_out_of_words_stays_out(network):
    for row in translate_batch(network, batch_of(network), TranslationOptions(n_best=5)):
        assert not {"<unk>", "<pad>", "<s>"} & {token for one in row for token in one.tokens}


def test_an_ensemble_of_one_or_of_equals_is_the_network(network):
    batch = batch_of(network)
    alone = translate_batch(network, batch, TranslationOptions(n_best=3), attention=True)
    for number in (1, 3):
        ensemble = TranslationEnsemble([network] * number)
        found = translate_batch(ensemble, batch, TranslationOptions(n_best=3), attention=True)
        assert [[one.tokens for one in row] for row in found] == [[one.tokens for one in row] for row in alone]
        for one, other in zip(found[0], alone[0], strict=True):
            assert one.log_probs == pytest.approx(other.log_probs, abs=1e-5)
            assert one.attention == pytest.approx(other.attention, abs=1e-5)


def test_an_ensemble_averages_probabilities(network):
    other = network_of(network.schema, seed=5)
    batch = batch_of(network)
    (best, *_), *_ = translate_batch(TranslationEnsemble([network, other]), batch, attention=True)
    id = network.target_tokenizer.id_of(best.tokens[0])
    first = torch.full((batch.size,), network.begin_id)
    probabilities, looked = [], []
    for one in (network, other):
        state, keys = one.read(batch)
        with torch.no_grad():
            logits, state = one.step(first, state, keys)
        probabilities.append(logits.softmax(1)[0, id].item())
        looked.append(one.decoder.read_attention(state)[0, :3])
    assert math.exp(best.log_probs[0]) == pytest.approx(sum(probabilities) / 2, abs=1e-5)
    assert best.attention[0] == pytest.approx(sum(looked) / 2, abs=1e-5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"targets": ["ein hund", "ein rabe"]}, r"the target vocabulary of b differs from that of a: 7 tokens"),
        ({"targets": ["ein hund", "ein rabe"]}, r"it lacks 'der', 'lief', 'mann' and 2 more and has 'rabe' beside it"),
        ({"sources": ["one raven"]}, r"the source vocabulary of b differs from that of a.*has 'raven' beside it"),
        ({"targets": ["mann der ein hund lief sass schlief"]}, r"the same tokens with other ids"),
        ({"tokenizer": {"name": "word", "lowercase": True}}, r"another way of cutting a text"),
    ],
)
def test_networks_of_other_vocabularies_do_not_write_together(network, arguments, message):
    with pytest.raises(ConfigurationError, match=message):
        TranslationEnsemble([network, network_of(schema_of(**arguments))], ["a", "b"])


def test_an_ensemble_needs_a_network():
    with pytest.raises(ConfigurationError, match="at least one network, got none"):
        TranslationEnsemble([])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"beam_size": 0}, r"beam_size must be at least 1, got 0"),
        ({"n_best": 6}, r"n_best must be in \[1, beam_size=5\], got 6"),
        ({"length_penalty": -1}, r"length_penalty must be 0 or above"),
        ({"min_length": 4, "max_length": 3}, r"min_length must be in \[0, max_length=3\]"),
        ({"patience": 0}, r"patience must be above 0"),
        ({"temperature": 0.5}, r"temperature draws tokens, which has no meaning with beam_size 5"),
        ({"top_k": 3}, r"top_k has no meaning with temperature 0.0; raise the temperature"),
        ({"top_p": 0.5}, r"top_p has no meaning with temperature 0.0"),
        ({"beam_size": 1, "temperature": 1.0, "coverage_penalty": 0.1}, r"coverage_penalty has no meaning with temp"),
        ({"beam_size": 1, "temperature": -1.0}, r"temperature must be 0"),
    ],
)
def test_options_out_of_range(options, message):
    with pytest.raises(ConfigurationError, match=message):
        TranslationOptions(**options)


def test_options_need_what_the_network_has(network):
    blind = network_of(network.schema, decoder={"layer": {"name": "gru", "hidden_size": 11}, "attention": "none"})
    batch = batch_of(blind)
    assert len(translate_batch(blind, batch)) == batch.size
    for options, arguments in (
        (TranslationOptions(coverage_penalty=0.1), {}),
        (TranslationOptions(replace_unknown=True), {}),
        (TranslationOptions(), {"attention": True}),
    ):
        with pytest.raises(ConfigurationError, match="needs attention, but the model was trained with attention: none"):
            translate_batch(blind, batch, options, **arguments)
    pieces = network_of(schema_of({"name": "bpe", "vocab_size": 270}))
    with pytest.raises(ConfigurationError, match=r"reads pieces of words \(bpe\) and writes pieces of words"):
        translate_batch(pieces, batch_of(pieces), TranslationOptions(replace_unknown=True))
    drawing = TranslationOptions(beam_size=1, temperature=1.0)
    with pytest.raises(ConfigurationError, match="must_include has no meaning where tokens are drawn"):
        translate_batch(network, batch, drawing, must_include=[[[5]]] * batch.size)
    with pytest.raises(ConfigurationError, match=r"prefixes: expected one entry for each of the 5 sources, got 1"):
        translate_batch(network, batch, prefixes=[[5]])


def test_memory_does_not_grow_with_vocabulary_times_length(network):
    """No tensor that a search makes has more numbers than a step's logits and a batch's attention have."""
    from torch.utils._python_dispatch import TorchDispatchMode

    class Largest(TorchDispatchMode):
        size = 0

        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            made = function(*args, **(kwargs or {}))
            for tensor in made if isinstance(made, tuple | list) else (made,):
                self.size = max(self.size, tensor.numel() if isinstance(tensor, torch.Tensor) else 0)
            return made

    sizes = []
    for longest in (8, 64):
        batch = batch_of(network, SOURCES[:7])
        with Largest() as largest:
            options = TranslationOptions(min_length=longest, max_length=longest)
            translate_batch(network, batch, options)
        sizes.append(largest.size)
    rows, vocabulary = 7 * 5, network.target_tokenizer.vocab_size
    assert sizes[0] <= 2 * rows * max(vocabulary, 3 * 11)  # the gates of the decoder are wider than the vocabulary
    assert sizes[1] <= max(sizes[0], rows * 64)
