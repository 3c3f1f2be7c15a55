"""The contract that every decoder keeps, and the registry of decoders."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import NamedTuple

from torch import Tensor, nn

from seqmodels.attention import Keys
from seqmodels.encoders.options import check_sizes
from seqmodels.encoders.state import State
from seqmodels.registry import Registry, Spec


class Decoded(NamedTuple):
    """What a decoder makes of whole targets.

    Attributes:
        outputs: (batch, time, output_size), zero beyond each row's length.
        state: as it is after each row's last real step.
        attention: (batch, time, source_time), zero beyond both lengths; None if the decoder does not attend.
    """

    outputs: Tensor
    state: State
    attention: Tensor | None


class Decoder(nn.Module, ABC):
    """Writes a target from what an encoder made of the source, one vector for each step.

    What a decoder promises: `forward` equals as many `step`s; padding of source or target, neighbouring rows and their
    order change nothing; a step does not depend on later ones; the rows of its state may be selected, repeated and
    reordered by `select_rows`, and go on with the source that they began with.

    What is computed of the source once, its keys, lies beside the state and stays one row for each source, however many
    rows of the state read it: a beam does not copy it.

    Args:
        input_size: features of each embedded step of the target.
        memory_size: features of each place of the source, and of its summary: the encoder's output_size.
        output_size: features of each output.
        attends: whether there is attention to read.

    Raises:
        ConfigurationError: a size is not a positive integer.
    """

    def __init__(self, input_size: int, memory_size: int, output_size: int, *, attends: bool) -> None:
        super().__init__()
        check_sizes(self, input_size=input_size, memory_size=memory_size, output_size=output_size)
        self.input_size = input_size
        self.memory_size = memory_size
        self.output_size = output_size
        self.attends = attends

    @abstractmethod
    def begin(self, memory: Tensor, lengths: Tensor, summary: Tensor) -> tuple[State, Keys]:
        """Reads the source.

        Args:
            memory: (batch, source_time, memory_size), the encoder's outputs, right padded.
            lengths: (batch,) int64, real places of each source, 0 to source_time.
            summary: (batch, memory_size), the encoder's `summary` of them.

        Returns:
            the state before the first step, and the keys, one row of each for each source.
        """

    @abstractmethod
    def forward(self, embedded: Tensor, lengths: Tensor, state: State, keys: Keys) -> Decoded:
        """Decodes whole targets that are known (teacher forcing).

        Args:
            embedded: (batch, time, input_size), right padded: at each step what was written before it.
            lengths: (batch,) int64, real steps of each target, 0 to time.
            state: from `begin`, `forward` or `step`; for a row of length zero it is returned as it is.
            keys: from `begin`.
        """

    @abstractmethod
    def step(self, embedded: Tensor, state: State, keys: Keys) -> tuple[Tensor, State]:
        """Decodes one step.

        Args:
            embedded: (rows, input_size).
            state: of as many rows, from `begin`, `forward` or `step`, selected at will.
            keys: from `begin`, as they were, whatever was selected from the state.

        Returns:
            outputs (rows, output_size), and the next state.
        """

    @abstractmethod
    def read_attention(self, state: State) -> Tensor:
        """Returns where the step that gave this state looked, (rows, source_time), zero on padding.

        Raises:
            ConfigurationError: the decoder does not attend.
        """


decoder_registry: Registry[Decoder] = Registry("decoder", Decoder, supplied=2, default="attention")
register_decoder = decoder_registry.register
list_decoders = decoder_registry.names

DecoderSpec = Spec


def create_decoder(spec: DecoderSpec, input_size: int, memory_size: int) -> Decoder:
    """Builds the decoder that `spec` names.

    Raises:
        ConfigurationError: the name is unknown (lists the known ones and the nearest), an argument is unknown, missing
            or out of range, or the sizes do not fit.
    """
    return decoder_registry.create(spec, input_size, memory_size)
