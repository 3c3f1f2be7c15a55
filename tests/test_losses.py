"""The losses against torch's own, and what unscored targets do."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from seqmodels.data.encoded import IGNORED, UNSEEN
from seqmodels.errors import ConfigurationError
from seqmodels.losses import (
    balanced_class_weights,
    classification_loss,
    multilabel_loss,
    scored,
    tagging_loss,
)

WEIGHTS = torch.tensor([0.5, 2.0, 1.0, 3.0, 0.1])


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(23)


@pytest.mark.parametrize("weights", [None, WEIGHTS], ids=["even", "weighted"])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_classification_loss_equals_torch(weights, smoothing: float) -> None:
    logits, targets = torch.randn(7, 5), torch.tensor([0, 1, 2, UNSEEN, 4, IGNORED, 3])
    known = targets >= 0
    expected = nn.functional.cross_entropy(logits[known], targets[known], weights, label_smoothing=smoothing)
    torch.testing.assert_close(classification_loss(logits, targets, weights, smoothing), expected)


def test_tagging_loss_is_the_mean_over_the_scored_steps() -> None:
    logits, targets = torch.randn(3, 7, 5), torch.randint(5, (3, 7))
    targets[0, 4:] = IGNORED
    targets[1, 2] = UNSEEN
    expected = nn.functional.cross_entropy(logits[targets >= 0], targets[targets >= 0], WEIGHTS, label_smoothing=0.2)
    torch.testing.assert_close(tagging_loss(logits, targets, WEIGHTS, 0.2), expected)


def test_multilabel_loss_equals_torch() -> None:
    logits, targets = torch.randn(3, 5), torch.randint(2, (3, 5))
    expected = nn.functional.binary_cross_entropy_with_logits(logits, targets.float(), pos_weight=WEIGHTS)
    torch.testing.assert_close(multilabel_loss(logits, targets, WEIGHTS), expected)
    targets[1] = IGNORED
    expected = nn.functional.binary_cross_entropy_with_logits(logits[[0, 2]], targets[[0, 2]].float())
    torch.testing.assert_close(multilabel_loss(logits, targets), expected)


@pytest.mark.parametrize("weights", [None, WEIGHTS], ids=["even", "weighted"])
@pytest.mark.parametrize("rows", [0, 3])
def test_nothing_scored_is_zero_with_zero_gradients(weights, rows: int) -> None:
    for loss, shape in (
        (classification_loss, (rows,)),
        (tagging_loss, (rows, 2)),
        (multilabel_loss, (rows, 5)),
    ):
        logits = torch.randn(*(shape if loss is multilabel_loss else (*shape, 5)), requires_grad=True)
        value = loss(logits, torch.full(shape, IGNORED), weights)
        value.backward()
        assert value.item() == 0
        assert not logits.grad.any()


def test_unscored_logits_may_be_anything() -> None:
    logits = torch.randn(2, 5)
    logits[1] = float("nan")
    targets = torch.tensor([3, IGNORED])
    torch.testing.assert_close(classification_loss(logits, targets), classification_loss(logits[:1], targets[:1]))


def test_computes_in_float32() -> None:
    logits, targets = torch.randn(7, 5).bfloat16().requires_grad_(), torch.randint(5, (7,))
    loss = classification_loss(logits, targets)
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss, classification_loss(logits.float(), targets))
    assert multilabel_loss(logits, nn.functional.one_hot(targets, 5)).dtype == torch.float32
    assert classification_loss(logits.double(), targets, WEIGHTS).dtype == torch.float64


def test_scored() -> None:
    assert scored(torch.tensor([0, UNSEEN, IGNORED, 4])).tolist() == [True, False, False, True]


def test_balanced_class_weights() -> None:
    weights = balanced_class_weights([30, 10, 0])
    torch.testing.assert_close(weights, torch.tensor([40 / 60, 40 / 20, 1.0]))
    assert balanced_class_weights(torch.tensor([7, 7])).tolist() == [1, 1]


def test_errors() -> None:
    with pytest.raises(ConfigurationError, match=r"label_smoothing must be in \[0, 1\), got 1"):
        classification_loss(torch.randn(1, 2), torch.tensor([0]), label_smoothing=1.0)
    for counts in ([3, -1], [0, 0], []):
        with pytest.raises(
            ConfigurationError, match="number of training examples of each class, at least one above zero"
        ):
            balanced_class_weights(counts)
