"""What the cells of this folder share: one product of the inputs with weights, for all steps at once."""

from __future__ import annotations

from abc import abstractmethod
from typing import final

from torch import Tensor, nn

from seqmodels.encoders.encoder import Cell
from seqmodels.encoders.options import check_sizes
from seqmodels.encoders.saturation import saturate
from seqmodels.encoders.state import State


class ProjectedCell(Cell):
    """A cell whose inputs enter by W x + b alone; a subclass computes the step from there.

    The state is h (batch, hidden_size), which is the output too, or a tuple that begins with it. Weights are uniform in
    +-1/sqrt(hidden_size) at the start, as those of `torch.nn`.

    Args:
        input_size: features of each input step.
        hidden_size: features of h.
        num_gates: how many vectors of hidden_size W x + b is made of.
        bias: whether there is a b.
    """

    masks_recurrence = True

    def __init__(self, input_size: int, hidden_size: int, *, num_gates: int, bias: bool = True) -> None:
        check_sizes(self, input_size=input_size, hidden_size=hidden_size)
        super().__init__(input_size, hidden_size)
        self.hidden_size = hidden_size
        self.from_input = nn.Linear(input_size, num_gates * hidden_size, bias=bias)
        for parameter in self.from_input.parameters():
            nn.init.uniform_(parameter, -(hidden_size**-0.5), hidden_size**-0.5)

    def initial_state(self, batch_size: int) -> State:
        """Returns h of zeros (batch, hidden_size)."""
        return self.zeros(batch_size)

    def zeros(self, batch_size: int) -> Tensor:
        """Returns zeros (batch, hidden_size) of the weights' type."""
        return self.from_input.weight.new_zeros(batch_size, self.hidden_size)

    def project(self, inputs: Tensor) -> Tensor:
        """Maps inputs (..., input_size) to W x + b (..., num_gates * hidden_size)."""
        return saturate(self.from_input(inputs))

    @final
    def step(self, inputs: Tensor, state: State) -> tuple[Tensor, State]:
        """Computes one step; see `Cell.step`."""
        return self.step_projected(self.project(inputs), state)

    @abstractmethod
    def step_projected(
        self, projected: Tensor, state: State, recurrent_mask: Tensor | None = None
    ) -> tuple[Tensor, State]:
        """Computes one step from W x + b; see `Cell.step_projected`."""


def recurrent_product(hidden_size: int, num_gates: int) -> nn.Linear:
    """Returns the map h -> U h of as many vectors of hidden_size."""
    # torch's default is uniform in +-1/sqrt(features read), which are hidden_size here
    return nn.Linear(hidden_size, num_gates * hidden_size, bias=False)


def mask_recurrence(h: Tensor, recurrent_mask: Tensor | None) -> Tensor:
    """Returns h (batch, hidden_size) as it enters the products: times the mask, if there is one."""
    return h if recurrent_mask is None else h * recurrent_mask.to(h.dtype)
