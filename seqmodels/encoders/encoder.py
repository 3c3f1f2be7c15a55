"""The contract that every encoder keeps, and the registry of encoders."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor, nn

from seqmodels.encoders.options import check_sizes
from seqmodels.encoders.state import State
from seqmodels.errors import ConfigurationError
from seqmodels.masking import last_step
from seqmodels.registry import Registry, Spec


class Encoder(nn.Module, ABC):
    """Reads right-padded sequences of vectors and returns one vector for each step.

    What an encoder promises, for every batch (the contract tests prove it for each registered one): padding,
    neighbouring rows and their order change neither outputs nor gradients; outputs beyond a row's length are
    exactly zero; a causal encoder never looks ahead, and reading a sequence in chunks with carried state, or step
    by step, equals reading it whole; rows of length zero are allowed.

    Args:
        input_size: features of each input step.
        output_size: features of each output step.
        causal: whether step t depends on the steps up to t only.
    """

    def __init__(self, input_size: int, output_size: int, *, causal: bool) -> None:
        super().__init__()
        check_sizes(self, input_size=input_size, output_size=output_size)
        self.input_size = input_size
        self.output_size = output_size
        self.causal = causal

    @abstractmethod
    def forward(self, inputs: Tensor, lengths: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """Encodes whole sequences.

        Args:
            inputs: (batch, time, input_size), right padded; the values of the padding do not matter.
            lengths: (batch,) int64, each row's number of real steps, 0 to time.
            state: where a causal encoder goes on from; None for the initial state.

        Returns:
            outputs (batch, time, output_size), zero beyond each row's length; and the state after each row's last
            real step (for a row of length zero, the state that came in).
        """

    def initial_state(self, batch_size: int) -> State:
        """Returns the state before the first step, for `batch_size` rows.

        Raises:
            ConfigurationError: the encoder is not causal.
        """
        raise ConfigurationError(self._no_steps())

    def step(self, inputs: Tensor, state: State) -> tuple[Tensor, State]:
        """Encodes one step: inputs (batch, input_size) and a state to outputs (batch, output_size) and the next state.

        Raises:
            ConfigurationError: the encoder is not causal.
        """
        raise ConfigurationError(self._no_steps())

    def summary(self, outputs: Tensor, lengths: Tensor) -> Tensor:
        """Returns (batch, output_size): the output after the last real step, of each direction where there are two."""
        return last_step(outputs, lengths)

    def embedding_weights(self) -> Tensor | None:
        """Returns the token embeddings (vocab_size, input_size) that it was trained with elsewhere, or None.

        Where they do not require a gradient, the embedder that takes them over leaves them as they are, too.
        """
        return None

    def future_reader(self) -> str:
        """Returns what in this encoder reads the future, for messages: its class, or the layer of it that does."""
        return type(self).__name__

    def _no_steps(self) -> str:
        reason = (
            "defines no `step`" if self.causal else "reads the future, so it cannot go step by step or carry a state"
        )
        return f"{self.future_reader()} {reason}; choose a causal encoder, such as lstm with bidirectional: false"


class Cell(nn.Module, ABC):
    """One step of a recurrence; `Unrolled` makes an encoder of it, and registering a cell does so by itself.

    `initial_state` and `step` are all that a cell needs. One whose inputs enter through a matrix product is faster with
    `project` and `step_projected` too: the product is then one for all steps.

    Args:
        input_size: features of each input step.
        output_size: features of each output step.
    """

    masks_recurrence: bool = False  # whether `step_projected` takes a `recurrent_mask`, as recurrent dropout needs

    def __init__(self, input_size: int, output_size: int) -> None:
        super().__init__()
        check_sizes(self, input_size=input_size, output_size=output_size)
        self.input_size = input_size
        self.output_size = output_size

    @abstractmethod
    def initial_state(self, batch_size: int) -> State:
        """Returns the state before the first step: tensors with `batch_size` as first axis."""

    @abstractmethod
    def step(self, inputs: Tensor, state: State) -> tuple[Tensor, State]:
        """Computes one step: inputs (batch, input_size) and a state to output (batch, output_size), next state."""

    def project(self, inputs: Tensor) -> Tensor:
        """Computes what the steps need of the inputs (..., input_size) alone, as (..., any size): here, themselves."""
        return inputs

    def step_projected(
        self, projected: Tensor, state: State, recurrent_mask: Tensor | None = None
    ) -> tuple[Tensor, State]:
        """Computes one step from what `project` made of its inputs: `step(x, s)` is `step_projected(project(x), s)`.

        Args:
            projected: (batch, the size that `project` gives).
            state: as `step` takes it.
            recurrent_mask: (batch, output_size), factors of the previous output where it enters a product with
                weights; None for ones. Only where `masks_recurrence`.
        """
        return self.step(projected, state)


def check_batch(encoder: Encoder, inputs: Tensor, lengths: Tensor, state: State | None) -> None:
    """Checks what `Encoder.forward` is given, as far as that needs no look at the values.

    Raises:
        ConfigurationError: inputs are not (batch, time, input_size), lengths not (batch,); or an encoder that reads
            the future is given a state.
    """
    name = type(encoder).__name__
    if inputs.dim() != 3 or inputs.size(2) != encoder.input_size:
        raise ConfigurationError(
            f"{name}: expected inputs of shape (batch, time, {encoder.input_size}), got {tuple(inputs.shape)}"
        )
    if lengths.dim() != 1 or lengths.size(0) != inputs.size(0):
        raise ConfigurationError(
            f"{name}: expected lengths of shape ({inputs.size(0)},), one for each row, got {tuple(lengths.shape)}"
        )
    if state is not None and not encoder.causal:
        raise ConfigurationError(
            f"{encoder.future_reader()} reads the future, so it cannot go on from a state; "
            f"choose a causal encoder, such as lstm with bidirectional: false"
        )


encoder_registry: Registry[Encoder] = Registry("encoder", (Encoder, Cell), supplied=1)
register_encoder = encoder_registry.register
list_encoders = encoder_registry.names

EncoderSpec = Spec
