"""The mean of a loss over tokens or sequences."""

from __future__ import annotations

import torch
from torch import Tensor
from torchmetrics import Metric


class Average(Metric):
    """The mean of values that are themselves means over different counts, each weighted by its count.

    It never looks at the values, so it costs no device synchronisation. The sum is compensated (Kahan): a million
    batches lose no digits in float32, which every device has.
    """

    full_state_update = False
    total: Tensor
    excess: Tensor
    count: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.add_state("total", torch.tensor(0.0), dist_reduce_fx="sum")
        self.add_state("excess", torch.tensor(0.0), dist_reduce_fx="sum")  # what rounding has added to `total`
        self.add_state("count", torch.tensor(0), dist_reduce_fx="sum")

    def update(self, mean: Tensor, count: Tensor | int) -> None:
        """Adds a mean (a scalar) over `count` things; a count of zero adds nothing, whatever the mean is."""
        self.add(torch.where(torch.as_tensor(count, device=mean.device) > 0, mean.detach() * count, 0), count)

    def add(self, values: Tensor, count: Tensor | int) -> None:
        """Adds the sum (a scalar) of the values of `count` things."""
        added = values.float() - self.excess
        total = self.total + added
        excess = (total - self.total) - added
        self.excess = torch.where(excess.isfinite(), excess, 0)  # of an infinite total there is none
        self.total = total
        self.count = self.count + count

    def compute(self) -> Tensor:
        """Returns the mean over everything, a scalar; 0 if there was nothing."""
        return (self.total - self.excess) / self.count.clamp(min=1)
