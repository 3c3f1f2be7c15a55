"""The mixture of writing and copying."""

from __future__ import annotations

import pytest
import torch

from seqmodels.decoders import Copying
from seqmodels.errors import ConfigurationError

ITEMS, SOURCE_TIME, SIZE, VOCAB, EXTRA = 4, 5, 3, 7, 2
# the words of the last source are padding all, and the id 8 is in the source of the first item alone
SOURCE_IDS = torch.tensor([[1, 8, 1, 7, 2], [3, 3, 3, 3, 3], [6, 5, 7, 0, 0], [0, 0, 0, 0, 0]])


def draw(dtype: torch.dtype = torch.float32):
    torch.manual_seed(0)
    log_probs = torch.randn(ITEMS, VOCAB, dtype=dtype).log_softmax(1)
    outputs = torch.randn(ITEMS, SIZE, dtype=dtype)
    attention = torch.randn(ITEMS, SOURCE_TIME, dtype=dtype).softmax(1)
    attention[2, 3:] = 0
    attention[2] /= attention[2].sum()
    attention[3] = 0
    return log_probs, outputs, attention


def test_it_is_its_equation():
    log_probs, outputs, attention = draw()
    copying = Copying(SIZE, VOCAB)
    found = copying(log_probs, outputs, attention, SOURCE_IDS, EXTRA)
    gate = torch.sigmoid(copying.gate(outputs)).squeeze(1)
    gate = torch.where(attention.sum(1) == 0, 1.0, gate)
    expected = torch.zeros(ITEMS, VOCAB + EXTRA)
    for item in range(ITEMS):
        expected[item, :VOCAB] = gate[item] * log_probs[item].exp()
        for place, number in enumerate(SOURCE_IDS[item].tolist()):
            expected[item, number] += (1 - gate[item]) * attention[item, place]
    torch.testing.assert_close(found.exp(), expected)
    torch.testing.assert_close(found.exp().sum(1), torch.ones(ITEMS))
    assert found[1, 8] == -torch.inf


def test_targets_alone_are_those_of_all():
    log_probs, outputs, attention = draw()
    copying = Copying(SIZE, VOCAB)
    found = copying(log_probs, outputs, attention, SOURCE_IDS, EXTRA)
    for number in range(VOCAB + EXTRA):
        targets = torch.full((ITEMS,), number)
        of_vocabulary = log_probs[:, min(number, VOCAB - 1)]
        alone = copying.target_log_probs(of_vocabulary, outputs, attention, SOURCE_IDS, targets)
        torch.testing.assert_close(alone, found[:, number])


def test_gradients():
    log_probs, outputs, attention = (part.requires_grad_() for part in draw(torch.float64))
    copying = Copying(SIZE, VOCAB).double()
    targets = torch.tensor([8, 3, 5, 0])
    picked = torch.zeros(ITEMS, VOCAB + EXTRA, dtype=torch.bool).scatter(1, targets.unsqueeze(1), True)

    def run(log_probs, outputs, attention):
        whole = copying(log_probs, outputs, attention, SOURCE_IDS, EXTRA)
        of_vocabulary = log_probs.gather(1, targets.clamp(max=VOCAB - 1).unsqueeze(1)).squeeze(1)
        return whole[picked], copying.target_log_probs(of_vocabulary, outputs, attention, SOURCE_IDS, targets)

    first, second = run(log_probs, outputs, attention)
    torch.testing.assert_close(first, second)
    (first.sum() + second.sum()).backward()
    assert all(part.grad.isfinite().all() for part in (log_probs, outputs, attention))
    # the last row attends to nothing: a step away from there is a step of the gate
    rows = [part.detach()[:3].requires_grad_() for part in (log_probs, outputs, attention)]

    def run_rows(log_probs, outputs, attention):
        return copying(log_probs, outputs, attention, SOURCE_IDS[:3], EXTRA)[picked[:3]]

    assert torch.autograd.gradcheck(run_rows, rows)


def test_it_learns_to_copy_what_the_vocabulary_lacks():
    _, outputs, attention = draw()
    copying = Copying(SIZE, VOCAB)
    optimizer = torch.optim.Adam(copying.parameters(), lr=0.3)
    targets = torch.tensor([8, 3, 7])
    for _ in range(30):
        loss = -copying.target_log_probs(
            torch.full((3,), -torch.inf), outputs[:3], attention[:3], SOURCE_IDS[:3], targets
        ).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert (torch.sigmoid(copying.gate(outputs[:3])) < 0.1).all()


def test_half_precision():
    log_probs, outputs, attention = draw()
    copying = Copying(SIZE, VOCAB).bfloat16()
    found = copying(log_probs.bfloat16(), outputs.bfloat16(), attention.bfloat16(), SOURCE_IDS, EXTRA)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found.exp().sum(1), torch.ones(ITEMS), atol=0.02, rtol=0)


def test_errors():
    log_probs, outputs, attention = draw()
    with pytest.raises(ConfigurationError, match=r"expected log_probs \(items, 7\).*got \(4, 6\), \(4, 5\)"):
        Copying(SIZE, VOCAB)(log_probs[:, :6], outputs, attention, SOURCE_IDS)
    with pytest.raises(ConfigurationError, match="vocab_size must be a positive integer, got 0"):
        Copying(SIZE, 0)
