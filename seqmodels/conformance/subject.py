"""The encoder that is checked: how to build it, and what it is given to read."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from seqmodels.conformance.evidence import BrokenPromiseError
from seqmodels.encoders import (
    Cell,
    Encoder,
    EncoderSpec,
    State,
    Unrolled,
    create_encoder,
    encoder_registry,
    pretrained_embedding_size,
    tensors_of,
)
from seqmodels.errors import ConfigurationError

LENGTHS = (11, 3, 0, 7, 1)
WITHOUT_EMPTY = (11, 3, 2, 7, 1)


class Subject:
    """An encoder that can be built afresh for each check, so that no check sees what another left behind.

    Args:
        name: what reports call it.
        create: builds it, with weights drawn from torch's generator.
        device: where it computes.
        seed: of the weights and the inputs.
    """

    def __init__(self, name: str, create: Callable[[], Encoder], *, device: str = "cpu", seed: int = 0) -> None:
        self.name = name
        self.device = torch.device(device)
        self.seed = seed
        self._create = create

    def build(self, seed: int = 0) -> Encoder:
        """Returns a new encoder in evaluation mode; the same `seed` gives the same weights."""
        with torch.random.fork_rng(devices=[] if self.device.type == "cpu" else None):
            torch.manual_seed(self.seed + seed)
            return self._create().to(self.device).eval()

    def inputs(self, encoder: Encoder, batch: int, time: int) -> Tensor:
        """Returns normal numbers (batch, time, input_size), the same each time, padding filled like the rest."""
        generator = torch.Generator().manual_seed(self.seed)
        return torch.randn(batch, time, encoder.input_size, generator=generator).to(self.device)

    def batch(self, encoder: Encoder) -> tuple[Tensor, Tensor]:
        """Returns inputs (5, 11, input_size) and lengths (5,) of 1 to 11 steps, or 0 for one row if it can."""
        return self.inputs(encoder, 5, 11), self.lengths

    @cached_property
    def lengths(self) -> Tensor:
        """The lengths (5,) of most checks. Where a row of length 0 fails, one promise says so, and not all of them."""
        lengths = torch.tensor(LENGTHS, device=self.device)
        try:
            encoder = self.build()
            with torch.no_grad():
                outputs, state = read(encoder, self.inputs(encoder, 5, 11), lengths)
                found = [outputs, encoder.summary(outputs, lengths), *tensors_of(state)]
            sound = all(bool(torch.isfinite(part).all()) for part in found)
        except Exception:  # whatever goes wrong is said by the check that meets it
            sound = False
        return lengths if sound else torch.tensor(WITHOUT_EMPTY, device=self.device)


def subject_of(
    encoder: EncoderSpec | type,
    arguments: Mapping[str, Any],
    *,
    input_size: int | None = None,
    device: str = "cpu",
    seed: int = 0,
) -> Subject:
    """Returns the subject that a class, or a spec as in a config, stands for.

    Args:
        encoder: an `Encoder` or `Cell` class, registered or not; or a registered name, a dotted path, or a mapping with
            one of them under `name`.
        arguments: the constructor's, beside `input_size`.
        input_size: features of each input step; None for 5, or for what a pretrained model asks for.
        device: where to compute.
        seed: of the weights and the inputs.

    Raises:
        ConfigurationError: it is no encoder, its name is unknown, or an argument is unknown, missing or mistyped.
    """
    if inspect.isclass(encoder):
        if not issubclass(encoder, Encoder | Cell):
            raise ConfigurationError(
                f"expected a subclass of Encoder or Cell (seqmodels.encoders), got {encoder.__name__}"
            )
        size = 5 if input_size is None else input_size
        return Subject(encoder.__name__, lambda: _create(encoder, size, arguments), device=device, seed=seed)
    spec: dict[str, Any] = {**(encoder if isinstance(encoder, Mapping) else {"name": encoder}), **arguments}
    name, _ = encoder_registry.check(spec)
    size = (pretrained_embedding_size(spec) or 5) if input_size is None else input_size
    return Subject(name, lambda: create_encoder(spec, size), device=device, seed=seed)


def _create(encoder_class: type[Encoder | Cell], input_size: int, arguments: Mapping[str, Any]) -> Encoder:
    built = encoder_class(input_size, **arguments)
    return Unrolled(built) if isinstance(built, Cell) else built


def read(encoder: Encoder, inputs: Tensor, lengths: Tensor, state: State | None = None) -> tuple[Tensor, State]:
    """Returns the encoder's outputs and state.

    Raises:
        BrokenPromiseError: `forward` returns no such pair, or outputs of another shape, or it changes its inputs.
    """
    before = inputs.detach().clone()
    result = encoder(inputs, lengths, state)
    if not torch.equal(before.nan_to_num(), inputs.detach().nan_to_num()):
        raise BrokenPromiseError("forward changes its inputs in place: write to a copy")
    if not isinstance(result, tuple) or len(result) != 2 or not isinstance(result[0], Tensor):
        raise BrokenPromiseError(
            f"forward returns {_kind(result)}: return the pair (outputs, state), state being None if there is none"
        )
    outputs, state = result
    expected = (*inputs.shape[:2], encoder.output_size)
    if outputs.shape != expected:
        raise BrokenPromiseError(
            f"forward returns outputs of shape {tuple(outputs.shape)} for inputs {tuple(inputs.shape)}, expected "
            f"{expected}: return (batch, time, output_size), or pass the true output_size to super().__init__"
        )
    return outputs, state


def _kind(result: object) -> str:
    return f"a tuple of {len(result)}" if isinstance(result, tuple) else f"a {type(result).__name__}"
