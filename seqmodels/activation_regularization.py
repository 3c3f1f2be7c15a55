"""Penalties on what an encoder puts out: on its size, and on its change from step to step."""

from __future__ import annotations

from torch import Tensor

from seqmodels.masking import lengths_to_mask


def activation_penalty(outputs: Tensor, lengths: Tensor) -> Tensor:
    """Returns the mean square of an encoder's outputs (AR); times alpha it is added to the loss.

    mean of h_t ** 2 over all real steps and features.

    Args:
        outputs: (batch, time, size), after dropout: what is dropped then counts as zero.
        lengths: (batch,) int64, each row's number of real steps.

    Returns:
        A scalar; 0 where no row has a step.

    Reference:
        Merity, McCann and Socher (2017), Revisiting activation regularization for language RNNs. As in the
        authors' code, the mean of squares is taken where the paper writes the L2 norm. The AWD-LSTM has alpha = 2.
    """
    return _mean_square(outputs, lengths)


def temporal_activation_penalty(outputs: Tensor, lengths: Tensor) -> Tensor:
    """Returns the mean square of the change of an encoder's outputs (TAR); times beta it is added to the loss.

    mean of (h_[t+1] - h_t) ** 2 over all pairs of real steps and features.

    Args:
        outputs: (batch, time, size), before dropout: a mask that differs from step to step would count as change.
        lengths: (batch,) int64, each row's number of real steps.

    Returns:
        A scalar; 0 where no row has two steps.

    Reference:
        Merity, McCann and Socher (2017), Revisiting activation regularization for language RNNs. As in the
        authors' code, the mean of squares is taken where the paper writes the L2 norm. The AWD-LSTM has beta = 1.
    """
    return _mean_square(outputs[:, 1:] - outputs[:, :-1], (lengths - 1).clamp(min=0))


def _mean_square(values: Tensor, lengths: Tensor) -> Tensor:
    # masked before squaring: no gradient of a padded NaN comes through
    mask = lengths_to_mask(lengths, values.size(1)).unsqueeze(2)
    values = values.masked_fill(~mask, 0).float()
    return values.square().sum() / (lengths.sum() * values.size(2)).clamp(min=1)
