"""Attention: what a decoder reads of the encoder's outputs at each of its steps, and the registry of its kinds.

What depends on the source alone, its *keys*, is computed once for each sentence and handed from call to call: nothing
is kept on a module.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from seqmodels.encoders.options import check_sizes
from seqmodels.encoders.saturation import saturate
from seqmodels.errors import ConfigurationError
from seqmodels.losses import at_least_float32
from seqmodels.masking import lengths_to_mask, zero_beyond
from seqmodels.registry import Registry, Spec

Keys = dict[str, Tensor | None]  # tensors whose first axis is batch: `select_rows` of them is as of any state


class Attention(nn.Module, ABC):
    """Reads, for each query, a weighted mean of the places of a memory.

    What an attention promises: the weights of a query are not negative and sum to 1 over the real places of its row;
    padding has a weight of exactly zero; a row without places has zero weights and a zero context; all queries of a
    row at once give what they give one by one.

    Args:
        query_size: features of each query, which is a decoder's hidden vector.
        memory_size: features of each place of the memory, which is an encoder's output.
        output_size: features of the context.
        coverage: whether `forward` asks for the attention that each place got before.

    Raises:
        ConfigurationError: a size is not a positive integer.
    """

    attends: bool = True  # whether there are weights at all
    joins_input: bool = False  # whether the context, then the same for all queries, is to join a decoder's inputs too
    averages_values: bool = False  # whether the context is the weighted mean of `keys["values"]` and nothing beside

    def __init__(self, query_size: int, memory_size: int, output_size: int, *, coverage: bool = False) -> None:
        super().__init__()
        check_sizes(self, query_size=query_size, memory_size=memory_size, output_size=output_size)
        self.query_size = query_size
        self.memory_size = memory_size
        self.output_size = output_size
        self.coverage = coverage

    @abstractmethod
    def keys(self, memory: Tensor, lengths: Tensor, summary: Tensor) -> Keys:
        """Computes, once for each sentence, what `forward` needs of the source.

        Args:
            memory: (batch, source_time, memory_size), right padded; the values of the padding do not matter.
            lengths: (batch,) int64, each row's number of real places, 0 to source_time.
            summary: (batch, memory_size), what the encoder makes of the whole source.

        Returns:
            tensors with batch as their first axis; opaque to others, but for `select_rows`.
        """

    @abstractmethod
    def forward(self, queries: Tensor, keys: Keys, coverage: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        """Reads the memory.

        Args:
            queries: (batch, time, query_size), or one for each row (batch, query_size).
            keys: as `keys` returns them.
            coverage: (batch, time, source_time), or (batch, source_time): the weights that each place got before,
                summed. Only where the attention's `coverage` is true.

        Returns:
            context (batch, time, output_size), and weights (batch, time, source_time), float32 at least, or None where
            `attends` is false; both without the axis `time` where the queries have none.
        """


attention_registry: Registry[Attention] = Registry("attention", Attention, supplied=2, default="additive")
register_attention = attention_registry.register
list_attentions = attention_registry.names

AttentionSpec = Spec


def create_attention(spec: AttentionSpec, query_size: int, memory_size: int) -> Attention:
    """Builds the attention that `spec` names.

    Raises:
        ConfigurationError: the name is unknown (lists the known ones and the nearest), an argument is unknown or out of
            range, or the sizes do not fit.
    """
    return attention_registry.create(spec, query_size, memory_size)


class _Scored(Attention):
    """An attention by one score for each pair of query and place: the context is the mean of the memory itself."""

    averages_values = True

    @abstractmethod
    def _keys(self, memory: Tensor) -> Tensor:
        """Maps memory (batch, source_time, memory_size), zero where padded, to (batch, source_time, any size)."""

    @abstractmethod
    def _scores(self, queries: Tensor, keys: Tensor, coverage: Tensor | None) -> Tensor:
        """Computes (batch, time, source_time) up to a constant in each row, of queries (batch, time, query_size)."""

    def keys(self, memory: Tensor, lengths: Tensor, summary: Tensor) -> Keys:
        """Returns the keys, the memory, and the places that are padding; see `Attention.keys`."""
        memory = zero_beyond(memory, lengths)
        return {"keys": self._keys(memory), "values": memory, "padding": padding_of(lengths, memory.size(1))}

    def forward(self, queries: Tensor, keys: Keys, coverage: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        """Reads the memory; see `Attention.forward`."""
        if queries.dim() == 2:
            coverage = None if coverage is None else coverage.unsqueeze(1)
            context, weights = self.forward(queries.unsqueeze(1), keys, coverage)
            return context.squeeze(1), None if weights is None else weights.squeeze(1)
        places, values = keys["keys"], keys["values"]
        assert places is not None
        assert values is not None
        weights = normalize(self._scores(queries, places, coverage), keys["padding"])
        return torch.bmm(weights.to(values.dtype), values), weights


@register_attention("additive")
class Additive(_Scored):
    """Scores by a network of one layer, whatever the two sizes.

    `score(q, h) = v . tanh(W q + U h + b)`; with coverage `v . tanh(W q + U h + b + w c)`, where c is the attention
    that the place got before, summed.

    Args:
        query_size: features of each query.
        memory_size: features of each place.
        hidden_size: features of the layer; None for query_size.
        coverage: whether the score of a place depends on the attention that it got before, which keeps a decoder from
            repeating itself; then training goes step by step.

    Raises:
        ConfigurationError: a size is not a positive integer.

    Reference:
        Bahdanau et al. (2015), Neural machine translation by jointly learning to align and translate, appendix A.1.2;
        coverage: See et al. (2017), Get to the point: summarization with pointer-generator networks, section 2.3.
    """

    def __init__(
        self, query_size: int, memory_size: int, *, hidden_size: int | None = None, coverage: bool = False
    ) -> None:
        super().__init__(query_size, memory_size, memory_size, coverage=coverage)
        hidden_size = query_size if hidden_size is None else hidden_size
        check_sizes(self, hidden_size=hidden_size)
        self.from_query = nn.Linear(query_size, hidden_size, bias=False)
        self.from_memory = nn.Linear(memory_size, hidden_size)
        bound = hidden_size**-0.5
        self.vector = nn.Parameter(torch.empty(hidden_size).uniform_(-bound, bound))
        self.from_coverage = nn.Parameter(torch.empty(hidden_size).uniform_(-bound, bound)) if coverage else None

    def _keys(self, memory: Tensor) -> Tensor:
        keys: Tensor = self.from_memory(memory)
        return 2 * keys

    def _scores(self, queries: Tensor, keys: Tensor, coverage: Tensor | None) -> Tensor:
        # tanh(x) = 2 sigmoid(2 x) - 1: the softmax does not see what is the same for all places, and on CPUs a sigmoid
        # takes a fifth of the time of a tanh
        sums = (2 * self.from_query(queries)).unsqueeze(2) + keys.unsqueeze(1)  # (batch, time, source_time, hidden)
        if self.from_coverage is not None:
            if coverage is None:
                raise ConfigurationError("additive attention with coverage needs the coverage before each query")
            sums = sums + (2 * coverage.to(sums.dtype)).unsqueeze(3) * self.from_coverage
        return torch.matmul(torch.sigmoid(sums), 2 * self.vector)


@register_attention("dot")
class Dot(_Scored):
    """Scores by the product, which has no parameters and needs equal sizes: `score(q, h) = q . h`.

    Args:
        query_size: features of each query.
        memory_size: features of each place, as many.

    Raises:
        ConfigurationError: the sizes differ.

    Reference:
        Luong et al. (2015), Effective approaches to attention-based neural machine translation, section 3.1.
    """

    scale: float = 1.0

    def __init__(self, query_size: int, memory_size: int) -> None:
        super().__init__(query_size, memory_size, memory_size)
        if query_size != memory_size:
            raise ConfigurationError(
                f"{type(self).__name__} attention multiplies queries and memory, so their sizes must be equal; got "
                f"query_size {query_size} and memory_size {memory_size}; choose general, additive or multi_head"
            )

    def _keys(self, memory: Tensor) -> Tensor:
        return memory

    def _scores(self, queries: Tensor, keys: Tensor, coverage: Tensor | None) -> Tensor:
        return torch.bmm((queries * self.scale).to(keys.dtype), keys.transpose(1, 2))


@register_attention("scaled_dot")
class ScaledDot(Dot):
    """Scores by the product over the root of the size, which keeps the softmax soft.

    `score(q, h) = q . h / sqrt(size)`.

    Args:
        query_size: features of each query.
        memory_size: features of each place, as many.

    Raises:
        ConfigurationError: the sizes differ.

    Reference:
        Vaswani et al. (2017), Attention is all you need, section 3.2.1.
    """

    def __init__(self, query_size: int, memory_size: int) -> None:
        super().__init__(query_size, memory_size)
        self.scale = query_size**-0.5


@register_attention("general")
class General(_Scored):
    """Scores by a product with a matrix between, whatever the two sizes: `score(q, h) = q . W h`.

    Args:
        query_size: features of each query.
        memory_size: features of each place.

    Reference:
        Luong et al. (2015), Effective approaches to attention-based neural machine translation, section 3.1.
    """

    def __init__(self, query_size: int, memory_size: int) -> None:
        super().__init__(query_size, memory_size, memory_size)
        self.from_memory = nn.Linear(memory_size, query_size, bias=False)

    def _keys(self, memory: Tensor) -> Tensor:
        return self.from_memory(memory)  # type: ignore[no-any-return]

    def _scores(self, queries: Tensor, keys: Tensor, coverage: Tensor | None) -> Tensor:
        return torch.bmm(queries.to(keys.dtype), keys.transpose(1, 2))


@register_attention("multi_head")
class MultiHead(Attention):
    """Reads with several heads, each a scaled product of projections of its own; their contexts are joined.

    `context = W_o [heads]`, `head_i = softmax(W_q^i q . W_k^i h / sqrt(size of a head))` over `W_v^i h`. The weights
    that are returned are the mean over the heads.

    Args:
        query_size: features of each query.
        memory_size: features of each place.
        num_heads: heads; they share the features of the queries, so it must divide query_size.

    Raises:
        ConfigurationError: num_heads does not divide query_size.

    Reference:
        Vaswani et al. (2017), Attention is all you need, section 3.2.2.
    """

    def __init__(self, query_size: int, memory_size: int, *, num_heads: int = 4) -> None:
        super().__init__(query_size, memory_size, query_size)
        check_sizes(self, num_heads=num_heads)
        if query_size % num_heads:
            raise ConfigurationError(
                f"multi_head attention: num_heads must divide query_size {query_size}, which is the decoder's hidden "
                f"size, got {num_heads}"
            )
        self.num_heads = num_heads
        self.from_query = nn.Linear(query_size, query_size)
        self.from_memory = nn.Linear(memory_size, 2 * query_size)  # keys, values
        self.from_heads = nn.Linear(query_size, query_size)

    def keys(self, memory: Tensor, lengths: Tensor, summary: Tensor) -> Keys:
        """Returns keys and values (batch, heads, source_time, head size); see `Attention.keys`."""
        projected = self.from_memory(zero_beyond(memory, lengths))
        keys, values = (self._split(part) for part in projected.chunk(2, dim=2))
        return {"keys": keys, "values": values, "padding": padding_of(lengths, memory.size(1))}

    def forward(self, queries: Tensor, keys: Keys, coverage: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        """Reads the memory; see `Attention.forward`."""
        if queries.dim() == 2:
            context, weights = self.forward(queries.unsqueeze(1), keys)
            return context.squeeze(1), None if weights is None else weights.squeeze(1)
        places, values, padding = keys["keys"], keys["values"], keys["padding"]
        assert places is not None
        assert values is not None
        scale = math.sqrt(self.query_size // self.num_heads)
        scores = torch.matmul(self._split(self.from_query(queries) / scale), places.transpose(2, 3))
        weights = normalize(scores, None if padding is None else padding.unsqueeze(1))  # (batch, heads, time, source)
        heads = torch.matmul(weights.to(values.dtype), values).transpose(1, 2).flatten(2)  # (batch, time, query_size)
        context = self.from_heads(heads)
        if padding is not None:  # a row without places has no context, not that of the bias
            context = context.masked_fill(padding.all(2, keepdim=True), 0)
        return context, weights.mean(1)

    def _split(self, values: Tensor) -> Tensor:
        """Maps (batch, time, query_size) to (batch, heads, time, head size)."""
        batch, time, size = values.shape
        return values.view(batch, time, self.num_heads, size // self.num_heads).transpose(1, 2)


@register_attention("none")
class SummaryOnly(Attention):
    """Attends to nothing: the context is the encoder's summary, and joins each step's input too.

    Args:
        query_size: features of each query.
        memory_size: features of the summary.

    Reference:
        Cho et al. (2014), Learning phrase representations using RNN encoder-decoder for statistical machine
        translation, section 2.2.
    """

    attends = False
    joins_input = True

    def __init__(self, query_size: int, memory_size: int) -> None:
        super().__init__(query_size, memory_size, memory_size)

    def keys(self, memory: Tensor, lengths: Tensor, summary: Tensor) -> Keys:
        """Returns the summary; see `Attention.keys`."""
        return {"values": summary}

    def forward(self, queries: Tensor, keys: Keys, coverage: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        """Returns the summary for each query, and None; see `Attention.forward`."""
        summary = keys["values"]
        assert summary is not None
        if queries.dim() == 2:
            return summary, None
        return summary.unsqueeze(1).expand(-1, queries.size(1), -1), None


def padding_of(lengths: Tensor, time: int) -> Tensor | None:
    """Returns (batch, 1, time), True on padding; None where a look shows that there is none."""
    # Looking at the lengths is free where they lie in the memory of the CPU; a traced graph must hold for all.
    if lengths.device.type == "cpu" and not torch.compiler.is_compiling() and bool((lengths == time).all()):
        return None
    return ~lengths_to_mask(lengths, time).unsqueeze(1)


def normalize(scores: Tensor, padding: Tensor | None) -> Tensor:
    """Returns the softmax over the last axis, float32 at least, with exactly zero where `padding` is True."""
    scores = at_least_float32(saturate(scores))
    if padding is None:
        return scores.softmax(-1)
    # a finite filling keeps the softmax of a row without places free of NaN; its weights are then set to zero
    return scores.masked_fill(padding, torch.finfo(scores.dtype).min).softmax(-1).masked_fill(padding, 0)


def coverage_loss(weights: Tensor, lengths: Tensor) -> Tensor:
    """Computes how much attention falls on places that had some already, a penalty for repetition.

    `mean_t sum_i min(a_ti, c_ti)`, where `c_ti = sum_{s < t} a_si`, over the real steps of the whole batch.

    Args:
        weights: (batch, time, source_time), as a decoder returns them.
        lengths: (batch,) int64, real steps of each target.

    Returns:
        A scalar, 0 to 1; 0 where there is no step.

    Reference:
        See et al. (2017), Get to the point: summarization with pointer-generator networks, equation 12.
    """
    before = weights.cumsum(1) - weights
    overlap = zero_beyond(torch.minimum(weights, before).sum(2), lengths)  # (batch, time)
    return overlap.sum() / lengths.sum().clamp(min=1)
