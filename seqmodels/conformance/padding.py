"""Promises about padding: neither its amount nor its content is seen, and empty rows are rows."""

from __future__ import annotations

import torch
from torch import Tensor

from seqmodels.conformance.evidence import CLOSE_GRADIENTS, Evidence
from seqmodels.conformance.gradients import Derived, derive
from seqmodels.conformance.subject import LENGTHS, Subject, read
from seqmodels.encoders import Encoder, State
from seqmodels.masking import lengths_to_mask

CLEAR_FIRST = "clear it before anything reads it: inputs = zero_beyond(inputs, lengths) (seqmodels.masking)"


@torch.no_grad()
def zero_outputs(subject: Subject, evidence: Evidence) -> None:
    """Outputs beyond each row's length are exactly zero."""
    encoder = subject.build()
    inputs, lengths = subject.batch(encoder)
    outputs, _ = read(encoder, inputs, lengths)
    evidence.zero(
        outputs[~lengths_to_mask(lengths, 11)],
        "outputs beyond a row's length differ from 0: return zero_beyond(outputs, lengths) (seqmodels.masking)",
    )


def extra_padding(subject: Subject, evidence: Evidence) -> None:
    """Extra padding changes neither outputs, summary, state nor gradients."""
    encoder = subject.build()
    inputs, lengths = subject.batch(encoder)
    longer = torch.cat([inputs, inputs[:, :6]], dim=1)
    expected, found = derive(encoder, inputs, lengths), derive(encoder, longer, lengths)
    evidence.close(
        found.outputs[:, :11],
        expected.outputs,
        "outputs depend on how much padding follows: reverse rows with reverse_within, not flip; average with "
        "masked_mean, not mean (seqmodels.masking)",
    )
    evidence.states_close(
        found.state,
        expected.state,
        "the state is that of the last column, not of each row's last real step: keep the old state where a row has "
        "ended, where_rows(mask, new, old) (seqmodels.encoders)",
    )
    evidence.close(
        found.summary,
        expected.summary,
        "the summary depends on how much padding follows: take each row's last real step, last_step(outputs, lengths) "
        "(seqmodels.masking)",
    )
    mend = "gradients depend on how much padding follows: let nothing of a padded step enter the computation"
    evidence.close(found.by_inputs[:, :11], expected.by_inputs, mend, bound=CLOSE_GRADIENTS)
    for name, gradient in expected.by_parameters.items():
        evidence.close(found.by_parameters[name], gradient, f"{name}: {mend}", bound=CLOSE_GRADIENTS)


def padding_values(subject: Subject, evidence: Evidence) -> None:
    """What the padding holds, NaN too, changes neither outputs, summary, state nor gradients."""
    encoder = subject.build()
    inputs, lengths = subject.batch(encoder)
    padding = ~lengths_to_mask(lengths, 11).unsqueeze(2)
    expected = derive(encoder, inputs.masked_fill(padding, 0), lengths)
    for value in (1e30, float("nan")):
        found = derive(encoder, inputs.masked_fill(padding, value), lengths)
        _same(evidence, found, expected, value, padding)


def _same(evidence: Evidence, found: Derived, expected: Derived, value: float, padding: Tensor) -> None:
    mend = f"depends on what the padding holds (here {value:g}); {CLEAR_FIRST}; a product with a mask keeps NaN"
    evidence.close(found.outputs, expected.outputs, f"the output {mend}")
    evidence.close(found.summary, expected.summary, f"the summary {mend}")
    evidence.states_close(found.state, expected.state, f"the state {mend}")
    mend = f"a gradient {mend}"
    evidence.close(found.by_inputs, expected.by_inputs, mend, bound=CLOSE_GRADIENTS)
    evidence.zero(found.by_inputs.masked_select(padding), f"a gradient reaches the padding: {CLEAR_FIRST}")
    for name, gradient in expected.by_parameters.items():
        evidence.close(found.by_parameters[name], gradient, f"{name}: {mend}", bound=CLOSE_GRADIENTS)


def empty_rows(subject: Subject, evidence: Evidence) -> None:
    """A row of length 0 gives zeros and the state that came in, also where no row has a step or there are no steps."""
    encoder = subject.build()
    lengths = torch.tensor(LENGTHS, device=subject.device)
    outputs, state = read(encoder, subject.inputs(encoder, 5, 11), lengths)
    mend = (
        "a row of length 0 among others gives no zeros: clamp what divides by lengths to 1, let attention see one "
        "step, and return zero_beyond(outputs, lengths)"
    )
    evidence.zero(outputs[2], mend)
    evidence.zero(encoder.summary(outputs, lengths)[2], mend)
    nothing = torch.zeros_like(lengths)
    for time in (4, 0):
        _check_nothing(subject, evidence, encoder, nothing, time)
        if encoder.causal:
            _check_state_kept(subject, evidence, encoder, state, time)
    derived = derive(encoder, subject.inputs(encoder, 5, 4), nothing)
    evidence.zero(derived.by_inputs, "a gradient reaches inputs though every row has length 0")
    for name, gradient in derived.by_parameters.items():
        evidence.finite(gradient, f"{name}: its gradient is NaN or infinite where every row has length 0")


def _check_nothing(subject: Subject, evidence: Evidence, encoder: Encoder, nothing: Tensor, time: int) -> None:
    outputs, _ = read(encoder, subject.inputs(encoder, 5, time), nothing)
    mend = f"rows that are all of length 0, on a time axis of {time}, give no zeros"
    evidence.zero(outputs, mend)
    evidence.zero(encoder.summary(outputs, nothing), f"summary: {mend}; last_step (seqmodels.masking) gives zeros")


def _check_state_kept(subject: Subject, evidence: Evidence, encoder: Encoder, state: State, time: int) -> None:
    nothing = torch.zeros(5, dtype=torch.int64, device=subject.device)
    _, kept = read(encoder, subject.inputs(encoder, 5, time), nothing, state)
    evidence.states_close(
        kept,
        state,
        f"rows of length 0, on a time axis of {time}, change the state: return the one that came in, "
        f"where_rows(mask, new, old) (seqmodels.encoders)",
        bound=0.0,
    )
