"""Promises about number formats."""

from __future__ import annotations

import torch

from seqmodels.conformance.evidence import Evidence, NotApplicableError
from seqmodels.conformance.gradients import derive
from seqmodels.conformance.subject import Subject, read
from seqmodels.encoders import tensors_of

CLOSE_BFLOAT16 = 0.08  # three digits, over eleven steps
CLOSE_FLOAT16 = 0.02
LARGE = 30.0  # makes exponents beyond 11, where exp leaves float16


def bfloat16(subject: Subject, evidence: Evidence) -> None:
    """Weights of bfloat16, and mixed precision, give what float32 gives, to their three digits."""
    encoder = subject.build()
    inputs, lengths = subject.batch(encoder)
    outputs, _ = read(encoder, inputs, lengths)
    small, state = read(subject.build().bfloat16(), inputs.bfloat16(), lengths)
    evidence.true(
        small.dtype == torch.bfloat16,
        f"weights and inputs of bfloat16 give outputs of {small.dtype}: make tensors by new_zeros, or of inputs.dtype",
    )
    for part in tensors_of(state):
        evidence.finite(part, "the state is NaN or infinite in bfloat16")
    mend = "is far from float32's: keep sums and exponents in float32 and round at the end"
    evidence.close(small.float(), outputs, f"the output with weights of bfloat16 {mend}", bound=CLOSE_BFLOAT16)
    with torch.autocast(subject.device.type, dtype=torch.bfloat16):
        for given in (inputs, inputs.bfloat16()):
            mixed, state = read(encoder, given, lengths)
            evidence.close(mixed.float(), outputs, f"the output under bf16 autocast {mend}", bound=CLOSE_BFLOAT16)
            if encoder.causal:
                encoder.step(given[:, 0], state)
                read(encoder, given, lengths, state)
        derived = derive(encoder, inputs, lengths)
    for name, gradient in derived.by_parameters.items():
        evidence.finite(gradient, f"the gradient of `{name}` is NaN or infinite under bf16 autocast")


@torch.no_grad()
def float16(subject: Subject, evidence: Evidence) -> None:
    """Weights of float16 give what float32 gives, to three digits, and stay finite for inputs thirty times as large."""
    encoder = subject.build()
    inputs, lengths = subject.batch(encoder)
    outputs, _ = read(encoder, inputs, lengths)
    small = subject.build().half()
    try:
        found, _ = read(small, inputs.half(), lengths)
    except RuntimeError as error:
        if "not implemented for 'Half'" in str(error):
            raise NotApplicableError(f"{subject.device.type} has no float16 here: {error}") from error
        raise
    evidence.close(found.float(), outputs, "the output in float16 is far from float32's", bound=CLOSE_FLOAT16)
    large, state = read(small, (LARGE * inputs).half(), lengths)
    mend = (
        f"in float16 for inputs {LARGE:g} times as large, whose limit is 65,504: subtract the largest exponent before "
    )
    mend += "exp, use sigmoid, softplus or logsigmoid instead of exp and log, and compute sums in float32"
    for part in (large, *tensors_of(state)):
        evidence.finite(part, f"a result is NaN or infinite {mend}")


@torch.no_grad()
def float64(subject: Subject, evidence: Evidence) -> None:
    """Weights of float64 give what float32 gives."""
    encoder = subject.build()
    inputs, lengths = subject.batch(encoder)
    outputs, _ = read(encoder, inputs, lengths)
    exact, _ = read(subject.build().double(), inputs.double(), lengths)
    evidence.true(
        exact.dtype == torch.float64,
        f"weights and inputs of float64 give outputs of {exact.dtype}: make tensors by new_zeros, or of inputs.dtype",
    )
    evidence.close(exact.float(), outputs, "the output in float32 is far from float64's: look for a loss of digits")
