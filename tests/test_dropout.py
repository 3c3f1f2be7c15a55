"""What each dropout drops, and that it keeps the mean."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from seqmodels.dropout import EmbeddingDropout, LockedDropout, drop_entries, drop_words
from seqmodels.errors import ConfigurationError


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(29)


class TestLockedDropout:
    def test_drops_the_same_features_at_every_step(self) -> None:
        dropped = LockedDropout(0.3)(torch.ones(101, 5, 97))
        assert torch.equal(dropped, dropped[:, :1].expand_as(dropped))
        assert not torch.equal(dropped[0], dropped[1])
        assert dropped.unique().tolist() == pytest.approx([0, 1 / 0.7])
        assert dropped.mean().item() == pytest.approx(1, abs=0.03)

    def test_is_the_identity_outside_training(self) -> None:
        values = torch.randn(2, 3, 5)
        assert LockedDropout(0.5).eval()(values) is values
        assert LockedDropout(0.0)(values) is values


class TestEmbeddingDropout:
    def test_drops_a_word_wherever_it_stands(self) -> None:
        embedding = nn.Embedding(211, 7)
        ids = torch.randint(211, (31, 23))
        vectors = EmbeddingDropout(embedding, 0.4)(ids)
        dropped = {word: set() for word in ids.flatten().tolist()}
        for word, vector in zip(ids.flatten().tolist(), vectors.flatten(0, 1), strict=True):
            dropped[word].add(not vector.any().item())
            if vector.any():
                torch.testing.assert_close(vector, embedding.weight[word] / 0.6)
        assert all(len(fates) == 1 for fates in dropped.values())
        share = sum(True in fates for fates in dropped.values()) / len(dropped)
        assert share == pytest.approx(0.4, abs=0.1)

    def test_gives_dropped_rows_no_gradient(self) -> None:
        embedding, ids = nn.Embedding(13, 3), torch.arange(13).unsqueeze(0)
        vectors = EmbeddingDropout(embedding, 0.5)(ids)
        vectors.sum().backward()
        assert torch.equal(embedding.weight.grad.any(1), vectors[0].any(1))

    def test_is_a_plain_lookup_outside_training(self) -> None:
        embedding, ids = nn.Embedding(13, 3), torch.arange(13)
        assert torch.equal(EmbeddingDropout(embedding, 0.5).eval()(ids), embedding.weight)
        assert torch.equal(EmbeddingDropout(embedding, 0.0)(ids), embedding.weight)


class TestDropEntries:
    @pytest.mark.parametrize("probability", [0.1, 0.5, 0.85])
    def test_drops_each_entry_by_itself_and_keeps_the_mean(self, probability: float) -> None:
        weights = torch.randn(307, 401, requires_grad=True)
        dropped = drop_entries(weights, probability)
        kept = dropped != 0
        torch.testing.assert_close(dropped[kept], weights[kept] / (1 - probability), rtol=2e-4, atol=0)  # of 2 ** -15
        for share in (kept.float().mean(), *kept.float().mean(1)[::50], *kept.float().mean(0)[::50]):
            assert share.item() == pytest.approx(1 - probability, abs=0.12)
        assert kept.float().mean().item() == pytest.approx(1 - probability, abs=0.005)
        dropped.sum().backward()
        assert weights.grad is not None
        torch.testing.assert_close(weights.grad, kept / (1 - probability), rtol=2e-4, atol=0)

    def test_follows_the_seed_and_differs_from_one_call_to_the_next(self) -> None:
        weights = torch.ones(11, 13, dtype=torch.bfloat16)
        torch.manual_seed(3)
        first, second = drop_entries(weights, 0.5), drop_entries(weights, 0.5)
        torch.manual_seed(3)
        assert torch.equal(drop_entries(weights, 0.5), first)
        assert not torch.equal(first, second)
        assert first.dtype == torch.bfloat16

    def test_stays_finite_where_nearly_all_is_dropped(self) -> None:
        dropped = drop_entries(torch.ones(997, 991), 0.999999)
        assert dropped.isfinite().all()
        assert 0 < (dropped != 0).sum() < 200
        assert torch.equal(drop_entries(torch.ones(5, 7), 0.0), torch.ones(5, 7))


class TestDropWords:
    def test_replaces_real_words_alone(self) -> None:
        ids, lengths = torch.full((41, 37), 5), torch.randint(38, (41,))
        before = ids.clone()
        dropped = drop_words(ids, lengths, 0.25, unk_id=1)
        real = torch.arange(37) < lengths.unsqueeze(1)
        assert torch.equal(ids, before)
        assert (dropped[~real] == 5).all()
        assert set(dropped[real].tolist()) == {1, 5}
        assert (dropped[real] == 1).float().mean().item() == pytest.approx(0.25, abs=0.05)

    def test_of_none_changes_nothing(self) -> None:
        ids = torch.randint(7, (3, 5))
        assert drop_words(ids, torch.tensor([5, 5, 5]), 0.0, unk_id=1) is ids


@pytest.mark.parametrize("value", [-0.1, 1.0])
def test_errors(value: float) -> None:
    with pytest.raises(ConfigurationError, match=rf"dropout must be in \[0, 1\), got {value}"):
        LockedDropout(value)
    with pytest.raises(ConfigurationError, match=rf"dropout must be in \[0, 1\), got {value}"):
        EmbeddingDropout(nn.Embedding(2, 3), value)
    with pytest.raises(ConfigurationError, match=rf"word dropout must be in \[0, 1\), got {value}"):
        drop_words(torch.zeros(1, 1, dtype=torch.long), torch.tensor([1]), value, unk_id=0)
