"""Promises about what goes in and comes out: construction, sizes, refusal of wrong shapes."""

from __future__ import annotations

from collections.abc import Callable

import torch

from seqmodels.conformance.evidence import NOT_FINITE, BrokenPromiseError, Evidence
from seqmodels.conformance.subject import Subject, read
from seqmodels.encoders import Encoder, State, map_state, tensors_of
from seqmodels.errors import ConfigurationError
from seqmodels.masking import lengths_to_mask


def construction(subject: Subject, evidence: Evidence) -> None:
    """It is built from an input size and arguments, and publishes `input_size`, `output_size` and `causal`."""
    encoder = subject.build()
    for attribute, kind in (("input_size", int), ("output_size", int), ("causal", bool)):
        value = getattr(encoder, attribute, None)
        evidence.true(
            isinstance(value, kind), f"`{attribute}` is {value!r}: pass a {kind.__name__} to super().__init__"
        )


def sizes(subject: Subject, evidence: Evidence) -> None:
    """Outputs and summary have the published sizes, the state has batch first, inputs and states are left alone."""
    encoder = subject.build()
    inputs, lengths = subject.batch(encoder)
    outputs, state = read(encoder, inputs, lengths)
    shape = tuple(encoder.summary(outputs, lengths).shape)
    evidence.true(
        shape == (5, encoder.output_size),
        f"summary returns the shape {shape}, expected {(5, encoder.output_size)}: return (batch, output_size)",
    )
    try:
        parts = tensors_of(state)
    except TypeError as error:
        raise BrokenPromiseError(f"{error}: return nested tuples, lists or dicts of tensors as the state") from error
    for part in parts:
        evidence.true(
            part.dim() > 0 and part.size(0) == 5,
            f"the state holds a tensor of shape {tuple(part.shape)} for a batch of 5: make batch its first axis "
            f"(nn.LSTM and nn.GRU put layers first: transpose theirs)",
        )
    if encoder.causal:
        _check_state_left(subject, evidence, encoder)


@torch.no_grad()
def _check_state_left(subject: Subject, evidence: Evidence, encoder: Encoder) -> None:
    inputs, lengths = subject.batch(encoder)
    calls: dict[str, Callable[[State], object]] = {
        "step": lambda state: encoder.step(inputs[:, 0], state),
        "forward": lambda state: read(encoder, inputs, lengths, state),
    }
    for what, call in calls.items():
        state = encoder.initial_state(5)
        before = map_state(torch.clone, state)
        call(state)
        evidence.true(
            all(map(torch.equal, tensors_of(state), tensors_of(before))),
            f"{what} changes the state that it is given in place: make new tensors; rows that have ended, and beams, "
            f"still need the old ones",
        )


@torch.no_grad()
def real_steps(subject: Subject, evidence: Evidence) -> None:
    """Every real step has an output: the first and the last of a row are not cleared along with the padding."""
    encoder = subject.build()
    inputs, lengths = subject.batch(encoder)
    outputs, _ = read(encoder, inputs, lengths)
    rows = torch.nonzero(lengths).flatten()
    for word, steps in (("first", torch.zeros_like(lengths)), ("last", lengths - 1)):
        evidence.true(
            bool((outputs[rows, steps[rows]] != 0).any()),
            f"the {word} real step of every row is zero: the mask is off by one, as step t is real where t < length "
            f"(seqmodels.masking.lengths_to_mask); or step returns the state that it was given as its output",
        )
    evidence.finite(outputs[lengths_to_mask(lengths, 11)], NOT_FINITE)


def wrong_shapes(subject: Subject, evidence: Evidence) -> None:
    """Inputs or lengths of a wrong shape are refused with a ConfigurationError that says what was expected."""
    encoder = subject.build()
    inputs, lengths = subject.batch(encoder)
    wide = torch.cat([inputs, inputs], dim=2)
    _refused(lambda: encoder(wide, lengths), f"inputs of {wide.size(2)} features instead of {encoder.input_size}")
    _refused(lambda: encoder(inputs, lengths[:2]), "2 lengths for 5 rows")


def _refused(call: Callable[[], object], what: str) -> None:
    mend = "begin forward with check_batch(self, inputs, lengths, state) (seqmodels.encoders)"
    try:
        call()
    except ConfigurationError:
        return
    except Exception as error:
        raise BrokenPromiseError(f"{what} end in {type(error).__name__}, not ConfigurationError: {mend}") from error
    raise BrokenPromiseError(f"{what} are taken without a word: {mend}")
