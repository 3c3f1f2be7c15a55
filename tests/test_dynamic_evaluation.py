"""One step of dynamic evaluation against its formula."""

from __future__ import annotations

import pytest
import torch

from seqmodels.dynamic_evaluation import DynamicEvaluation
from seqmodels.errors import ConfigurationError


@pytest.mark.parametrize("decay", [0.0, 0.5])
@pytest.mark.parametrize(("clip", "scale"), [(10.0, 1.0), (2.5, 0.5)])  # of a gradient of norm 5
def test_a_step_goes_down_the_clipped_gradient_and_back_towards_the_start(
    decay: float, clip: float, scale: float
) -> None:
    start, other = torch.tensor([1.0, -2.0], requires_grad=True), torch.tensor([4.0], requires_grad=True)
    frozen = torch.tensor([7.0])
    dynamic = DynamicEvaluation(lr=0.5, decay=decay, clip=clip)
    dynamic.begin([start, other, frozen])
    with torch.no_grad():
        start += torch.tensor([1.0, 0.0])
        other -= 1.0
    dynamic.update((start * torch.tensor([3.0, 4.0])).sum())  # `other` takes no part
    torch.testing.assert_close(start.detach(), torch.tensor([2 - 1.5 * scale - decay, -2 - 2.0 * scale]))
    torch.testing.assert_close(other.detach(), torch.tensor([3 + decay]))
    dynamic.end()
    assert (start.tolist(), other.tolist(), frozen.tolist()) == ([1, -2], [4], [7])


def test_beginning_again_gives_back_what_was_trained() -> None:
    parameter = torch.tensor([1.0], requires_grad=True)
    dynamic = DynamicEvaluation(lr=0.5)
    dynamic.begin([parameter])
    dynamic.update(parameter.sum())
    dynamic.begin([parameter])
    assert parameter.item() == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"lr": 0.0}, "lr and clip must be positive, got 0.0 and 1.0"),
        ({"clip": -1.0}, "lr and clip must be positive, got 0.1 and -1.0"),
        ({"decay": 1.0}, r"decay must be in \[0, 1\), got 1.0"),
    ],
)
def test_values_out_of_range_are_refused(arguments: dict[str, float], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        DynamicEvaluation(**arguments)
