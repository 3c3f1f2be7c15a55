"""From a spec to the cell that a wrapper wraps."""

from __future__ import annotations

from seqmodels.encoders.create import create_nested_encoder
from seqmodels.encoders.encoder import Cell, EncoderSpec, encoder_registry
from seqmodels.encoders.unrolled import Unrolled
from seqmodels.errors import ConfigurationError


def create_nested_cell(owner: str, spec: EncoderSpec, input_size: int) -> Cell:
    """Builds a cell that is part of another; errors begin with `owner`, the place of the spec.

    Raises:
        ConfigurationError: see `create_encoder`; or the spec names an encoder that is not a cell (lists the cells).
    """
    encoder = create_nested_encoder(owner, spec, input_size)
    if not isinstance(encoder, Unrolled):
        cells = [name for name in encoder_registry.names() if issubclass(encoder_registry.get(name), Cell)]
        raise ConfigurationError(
            f"{owner}: expected a cell, which goes step by step, got {spec!r}, which reads whole sequences; "
            f"cells: {', '.join(cells)}"
        )
    return encoder.cell
