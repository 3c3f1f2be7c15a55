"""Building the network that a checkpoint's record describes, of registered classes only."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from seqmodels.attention import attention_registry
from seqmodels.data.schema import Schema
from seqmodels.decoders import decoder_registry
from seqmodels.embedders import character_encoder_registry, embedder_registry
from seqmodels.encoders import encoder_registry
from seqmodels.errors import CheckpointError, ConfigurationError
from seqmodels.networks import Network, network_registry
from seqmodels.registry import NotRegisteredError, Registry, only_registered


def check_registered(record: Mapping[str, Any]) -> None:
    """Makes sure that a record names nothing but registered networks, encoders, decoders, attentions and embedders.

    Raises:
        CheckpointError: it does; names the plugins that were loaded when it was made.
    """
    network = record["network"]
    embedders = [network.get("embedder"), *([network["target_embedder"]] if "target_embedder" in network else [])]
    characters = [one["characters"] for one in embedders if isinstance(one, Mapping) and one.get("characters")]
    encoders = [*_specs(network.get("encoder"))]
    decoders = [network["decoder"]] if "decoder" in network else []
    attentions = [one["attention"] for one in decoders if isinstance(one, Mapping) and one.get("attention")]
    for spec in decoders:
        encoders += [*_specs(spec.get("layer"))] if isinstance(spec, Mapping) else []
    for spec in characters:
        encoders += [*_specs(spec.get("encoder"))] if isinstance(spec, Mapping) else []
    named: list[tuple[str, Registry[Any], Any]] = [
        ("network", network_registry, network),
        *(("embedder", embedder_registry, spec) for spec in embedders),
        *(("character encoder", character_encoder_registry, spec) for spec in characters),
        *(("encoder", encoder_registry, spec) for spec in encoders),
        *(("decoder", decoder_registry, spec) for spec in decoders),
        *(("attention", attention_registry, spec) for spec in attentions),
    ]
    for kind, registry, spec in named:
        name = spec if isinstance(spec, str) else (spec or {}).get("name", registry.default)
        if name is not None and not registry.is_registered(name):
            raise CheckpointError(
                f"checkpoint names the {kind} '{name}', which is not registered here; {_plugin_hint(record)}"
            )


def build_network(record: Mapping[str, Any]) -> Network:
    """Builds the network that a record describes, of registered classes only; its weights are still to be loaded.

    Raises:
        CheckpointError: the record names what is not registered, or arguments that are not those of this version.
    """
    check_registered(record)
    try:
        with only_registered():
            return network_registry.create(record["network"], Schema.from_record(record["schema"]))
    except NotRegisteredError as error:
        raise CheckpointError(f"checkpoint: {error}; {_plugin_hint(record)}") from error
    except ConfigurationError as error:
        raise CheckpointError(f"the network that the checkpoint describes cannot be built here: {error}") from error


def _plugin_hint(record: Mapping[str, Any]) -> str:
    plugins = record.get("plugins") or []
    if not plugins:
        return "import the module that registers it first"
    return f"it was made with the plugins {', '.join(plugins)}: load(path, plugins={plugins!r}), or --plugins"


def _specs(spec: Any) -> Iterator[Any]:
    """Yields a spec and those nested in its arguments, so far as they can be told from other arguments."""
    if isinstance(spec, str):
        yield spec
    elif isinstance(spec, Mapping):
        if "name" in spec:
            yield spec
        for key, value in spec.items():
            for part in value if isinstance(value, (list, tuple)) else (value,):
                if isinstance(part, Mapping) or (isinstance(part, str) and key in ("layer", "layers")):
                    yield from _specs(part)
