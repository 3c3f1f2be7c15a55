"""The promise about speed: time linear in the number of steps."""

from __future__ import annotations

import time

import torch
from torch import Tensor

from seqmodels.conformance.evidence import Evidence, NotApplicableError
from seqmodels.conformance.subject import Subject, read
from seqmodels.encoders import Encoder
from seqmodels.errors import DataError

SHORT, LONG = 256, 1024
ATTEMPTS = 3  # a machine that does something else for a moment spoils one, not all
BOUND = 10.0  # linear is 4, quadratic 16


def linear_time(subject: Subject, evidence: Evidence) -> None:
    """Reading 1,024 steps, backward too, takes less than 10 times as long as 256; linear is 4, quadratic 16."""
    encoder = subject.build().train()  # cuDNN has no gradients in evaluation mode
    short, long = subject.inputs(encoder, 2, SHORT), subject.inputs(encoder, 2, LONG)
    ratio = float("inf")
    try:
        _seconds(encoder, short)  # allocations and kernels of the first time
        for _ in range(ATTEMPTS):
            ratio = min(ratio, _seconds(encoder, long) / min(_seconds(encoder, short) for _ in range(2)))
            if ratio <= BOUND:
                break
    except DataError as error:
        raise NotApplicableError(f"it does not read {LONG} steps: {error}") from error
    evidence.within(
        ratio,
        f"{LONG} steps take {ratio:.0f} times as long as {SHORT}: take steps with unbind(1), not inputs[:, t]; append "
        f"to a list and stack once, not cat in the loop; attention over all pairs is quadratic by nature",
        bound=BOUND,
    )


def _seconds(encoder: Encoder, inputs: Tensor) -> float:
    on_cpu = inputs.device.type == "cpu"
    clock = time.process_time if on_cpu else time.perf_counter  # other processes do not count on a CPU
    lengths = torch.full((inputs.size(0),), inputs.size(1), device=inputs.device)
    inputs = inputs.clone().requires_grad_()
    begin = clock()
    outputs, _ = read(encoder, inputs, lengths)
    torch.autograd.backward(outputs.sum())
    if not on_cpu:
        torch.accelerator.synchronize()
    return clock() - begin
