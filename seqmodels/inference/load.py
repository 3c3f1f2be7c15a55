"""Loading a model from a checkpoint or a saved folder, and saving it as a folder."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from seqmodels.checkpoint_file import KEY, check_record, read_checkpoint
from seqmodels.errors import CheckpointError, ConfigurationError
from seqmodels.inference.checkpoint import build_network
from seqmodels.inference.plugins import import_plugins
from seqmodels.inference.predictor import Predictor, what_it_does
from seqmodels.inference.translation_ensemble import TranslationEnsemble
from seqmodels.networks import Network, TranslationNetwork

# The parts of a schema that are tokenizers, each with its file in a saved folder.
_TOKENIZER_FILES = {"tokens": "tokenizer.json", "target_tokens": "target_tokenizer.json"}


def load(path: str | os.PathLike[str], *, plugins: Sequence[str] = (), batch_size: int = 64) -> Predictor:
    """Loads a trained model from a checkpoint file, or from a folder made by `save_pretrained`.

    Args:
        path: the checkpoint, made by the command line or in Python; a run's folder, for its best one; or such a folder.
        plugins: modules of your own to import first, where the model uses what they register.
        batch_size: rows computed at once in prediction.

    Raises:
        CheckpointError: the file is missing, truncated, foreign, or names a class that is not registered.
    """
    import_plugins(plugins)
    if (Path(path) / "config.json").is_file():
        return from_pretrained(path, batch_size=batch_size)
    checkpoint = read_checkpoint(path)
    weights = {
        key.removeprefix("network."): value
        for key, value in checkpoint["state_dict"].items()
        if key.startswith("network.")
    }
    return _build(checkpoint[KEY], weights, batch_size, str(path))


def load_ensemble(
    paths: Sequence[str | os.PathLike[str]], *, plugins: Sequence[str] = (), batch_size: int = 64
) -> Predictor:
    """Loads several translators that write together: at each step their probabilities are averaged.

    Args:
        paths: their checkpoints or folders, as `load` takes them; one is as good as `load` of it.
        plugins: modules of your own to import first.
        batch_size: rows computed at once.

    Returns:
        a predictor that translates and scores translations with all of them.

    Raises:
        CheckpointError: a file is missing, truncated, foreign, or names a class that is not registered.
        ConfigurationError: there is no path, a model is not a translator, or vocabularies differ.
    """
    if isinstance(paths, (str, os.PathLike)) or not paths:
        raise ConfigurationError(f"load_ensemble: expected a list of checkpoints, got {paths!r}")
    loaded = [load(path, plugins=plugins, batch_size=batch_size) for path in paths]
    networks = []
    for path, predictor in zip(paths, loaded, strict=True):
        if not isinstance(predictor.network, TranslationNetwork):
            raise ConfigurationError(f"{path}: expected a translator, but {what_it_does(predictor.network)}")
        networks.append(predictor.network)
    ensemble = TranslationEnsemble(networks, [str(path) for path in paths])
    return Predictor(networks[0], loaded[0].record, batch_size, ensemble)


def save_pretrained(predictor: Predictor, folder: str | os.PathLike[str]) -> None:
    """Writes a model as a folder to share or push to a hub: safetensors, JSON and the tokenizers' own files.

    A table that two parts of the network share is written once.

    Raises:
        ConfigurationError: the predictor is an ensemble, which is several models.
    """
    from safetensors.torch import save_file

    if predictor.ensemble is not None and len(predictor.ensemble.networks) > 1:
        raise ConfigurationError("an ensemble is several models: save each by itself, and load_ensemble the folders")
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    state = predictor.network.state_dict()
    shared = _shared(predictor.network)
    weights = {key: state[key].detach().cpu().clone().contiguous() for key in state if key not in shared}
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    record = {key: value for key, value in predictor.record.items() if key != "data"}
    schema = dict(record["schema"])
    for part, file in _TOKENIZER_FILES.items():
        if isinstance(schema.get(part), Mapping):
            tokens = dict(schema[part])
            (folder / file).write_text(tokens.pop("json"), encoding="utf-8")
            schema[part] = tokens
    (folder / "config.json").write_text(json.dumps({**record, "schema": schema}, indent=2, ensure_ascii=False), "utf-8")
    (folder / "README.md").write_text(_model_card(predictor), encoding="utf-8")


def from_pretrained(name: str | os.PathLike[str], *, plugins: Sequence[str] = (), batch_size: int = 64) -> Predictor:
    """Loads a model from a folder made by `save_pretrained`, or from the hub by its name.

    Raises:
        CheckpointError: a file of the folder is missing or damaged, or the model names a class that is not registered.
    """
    import_plugins(plugins)
    folder = Path(name)
    if not folder.is_dir() and (str(name).startswith(("/", ".", "~")) or str(name).endswith("/")):
        raise CheckpointError(f"{name}: no such folder; expected one made by save_pretrained, or a name on the hub")
    if not folder.is_dir():
        folder = _download(str(name))
    for file in ("config.json", "model.safetensors"):
        if not (folder / file).exists():
            raise CheckpointError(f"{folder}: expected the file {file}, as save_pretrained writes it; it is not there")
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        record = json.loads((folder / "config.json").read_text("utf-8"))
        check_record(record, str(folder / "config.json"))
        for part, file in _TOKENIZER_FILES.items():
            if isinstance(record["schema"].get(part), dict):
                record["schema"][part]["json"] = (folder / file).read_text("utf-8")
        weights = load_file(folder / "model.safetensors")
    except (ValueError, KeyError, TypeError, OSError, SafetensorError) as error:
        if isinstance(error, CheckpointError):
            raise
        raise CheckpointError(f"{folder}: damaged, or not a folder of seqmodels: {error}") from error
    return _build(record, weights, batch_size, str(folder))


def _build(record: Mapping[str, Any], weights: dict[str, Tensor], batch_size: int, source: str) -> Predictor:
    network = build_network(record)
    weights |= {
        key: weights[first] for key, first in _shared(network).items() if key not in weights and first in weights
    }
    try:
        network.load_state_dict(weights)
    except RuntimeError as error:
        raise CheckpointError(f"{source}: its weights do not fit the network it describes: {error}") from error
    return Predictor(network, record, batch_size)


def _shared(network: Network) -> dict[str, str]:
    """Returns the names of parameters that are another one too, each with the first name of that."""
    first: dict[int, str] = {}
    shared = {}
    for key, value in network.state_dict(keep_vars=True).items():
        if first.setdefault(id(value), key) != key:
            shared[key] = first[id(value)]
    return shared


def _download(name: str) -> Path:
    try:
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import HfHubHTTPError, HFValidationError
    except ImportError as error:
        raise CheckpointError(f"'{name}' is no folder; to load it from the hub install huggingface_hub") from error
    try:
        return Path(snapshot_download(name, allow_patterns=["*.json", "*.safetensors"]))
    except (HFValidationError, HfHubHTTPError, OSError) as error:
        raise CheckpointError(f"'{name}' is neither a folder here nor to be had from the hub: {error}") from error


def _model_card(predictor: Predictor) -> str:
    parameters = sum(parameter.numel() for parameter in predictor.network.parameters())
    task = predictor.record["network"]["name"]
    call = {"tagging": "tag", "language_modeling": "score", "translation": "translate"}.get(task, "predict")
    target = predictor.schema.target
    classes = "" if target is None else f" with {len(target.names)} classes"
    return (
        f"---\nlibrary_name: seqmodels\ntags: [{task}]\n---\n\n"
        f"A {task} model of {parameters:,} parameters{classes}, made with seqmodels.\n\n"
        f"```python\nimport seqmodels\n\nmodel = seqmodels.from_pretrained('.')\nmodel.{call}([...])\n```\n"
    )
