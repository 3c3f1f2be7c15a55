"""Promises about the batch: a row's result is its own."""

from __future__ import annotations

import torch

from seqmodels.conformance.evidence import Evidence
from seqmodels.conformance.subject import Subject, read
from seqmodels.encoders import select_rows


@torch.no_grad()
def row_order(subject: Subject, evidence: Evidence) -> None:
    """Permuting the batch permutes outputs, summary and state."""
    encoder = subject.build()
    inputs, lengths = subject.batch(encoder)
    order = torch.tensor([3, 1, 4, 2, 0], device=subject.device)
    outputs, state = read(encoder, inputs, lengths)
    permuted, permuted_state = read(encoder, inputs[order], lengths[order])
    mend = "depends on a row's place in the batch: look for rows sorted and not put back, and for view or reshape that "
    mend += "mixes batch with another axis (use transpose)"
    evidence.close(permuted, outputs[order], f"the output {mend}")
    summary = encoder.summary(outputs, lengths)
    evidence.close(encoder.summary(permuted, lengths[order]), summary[order], f"the summary {mend}")
    evidence.states_close(permuted_state, select_rows(state, order), f"the state {mend}")


@torch.no_grad()
def neighbours(subject: Subject, evidence: Evidence) -> None:
    """A row alone and without padding gives what it gives among others: outputs, summary and state."""
    encoder = subject.build()
    inputs, lengths = subject.batch(encoder)
    outputs, state = read(encoder, inputs, lengths)
    summary = encoder.summary(outputs, lengths)
    mend = (
        "of a row depends on the rows beside it, or on its padding: normalise over features (nn.LayerNorm), never over "
    )
    mend += "the batch (nn.BatchNorm1d), and take no mean or maximum over rows or padding"
    for row, length in enumerate(lengths.tolist()):
        one = slice(row, row + 1)
        alone, alone_state = read(encoder, inputs[one, :length], lengths[one])
        evidence.close(alone[0], outputs[row, :length], f"the output {mend}")
        evidence.close(encoder.summary(alone, lengths[one])[0], summary[row], f"the summary {mend}")
        evidence.states_close(
            alone_state, select_rows(state, torch.tensor([row], device=subject.device)), f"the state {mend}"
        )


@torch.no_grad()
def batch_of_one(subject: Subject, evidence: Evidence) -> None:
    """A batch of one row, also of one step, keeps its axes and gives what the row gives twice over."""
    encoder = subject.build()
    for time in (1, 7):
        inputs = subject.inputs(encoder, 1, time)
        lengths = torch.tensor([time], device=subject.device)
        outputs, state = read(encoder, inputs, lengths)
        twice, twice_state = read(encoder, torch.cat([inputs, inputs]), torch.cat([lengths, lengths]))
        mend = (
            f"of a batch of one row and {time} steps differs from that of the row twice over: name the axis in squeeze"
        )
        evidence.close(outputs, twice[:1], f"the output {mend}")
        evidence.states_close(
            state, select_rows(twice_state, torch.tensor([0], device=subject.device)), f"the state {mend}"
        )
