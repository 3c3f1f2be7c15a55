"""From a spec to an encoder."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from seqmodels.encoders.encoder import Cell, Encoder, EncoderSpec, encoder_registry
from seqmodels.encoders.unrolled import Unrolled
from seqmodels.errors import ConfigurationError


def create_encoder(spec: EncoderSpec, input_size: int, **arguments: Any) -> Encoder:
    """Builds the encoder that `spec` names; a cell becomes one by being unrolled.

    Args:
        spec: a registered name, the dotted path of a class, or a mapping with that under `name` and arguments beside.
        input_size: features of each input step.
        arguments: more arguments; they win over those of the spec.

    Raises:
        ConfigurationError: the name is unknown (lists the known ones and the nearest), an argument is unknown, missing
            or out of range, or what was built does not publish what the contract asks for.

    Example:
        >>> create_encoder("lstm", 7, hidden_size=5, bidirectional=True).output_size
        10
    """
    if arguments:
        spec = {**(spec if isinstance(spec, Mapping) else {"name": spec}), **arguments}
    name = spec.get("name") if isinstance(spec, Mapping) else spec
    built: Encoder | Cell = encoder_registry.create(spec, input_size)
    _check_published(str(name), built, input_size)
    return Unrolled(built) if isinstance(built, Cell) else built


def create_nested_encoder(owner: str, spec: EncoderSpec, input_size: int) -> Encoder:
    """Builds an encoder that is part of another; errors begin with `owner`, the place of the spec.

    Raises:
        ConfigurationError: see `create_encoder`.
    """
    try:
        return create_encoder(spec, input_size)
    except ConfigurationError as error:
        raise ConfigurationError(f"{owner}: {error}") from error


def _check_published(name: str, built: Encoder | Cell, input_size: int) -> None:
    wanted = {"input_size": int, "output_size": int} | ({} if isinstance(built, Cell) else {"causal": bool})
    for attribute, kind in wanted.items():
        value = getattr(built, attribute, None)
        if not isinstance(value, kind):
            raise ConfigurationError(
                f"encoder '{name}' does not publish `{attribute}` ({kind.__name__}), got {value!r}; "
                f"its constructor must pass it to super().__init__"
            )
    if built.input_size != input_size:
        raise ConfigurationError(
            f"encoder '{name}' was given input_size {input_size} and publishes {built.input_size}; "
            f"its constructor must pass what it is given to super().__init__"
        )
