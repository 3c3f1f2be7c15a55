"""Classification scores against torchmetrics' own, by hand, and added up from parts."""

from __future__ import annotations

import pytest
import torch
import torchmetrics.functional.classification as reference

from seqmodels.data.encoded import IGNORED, UNSEEN
from seqmodels.errors import ConfigurationError
from seqmodels.metrics import ClassificationScores
from seqmodels.metrics.classification import MATRIX_LIMIT


@pytest.mark.parametrize("num_labels", [2, 7, MATRIX_LIMIT + 1])
def test_equals_torchmetrics(num_labels: int) -> None:
    torch.manual_seed(3)
    predictions, targets = torch.randint(num_labels, (101,)), torch.randint(num_labels, (101,))
    targets[::3] = predictions[::3]
    targets[::10] = IGNORED
    scores = ClassificationScores(num_labels)
    scores.update(predictions, targets)
    found = scores.compute()
    for name, average, metric in (
        ("accuracy", "micro", reference.multiclass_accuracy),
        ("macro_f1", "macro", reference.multiclass_f1_score),
    ):
        expected = metric(predictions, targets, num_labels, average=average, ignore_index=IGNORED)
        assert found[name].item() == pytest.approx(expected.item(), abs=1e-6)
    if num_labels <= MATRIX_LIMIT:
        expected = reference.multiclass_confusion_matrix(predictions, targets, num_labels, ignore_index=IGNORED)
        assert torch.equal(scores.confusion_matrix(), expected)


def test_by_hand_with_unseen_and_ignored() -> None:
    scores = ClassificationScores(5)
    scores.update(torch.tensor([0, 0, 1, 2, 2, 3]), torch.tensor([0, 1, 1, UNSEEN, 2, IGNORED]))
    found = scores.compute()
    # 0: 1 of 2 found, 1 of 1 gold; 1: 1 of 1, 1 of 2; 2: 1 of 2, 1 of 1; 3 and 4 do not occur
    assert found["accuracy"].item() == pytest.approx(3 / 5)
    assert found["macro_f1"].item() == pytest.approx(2 / 3)
    assert scores.confusion_matrix().sum() == 4  # no row for an unseen label


def test_parts_add_up_to_the_whole() -> None:
    torch.manual_seed(5)
    predictions, targets = torch.randint(7, (3, 11)), torch.randint(-1, 7, (3, 11))
    whole, first, second = ClassificationScores(7), ClassificationScores(7), ClassificationScores(7)
    whole.update(predictions, targets)
    first.update(predictions[:1], targets[:1])
    second.update(predictions[1:], targets[1:])
    first.merge_state(second)
    assert first.compute() == whole.compute()
    assert torch.equal(first.confusion_matrix(), whole.confusion_matrix())
    whole.reset()
    assert not whole.confusion_matrix().any()


def test_nothing_scored_is_zero() -> None:
    scores = ClassificationScores(3)
    scores.update(torch.tensor([1]), torch.tensor([IGNORED]))
    assert {name: value.item() for name, value in scores.compute().items()} == {"accuracy": 0, "macro_f1": 0}


def test_states_survive_a_reset_in_inference_mode() -> None:
    scores = ClassificationScores(3)
    with torch.inference_mode():
        scores.reset()
    scores.update(torch.tensor([1]), torch.tensor([1]))
    assert scores.compute()["accuracy"].item() == 1


def test_errors() -> None:
    with pytest.raises(ConfigurationError, match="num_labels must be a positive integer, got 0"):
        ClassificationScores(0)
    with pytest.raises(ConfigurationError, match="kept for up to 256 labels, these are 257"):
        ClassificationScores(257).confusion_matrix()
