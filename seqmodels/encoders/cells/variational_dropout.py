"""Recurrent dropout with one mask for all steps, around any cell that says where its state enters a product."""

from __future__ import annotations

from torch import Tensor

from seqmodels.dropout import check_dropout
from seqmodels.encoders.cells.nested import create_nested_cell
from seqmodels.encoders.encoder import Cell, EncoderSpec, register_encoder
from seqmodels.encoders.state import State
from seqmodels.errors import ConfigurationError


@register_encoder("variational_dropout")
class VariationalDropout(Cell):
    """A cell that in training does not see some features of h_{t-1}, the same ones at every step of a row.

    h_{t-1} * m enters every product with weights in its place, m drawn from Bernoulli(1 - dropout) / (1 - dropout).
    What a cell carries along without a product (C, the h of a GRU that it keeps) is not dropped.

    The mask is part of the state: drawn with the initial state of a row, kept for as long as the state is carried.
    Where that is over a whole epoch (contiguous streams), `recurrent_weight_dropout` of `lstm` draws more often.

    Args:
        input_size: features of each input step.
        cell: the cell; one of your own must take a `recurrent_mask`.
        dropout: probability, in [0, 1), of not seeing a feature. 0.25 in the paper's language models of medium size.

    Raises:
        ConfigurationError: the probability is out of range, the cell's spec is wrong, or it takes no mask.

    Reference:
        Gal and Ghahramani, A theoretically grounded application of dropout in recurrent neural networks, 2016, 4; the
        mask over the inputs is `locked_dropout` of `stacked`, and one mask serves all gates ("tied weights").
    """

    def __init__(self, input_size: int, *, cell: EncoderSpec = "lstm_cell", dropout: float = 0.25) -> None:
        wrapped = create_nested_cell("variational_dropout: cell", cell, input_size)
        if not wrapped.masks_recurrence:
            raise ConfigurationError(
                f"variational_dropout: cell: expected a cell that takes a mask of its recurrence, got {cell!r}; take "
                f"`recurrent_mask` in its `step_projected` and set `masks_recurrence = True`, or choose zoneout"
            )
        super().__init__(input_size, wrapped.output_size)
        self.cell = wrapped
        self.dropout = check_dropout("VariationalDropout: dropout", dropout)
        self.masks_recurrence = True

    def initial_state(self, batch_size: int) -> State:
        """Returns the cell's state and the mask (batch, output_size): drawn anew in training, else of ones."""
        mask = next(self.cell.parameters()).new_ones(batch_size, self.output_size)
        if self.training:
            mask.bernoulli_(1 - self.dropout).div_(1 - self.dropout)
        return self.cell.initial_state(batch_size), mask

    def project(self, inputs: Tensor) -> Tensor:
        """Maps inputs (..., input_size) to what the cell makes of them."""
        return self.cell.project(inputs)

    def step(self, inputs: Tensor, state: State) -> tuple[Tensor, State]:
        """Computes one step; the state is the cell's and the mask."""
        return self.step_projected(self.project(inputs), state)

    def step_projected(
        self, projected: Tensor, state: State, recurrent_mask: Tensor | None = None
    ) -> tuple[Tensor, State]:
        """Computes one step; see `Cell.step_projected`. Outside training the mask goes through unused."""
        inner, mask = state
        seen = mask if self.training else None
        if recurrent_mask is not None:
            seen = recurrent_mask if seen is None else seen * recurrent_mask
        output, following = self.cell.step_projected(projected, inner, seen)
        return output, (following, mask)
