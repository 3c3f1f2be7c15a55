"""Multi-label scores against torchmetrics' own, by hand, and added up from parts."""

from __future__ import annotations

import pytest
import torch
import torchmetrics.functional.classification as reference

from seqmodels.errors import ConfigurationError
from seqmodels.metrics import MultilabelScores


@pytest.mark.parametrize("threshold", [0.3, 0.5])
def test_equals_torchmetrics(threshold: float) -> None:
    torch.manual_seed(7)
    probabilities, targets = torch.rand(31, 5), torch.randint(2, (31, 5))
    scores = MultilabelScores(5, threshold)
    scores.update(probabilities, targets)
    found = scores.compute()
    for average in ("micro", "macro"):
        expected = reference.multilabel_f1_score(probabilities, targets, 5, threshold, average=average)
        assert found[f"{average}_f1"].item() == pytest.approx(expected.item(), abs=1e-6)
    exact = reference.multilabel_exact_match(probabilities, targets, 5, threshold)
    assert found["subset_accuracy"].item() == pytest.approx(exact.item(), abs=1e-6)


def test_by_hand() -> None:
    scores = MultilabelScores(3)
    scores.update(torch.tensor([[0.9, 0.2, 0.1], [0.9, 0.8, 0.0]]), torch.tensor([[1, 0, 0], [1, 0, -1]]))
    found = scores.compute()
    assert found["micro_f1"].item() == pytest.approx(4 / 5)
    assert found["macro_f1"].item() == pytest.approx(1 / 2)  # the third label does not occur
    assert found["subset_accuracy"].item() == pytest.approx(1 / 2)


def test_parts_add_up_to_the_whole() -> None:
    torch.manual_seed(9)
    probabilities, targets = torch.rand(13, 5), torch.randint(2, (13, 5))
    whole, first, second = MultilabelScores(5), MultilabelScores(5), MultilabelScores(5)
    whole.update(probabilities, targets)
    first.update(probabilities[:4], targets[:4])
    second.update(probabilities[4:], targets[4:])
    first.merge_state(second)
    assert first.compute() == whole.compute()


def test_errors() -> None:
    with pytest.raises(ConfigurationError, match="num_labels must be a positive integer, got 0"):
        MultilabelScores(0)
    with pytest.raises(ConfigurationError, match=r"threshold must be in \(0, 1\), got 1"):
        MultilabelScores(3, 1)
