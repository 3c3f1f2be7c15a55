"""The promises of the contract, asked of an encoder that is built already: each takes one and asserts."""

from __future__ import annotations

import copy
from collections.abc import Callable

import torch

from seqmodels.conformance import CHECKS, Promise, Subject
from seqmodels.conformance.evidence import CLOSE
from seqmodels.conformance.subject import LENGTHS as ROWS
from seqmodels.encoders import Encoder, map_state, tensors_of

__all__ = ["CAUSAL", "FOR_ALL", "FOR_CAUSAL", "LENGTHS", "SLOW", "assert_states_close", "tensors_of"]

LENGTHS = torch.tensor(ROWS)  # batch 5, time 11
CAUSAL = ("causality", "chunks", "steps", "selected_rows")
SLOW = ("linear_time",)  # it reads 1,024 steps, and its own test says enough
BUILT_TWICE = ("state_dict",)  # it needs one of other weights


def assert_states_close(first: object, second: object, **tolerance: float) -> None:
    """Asserts that two states have the same structure and values."""
    tolerance = tolerance or {"atol": CLOSE, "rtol": CLOSE}
    map_state(lambda a, b: torch.testing.assert_close(a, b, **tolerance) or a, first, second)


def of_instance(verify: Callable) -> Callable[[Encoder], None]:
    """Returns a check of the encoder that it is given, in evaluation mode."""

    def check(encoder: Encoder) -> None:
        subject = Subject(type(encoder).__name__, lambda: copy.deepcopy(encoder))
        Promise(verify, subject).check()

    check.__name__ = verify.__name__
    return check


FOR_ALL = tuple(
    of_instance(check) for check in CHECKS if check.__name__ not in (*CAUSAL, *SLOW, *BUILT_TWICE, "refusal")
)
FOR_CAUSAL = tuple(of_instance(check) for check in CHECKS if check.__name__ in CAUSAL)
