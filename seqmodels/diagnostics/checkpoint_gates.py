"""The time scales of a trained model's encoder, on texts or on random inputs."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Generator, Tensor

from seqmodels.data.encoded import collate
from seqmodels.diagnostics.gates import check_gated, forget_activations
from seqmodels.diagnostics.timescales import Timescales, timescales_of
from seqmodels.errors import ConfigurationError
from seqmodels.inference.predictor import Predictor


def checkpoint_timescales(
    model: Predictor, texts: Sequence[str] | None = None, *, rows: int = 64, steps: int = 256, seed: int = 0
) -> list[Timescales]:
    """Computes how long the units of a trained model's gated layers remember.

    Args:
        model: the model, made by `seqmodels.load`.
        texts: what it reads, one a row; None for random inputs: embeddings of tokens of the vocabulary, each as likely
            as another, or standard normal numbers where there are no tokens.
        rows: how many texts are read at the most, or random rows made.
        steps: steps of a random row.
        seed: of random inputs.

    Raises:
        ConfigurationError: no forget gates of the encoder are known, or the model does not read texts.
        DataError: a text does not fit the model's vocabulary.
    """
    network = model.network
    spec = model.record["network"]["encoder"]
    check_gated(spec, network.encoder)
    with torch.no_grad():
        inputs, lengths = _random(model, rows, steps, seed) if texts is None else _read(model, texts[:rows])
        found = forget_activations(spec, network.encoder, inputs, lengths)
    return [timescales_of(name, forget, given) for name, (forget, given) in found.items()]


def _read(model: Predictor, texts: Sequence[str]) -> tuple[Tensor, Tensor]:
    """Returns the embedded texts (batch, time, input_size) with their lengths."""
    if model.schema.features is not None:
        raise ConfigurationError("this model reads features, not texts; leave out --input for random ones")
    encoded = model.network.columns([{"text": text} for text in texts])
    batch = collate(encoded, list(range(len(texts))))
    return model.network.embedder(batch.inputs, batch.lengths), batch.lengths


def _random(model: Predictor, rows: int, steps: int, seed: int) -> tuple[Tensor, Tensor]:
    generator = Generator().manual_seed(seed)
    table = model.network.embedder.token_weights()
    if table is None:
        inputs = torch.randn(rows, steps, model.network.encoder.input_size, generator=generator)
    else:
        inputs = table[torch.randint(table.size(0), (rows, steps), generator=generator)]
    return inputs, torch.full((rows,), steps)
