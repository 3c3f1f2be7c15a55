"""Promises about what an encoder remembers: nothing between calls, and all in its state_dict."""

from __future__ import annotations

import copy
import io
import pickle

import torch

from seqmodels.conformance.evidence import BrokenPromiseError, Evidence
from seqmodels.conformance.subject import Subject, read
from seqmodels.encoders import Encoder, map_state

SAME = 1e-6  # the same computation on the same device


@torch.no_grad()
def repeatable(subject: Subject, evidence: Evidence) -> None:
    """In evaluation mode the same batch gives the same again, whatever was read in between."""
    encoder = subject.build()
    inputs, lengths = subject.batch(encoder)
    outputs, state = read(encoder, inputs, lengths)
    outputs, state = outputs.clone(), map_state(torch.clone, state)  # they may lie in memory that is written again
    read(encoder, inputs.flip(2)[:3, :7], lengths[:3].clamp(max=7))
    again, again_state = read(encoder, inputs, lengths)
    mend = (
        "changes from call to call in evaluation mode: keep no state on self, return it; apply dropout and noise only "
    )
    mend += "where self.training"
    evidence.close(again, outputs, f"the output {mend}", bound=SAME)
    evidence.states_close(again_state, state, f"the state {mend}", bound=SAME)


@torch.no_grad()
def state_dict(subject: Subject, evidence: Evidence) -> None:
    """One of other weights gives the same outputs after loading the state_dict."""
    encoder, other = subject.build(), subject.build(seed=1)
    inputs, lengths = subject.batch(encoder)
    outputs, _ = read(encoder, inputs, lengths)
    saved = io.BytesIO()
    torch.save(encoder.state_dict(), saved)
    saved.seek(0)
    try:
        other.load_state_dict(torch.load(saved, weights_only=True))
    except (RuntimeError, pickle.UnpicklingError) as error:
        reason = " ".join(str(error).split())
        raise BrokenPromiseError(
            f"its state_dict cannot be loaded into another of the same arguments ({reason}): make all parts in "
            f"__init__, of sizes that the arguments decide"
        ) from error
    evidence.close(
        read(other, inputs, lengths)[0],
        outputs,
        "something that outputs depend on is not in the state_dict: make it an nn.Parameter, an nn.ModuleList, or a "
        "buffer (register_buffer), not a plain attribute or list",
        bound=SAME,
    )


@torch.no_grad()
def deep_copy(subject: Subject, evidence: Evidence) -> None:
    """A deep copy gives the same and shares no weights; so does what is pickled, as a spawned process needs."""
    encoder = subject.build()
    inputs, lengths = subject.batch(encoder)
    outputs, _ = read(encoder, inputs, lengths)
    mend = "keep no tensors that are computed, views of parameters or functions on self, but parameters and buffers"
    for what, copied in (("a deep copy", copy.deepcopy(encoder)), ("what was pickled", _pickled(encoder, mend))):
        evidence.close(read(copied, inputs, lengths)[0], outputs, f"{what} gives other outputs: {mend}", bound=SAME)
    with torch.no_grad():
        for parameter in copied.parameters():
            parameter.zero_()
    evidence.close(read(encoder, inputs, lengths)[0], outputs, f"a copy shares weights: {mend}", bound=SAME)


def _pickled(encoder: Encoder, mend: str) -> Encoder:
    if any("<locals>" in type(part).__qualname__ for part in encoder.modules()):  # nothing can pickle such a class
        return copy.deepcopy(encoder)
    try:
        copied: Encoder = pickle.loads(pickle.dumps(encoder))
    except (pickle.PicklingError, TypeError, AttributeError, RuntimeError) as error:
        raise BrokenPromiseError(f"it cannot be pickled ({error}): {mend}") from error
    return copied
