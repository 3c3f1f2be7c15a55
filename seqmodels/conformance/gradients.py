"""Promises about gradients: they reach everything that is trained, and are those of the function."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from seqmodels.conformance.evidence import Evidence, relative_difference
from seqmodels.conformance.subject import Subject, read
from seqmodels.encoders import Encoder, State, tensors_of

EPSILON = 1e-6  # of the differences in float64: their error is about 1e-9
CLOSE_SLOPES = 1e-5


class Derived(NamedTuple):
    """What an encoder made of a batch, and the gradients of a sum over all of it."""

    outputs: Tensor
    state: State
    summary: Tensor
    by_inputs: Tensor
    by_parameters: dict[str, Tensor]


def objective(outputs: Tensor, summary: Tensor, state: State) -> Tensor:
    """Returns a smooth number to which every output, summary and part of the state contributes."""
    loss = outputs.sin().sum() + summary.cos().sum()
    for part in tensors_of(state):
        if part.is_floating_point():
            loss = loss + ((part if part.dtype == torch.float64 else part.float()) + 0.3).sin().sum()
    return loss


def derive(encoder: Encoder, inputs: Tensor, lengths: Tensor) -> Derived:
    """Returns what the encoder makes of a batch, with the gradients of `objective` by inputs and parameters."""
    inputs = inputs.clone().requires_grad_()
    encoder.zero_grad()
    # cuDNN has no gradients of recurrent layers in evaluation mode; what takes its place has
    with torch.backends.cudnn.flags(enabled=encoder.training, allow_tf32=False):
        outputs, state = read(encoder, inputs, lengths)
        summary = encoder.summary(outputs, lengths)
        loss = objective(outputs, summary, state)
        if loss.requires_grad:
            torch.autograd.backward(loss)
    by_inputs = torch.zeros_like(inputs) if inputs.grad is None else inputs.grad
    by_parameters = {name: part.grad.clone() for name, part in encoder.named_parameters() if part.grad is not None}
    return Derived(outputs, state, summary, by_inputs, by_parameters)


def gradients(subject: Subject, evidence: Evidence) -> None:
    """Gradients are finite and reach the inputs and every parameter that is trained, in evaluation and in training."""
    encoder = subject.build()
    inputs, lengths = subject.batch(encoder)
    for mode in ("evaluation", "training"):
        derived = derive(encoder.train(mode == "training"), inputs, lengths)
        evidence.finite(derived.by_inputs, f"the gradient by the inputs is NaN or infinite in {mode}")
        evidence.true(
            bool((derived.by_inputs[0] != 0).any(1).all()),
            f"no gradient reaches some step of the inputs in {mode}: look for .detach(), .data, argmax or no_grad",
        )
        for name, parameter in encoder.named_parameters():
            if parameter.requires_grad:
                gradient = derived.by_parameters.get(name)
                evidence.true(
                    gradient is not None and bool((gradient != 0).any()),
                    f"no gradient reaches `{name}` in {mode}: use it in forward, drop it, or look for .detach(), .data "
                    f"or no_grad; where it is not to be trained, requires_grad_(False)",
                )
                if gradient is not None:
                    evidence.finite(gradient, f"the gradient of `{name}` is NaN or infinite in {mode}")


def derivatives(subject: Subject, evidence: Evidence) -> None:
    """Gradients in float64 are those of small differences of inputs and parameters."""
    encoder = subject.build().double()
    lengths = torch.tensor([3, 2], device=subject.device)
    inputs = subject.inputs(encoder, 2, 3).double()
    derived = derive(encoder, inputs, lengths)
    everything = {"the inputs": (inputs, derived.by_inputs)}
    for name, parameter in encoder.named_parameters():
        if name in derived.by_parameters:
            everything[f"`{name}`"] = parameter.data, derived.by_parameters[name]
    generator = torch.Generator().manual_seed(subject.seed)
    first, second = _slopes(encoder, inputs, lengths, list(everything.values()), generator)
    if not relative_difference(first, second) <= CLOSE_SLOPES:
        for name, pair in everything.items():  # which one it is
            mend = f"the gradient by {name} is not that of the function: look at a backward of your own, .detach(), "
            mend += "in-place changes or rounding"
            evidence.close(*_slopes(encoder, inputs, lengths, [pair], generator), mend, bound=CLOSE_SLOPES)
    evidence.close(first, second, "the gradient is not that of the function", bound=CLOSE_SLOPES)


def _slopes(
    encoder: Encoder,
    inputs: Tensor,
    lengths: Tensor,
    pairs: list[tuple[Tensor, Tensor]],
    generator: torch.Generator,
) -> tuple[Tensor, Tensor]:
    """Returns the slope of `objective` along a random direction, by gradients and by a difference.

    Args:
        encoder: in float64.
        inputs: (batch, time, input_size).
        lengths: (batch,).
        pairs: what is moved, inputs or parameters, each with its gradient.
        generator: of the direction.
    """
    directions = [
        torch.randn(values.shape, generator=generator, dtype=torch.float64).to(values.device) for values, _ in pairs
    ]
    norm = torch.stack([direction.norm() for direction in directions]).norm()
    directions = [direction / norm for direction in directions]
    ends: list[Tensor] = []
    for distance in (EPSILON, -2 * EPSILON, EPSILON):  # ahead, behind, and back to where it was
        for (values, _), direction in zip(pairs, directions, strict=True):
            values += distance * direction
        if len(ends) < 2:
            ends.append(_value(encoder, inputs, lengths))
    slopes = [(gradient * direction).sum() for (_, gradient), direction in zip(pairs, directions, strict=True)]
    return torch.stack(slopes).sum(), (ends[0] - ends[1]) / (2 * EPSILON)


@torch.no_grad()
def _value(encoder: Encoder, inputs: Tensor, lengths: Tensor) -> Tensor:
    outputs, state = read(encoder, inputs, lengths)
    return objective(outputs, encoder.summary(outputs, lengths), state)
