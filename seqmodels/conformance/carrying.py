"""Promises about time: the future is not seen, and a state carried on is all that the past leaves."""

from __future__ import annotations

from collections.abc import Callable

import torch

from seqmodels.conformance.evidence import BrokenPromiseError, Evidence, NotApplicableError
from seqmodels.conformance.subject import Subject, read
from seqmodels.encoders import Encoder, select_rows
from seqmodels.errors import ConfigurationError


def causality(subject: Subject, evidence: Evidence) -> None:
    """What comes later changes no earlier output of a causal encoder, and what comes now changes the present one."""
    encoder = _causal(subject)
    inputs, lengths = subject.batch(encoder)
    outputs, _ = read(encoder, inputs, lengths)
    for time in (1, 4, 10):
        changed = inputs.clone()
        changed[:, time:] += 1.0
        others, _ = read(encoder, changed, lengths)
        evidence.close(
            others[:, :time],
            outputs[:, :time],
            "a later step changes an earlier output: pad convolutions on the left only, mask attention to what lies "
            "behind, take no mean over time; or pass causal=False to super().__init__",
        )
        evidence.true(
            not torch.equal(others[0, time:], outputs[0, time:]),
            f"the outputs from step {time + 1} on do not change with the inputs of these steps: forward does not read "
            f"them, or step returns the old state as its output, not the new one",
        )


def chunks(subject: Subject, evidence: Evidence) -> None:
    """Reading in chunks with carried state equals reading the whole, also where rows end inside a chunk."""
    encoder = _causal(subject)
    inputs, lengths = subject.batch(encoder)
    whole, final = read(encoder, inputs, lengths)
    for size in (1, 2, 7, 11):
        state, pieces = None, []
        for start in range(0, 11, size):
            chunk = inputs[:, start : start + size]
            outputs, state = read(encoder, chunk, (lengths - start).clamp(0, chunk.size(1)), state)
            pieces.append(outputs)
        mend = (
            f"in chunks of {size} steps differ from those of the whole: forward must begin with the state it is given, "
        )
        mend += "return all that the next step needs, and keep a row's state where it has ended (where_rows)"
        evidence.close(torch.cat(pieces, dim=1), whole, f"outputs {mend}")
        evidence.states_close(state, final, f"states {mend}")


def steps(subject: Subject, evidence: Evidence) -> None:
    """Single steps from the initial state equal the whole, and None stands for the initial state."""
    encoder = _causal(subject)
    lengths = torch.full((5,), 11, device=subject.device)
    inputs = subject.inputs(encoder, 5, 11)
    whole, final = read(encoder, inputs, lengths)
    explicit, _ = read(encoder, inputs, lengths, encoder.initial_state(5))
    evidence.close(
        explicit, whole, "state=None and state=initial_state(batch) differ: begin with it where None is given"
    )
    state = encoder.initial_state(5)
    for time in range(11):
        output, state = encoder.step(inputs[:, time], state)
        evidence.close(
            output,
            whole[:, time],
            f"step {time + 1} of single steps is not that of the whole: step must take (batch, input_size), go on from "
            f"the state, and compute what forward computes",
        )
    evidence.states_close(state, final, "the state after single steps is not that of forward: build both alike")


def selected_rows(subject: Subject, evidence: Evidence) -> None:
    """Rows of a state may be chosen, repeated and dropped between chunks, as a beam search does."""
    encoder = _causal(subject)
    lengths = torch.full((5,), 7, device=subject.device)
    inputs = subject.inputs(encoder, 5, 7)
    rows = torch.tensor([4, 4, 0], device=subject.device)
    _, state = read(encoder, inputs[:, :3], lengths - 4)
    chosen, _ = read(encoder, inputs[rows, 3:], lengths[rows] - 3, select_rows(state, rows))
    whole, _ = read(encoder, inputs, lengths)
    evidence.close(
        chosen,
        whole[rows, 3:],
        "rows chosen from a state do not go on as they began: keep all that is carried in the state, with batch as "
        "first axis, and nothing on self",
    )


def refusal(subject: Subject, evidence: Evidence) -> None:
    """One that reads the future refuses `initial_state`, `step` and a given state with a ConfigurationError."""
    encoder = subject.build()
    if encoder.causal:
        raise NotApplicableError("it is causal")
    inputs, lengths = subject.batch(encoder)
    calls: dict[str, Callable[[], object]] = {
        "initial_state": lambda: encoder.initial_state(5),
        "step": lambda: encoder.step(inputs[:, 0], None),
        "forward with a state": lambda: encoder(inputs, lengths, inputs[:, 0]),
    }
    for what, call in calls.items():
        try:
            call()
        except ConfigurationError:
            continue
        except Exception as error:
            raise BrokenPromiseError(_not_refused(f"ends in {type(error).__name__}", what)) from error
        raise BrokenPromiseError(_not_refused("is taken", what))


def _not_refused(found: str, what: str) -> str:
    return (
        f"{what} {found}: define neither initial_state nor step where causal is False, and begin forward with "
        f"check_batch(self, inputs, lengths, state) (seqmodels.encoders)"
    )


def _causal(subject: Subject) -> Encoder:
    encoder = subject.build()
    if not encoder.causal:
        raise NotApplicableError("it reads the future")
    return encoder
