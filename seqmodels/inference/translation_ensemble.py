"""Translation networks that write together, one or several."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor

from seqmodels.attention import Keys
from seqmodels.data.batch import Batch
from seqmodels.data.schema import TokenInput
from seqmodels.data.tokenizers import Tokenizer
from seqmodels.encoders import State
from seqmodels.errors import ConfigurationError
from seqmodels.generation import Ensemble, Step
from seqmodels.networks import TranslationNetwork


class TranslationEnsemble:
    """One network, or several that average their probabilities at each step.

    Args:
        networks: one or more, which read and write the same vocabularies.
        names: what errors call them, such as the paths of their checkpoints; None for their numbers.

    Raises:
        ConfigurationError: there is none, or vocabularies differ.
    """

    def __init__(self, networks: Sequence[TranslationNetwork], names: Sequence[str] | None = None) -> None:
        if not networks:
            raise ConfigurationError("an ensemble needs at least one network, got none")
        self.networks = tuple(networks)
        names = [f"network {number}" for number in range(1, len(networks) + 1)] if names is None else names
        first = networks[0].schema
        for name, network in zip(names[1:], networks[1:], strict=True):
            schema = network.schema
            _check_same("target", names[0], first.target_tokens, name, schema.target_tokens)
            _check_same("source", names[0], first.tokens, name, schema.tokens)
            if (first.characters, first.features, first.pretokenized) != (
                *(schema.characters, schema.features, schema.pretokenized),
            ):
                raise ConfigurationError(
                    f"the networks of an ensemble must read the same sources, but {name} reads other characters, "
                    f"features or words than {names[0]}; train them with the same data settings"
                )

    @property
    def tokenizer(self) -> Tokenizer:
        """What turns the ids that are written into text."""
        return self.networks[0].target_tokenizer

    @property
    def source_tokenizer(self) -> Tokenizer | None:
        """What turns the ids that are read into tokens; None where features are read."""
        tokens = self.networks[0].schema.tokens
        return None if tokens is None else tokens.tokenizer

    @property
    def begin_id(self) -> int:
        """What is read before the first id is written."""
        return self.networks[0].begin_id

    @property
    def end_id(self) -> int:
        """The id that ends a target."""
        return self.networks[0].end_id

    @property
    def attends(self) -> bool:
        """Whether there is attention to read: whether all networks have it."""
        return all(network.decoder.attends for network in self.networks)

    def read(self, batch: Batch) -> tuple[Step, State]:
        """Reads the sources of a batch; returns the step that writes, with the state before the first."""
        steps, states = [], []
        for network in self.networks:
            state, keys = network.read(batch)
            steps.append(partial(_step, network, keys))
            states.append(state)
        return (steps[0], states[0]) if len(steps) == 1 else (Ensemble(steps), tuple(states))

    def read_attention(self, state: State) -> Tensor:
        """Returns where the step that gave this state looked (rows, source_time): the mean over the networks."""
        if len(self.networks) == 1:
            return self.networks[0].decoder.read_attention(state)  # type: ignore[no-any-return]
        parts = zip(self.networks, state, strict=True)
        return torch.stack([network.decoder.read_attention(part) for network, part in parts]).mean(0)


def _step(network: TranslationNetwork, keys: Keys, ids: Tensor, state: State) -> tuple[Tensor, State]:
    return network.step(ids, state, keys)


def _check_same(side: str, first_name: str, first: TokenInput | None, name: str, other: TokenInput | None) -> None:
    if (first and first.tokenizer) == (other and other.tokenizer):
        return
    if first is None or other is None:
        raise ConfigurationError(
            f"the networks of an ensemble must read the same sources, but only one of {first_name}, {name} reads text"
        )
    known, new = (dict(part.tokenizer.vocabulary) for part in (first, other))
    if set(known) == set(new):
        difference = "the same tokens with other ids" if known != new else "another way of cutting a text"
    else:
        lacking, more = sorted(set(known) - set(new)), sorted(set(new) - set(known))
        parts = [f"lacks {_some(lacking)}"] * bool(lacking) + [f"has {_some(more)} beside it"] * bool(more)
        difference = f"{len(new):,} tokens instead of {len(known):,}: it {' and '.join(parts)}"
    raise ConfigurationError(
        f"the networks of an ensemble must share their vocabularies, but the {side} vocabulary of {name} differs from "
        f"that of {first_name}: {difference}; train them on the same data with the same tokenizer"
    )


def _some(tokens: list[str]) -> str:
    return ", ".join(map(repr, tokens[:3])) + (f" and {len(tokens) - 3:,} more" if len(tokens) > 3 else "")
