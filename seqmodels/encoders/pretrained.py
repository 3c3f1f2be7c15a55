"""Pretrained Hugging Face models as encoders."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pad

from seqmodels.encoders.encoder import Encoder, EncoderSpec, check_batch, register_encoder
from seqmodels.encoders.state import State
from seqmodels.errors import ConfigurationError, DataError
from seqmodels.masking import lengths_to_mask, zero_beyond


@register_encoder("pretrained")
class PretrainedEncoder(Encoder):
    """Reads embedded inputs with a Hugging Face `transformers.AutoModel` that has no decoder (BERT and its kin).

    It reads vectors, as every encoder does. The vectors that the model was trained on are the rows of
    `embedding_weights()`; an embedder that takes them over gives the model what its own tokens would.

    Args:
        input_size: features of each input step; the size of the model's token embeddings.
        model: a local folder or a name on the hub.
        frozen: whether the model stays as it is (no gradients, no dropout), or is fine-tuned.
        config: the model's configuration as a plain mapping; where given, the architecture is built from it alone, with
            new weights, and `model` is not read: so a checkpoint needs no folder. `resolve_pretrained` fills it in.

    Raises:
        ConfigurationError: `transformers` is not installed, the model cannot be read, has a decoder, or embeds its
            tokens in another size than `input_size`.
    """

    def __init__(
        self, input_size: int, *, model: str, frozen: bool = True, config: dict[str, Any] | None = None
    ) -> None:
        network = _load(model) if config is None else _build(config)
        super().__init__(input_size, network.config.hidden_size, causal=False)
        embedding = network.get_input_embeddings()
        if embedding.embedding_dim != input_size:
            raise ConfigurationError(
                f"pretrained: '{model}' embeds its tokens in {embedding.embedding_dim} features, got input_size "
                f"{input_size}; give the embedder the size {embedding.embedding_dim}"
            )
        if getattr(network, "pooler", None) is not None:
            network.pooler = None  # reads the outputs of the first step for a use that is not ours
        self.network: Any = network
        self.frozen = frozen
        self.requires_grad_(not frozen)
        embedding.weight.requires_grad_(False)  # never read here: the embedder looks tokens up
        self.train(self.training)

    def train(self, mode: bool = True) -> PretrainedEncoder:
        """Sets training mode; a frozen model stays in evaluation mode."""
        super().train(mode)
        self.network.train(mode and not self.frozen)
        return self

    def embedding_weights(self) -> Tensor:
        """Returns the model's token embeddings (vocab_size, input_size), to be trained unless it is frozen."""
        weight: Tensor = self.network.get_input_embeddings().weight
        return weight.detach().requires_grad_(not self.frozen)

    def forward(self, inputs: Tensor, lengths: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """Encodes whole sequences; see `Encoder.forward`. The state is None: there is nothing to carry.

        Raises:
            ConfigurationError: the shapes do not fit, or a state is given.
            DataError: there are more steps than the model has positions.
        """
        check_batch(self, inputs, lengths, state)
        limit = getattr(self.network.config, "max_position_embeddings", None)
        if limit is not None and inputs.size(1) > limit:
            longest = int(lengths.max())
            if longest > limit:
                raise DataError(
                    f"pretrained: the model reads {limit} steps at most, the longest row has {longest}; "
                    f"cut the texts to {limit} tokens"
                )
            outputs, _ = self(inputs[:, :limit], lengths)  # what is beyond is padding
            return pad(outputs, (0, 0, 0, inputs.size(1) - limit)), None
        if inputs.size(0) == 0 or inputs.size(1) == 0:
            return inputs.new_zeros(inputs.size(0), inputs.size(1), self.output_size), None
        # Attention over no step at all is undefined: a row of length 0 is let see one step, and cleared afterwards.
        mask = lengths_to_mask(lengths.clamp(min=1), inputs.size(1))
        found = self.network(inputs_embeds=zero_beyond(inputs, lengths), attention_mask=mask.long())
        return zero_beyond(found.last_hidden_state, lengths), None


def resolve_pretrained(spec: EncoderSpec) -> EncoderSpec:
    """Returns the spec with the `config` of every pretrained model in it, nested ones too, read and filled in.

    What is built from such a spec needs neither the model's folder nor the hub; its weights come from a checkpoint.

    Raises:
        ConfigurationError: `transformers` is not installed, or the model's configuration cannot be read.
    """
    if not isinstance(spec, Mapping):
        return spec
    resolved = {key: _resolve_value(value) for key, value in spec.items()}
    is_pretrained = spec.get("name") in ("pretrained", f"{__name__}.{PretrainedEncoder.__name__}")
    if is_pretrained and resolved.get("config") is None and "model" in resolved:
        resolved["config"] = _read_config(resolved["model"])
    return resolved


def pretrained_embedding_size(spec: EncoderSpec) -> int | None:
    """Returns the `input_size` that the pretrained model of a spec, or of its first layer, asks for; None for others.

    Raises:
        ConfigurationError: `transformers` is not installed, or the model's configuration cannot be read.
    """
    layers = spec.get("layers") if isinstance(spec, Mapping) else None
    if isinstance(layers, list) and layers:
        return pretrained_embedding_size(layers[0])
    resolved = resolve_pretrained(spec)
    if not isinstance(resolved, Mapping) or resolved.get("config") is None:
        return None
    with torch.device("meta"):
        return int(_build(resolved["config"]).get_input_embeddings().embedding_dim)


def _resolve_value(value: Any) -> Any:
    if isinstance(value, Mapping) and "name" in value:
        return resolve_pretrained(value)
    return [_resolve_value(part) for part in value] if isinstance(value, list | tuple) else value


def _transformers() -> Any:
    try:
        import transformers
    except ImportError as error:
        raise ConfigurationError(
            "the encoder 'pretrained' needs the package transformers: pip install 'seqmodels[pretrained]'"
        ) from error
    return transformers


def _read_config(model: str) -> dict[str, Any]:
    try:
        config = _transformers().AutoConfig.from_pretrained(model)
    except (OSError, ValueError) as error:
        raise _unreadable(model, error) from error
    plain: dict[str, Any] = json.loads(config.to_json_string(use_diff=False))
    return plain


def _load(model: str) -> Any:
    _refuse_decoder(_read_config(model))
    try:
        network = _transformers().AutoModel.from_pretrained(model)
    except (OSError, ValueError) as error:
        raise _unreadable(model, error) from error
    return network.float()


def _build(config: Mapping[str, Any]) -> Any:
    _refuse_decoder(config)
    transformers = _transformers()
    options = {key: value for key, value in config.items() if key != "model_type"}
    try:
        built = transformers.AutoConfig.for_model(config["model_type"], **options)
    except (KeyError, ValueError) as error:
        raise ConfigurationError(f"pretrained: config must name a known `model_type`: {error}") from error
    network = transformers.AutoModel.from_config(built)
    return network.float()


def _refuse_decoder(config: Mapping[str, Any]) -> None:
    if config.get("is_encoder_decoder"):
        raise ConfigurationError(
            f"pretrained: a model of type '{config.get('model_type')}' has a decoder; choose an encoder, such as a BERT"
        )


def _unreadable(model: str, error: Exception) -> ConfigurationError:
    reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    return ConfigurationError(
        f"pretrained: cannot read the model '{model}': {reason}; give a folder made by `save_pretrained`, or a hub name"
    )
