"""Sequence to sequence: a text that is written from one that is read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from seqmodels.attention import Keys
from seqmodels.data.batch import Batch
from seqmodels.data.encoded import IGNORED
from seqmodels.data.schema import Schema
from seqmodels.data.tokenizers import Tokenizer
from seqmodels.decoders import Copying, Decoded, create_decoder
from seqmodels.dropout import LockedDropout
from seqmodels.embedders import Embedder, embedder_registry
from seqmodels.encoders import State, where_rows
from seqmodels.errors import ConfigurationError
from seqmodels.heads import SoftmaxHead
from seqmodels.masking import lengths_to_mask, zero_beyond
from seqmodels.networks.network import Network, register_network
from seqmodels.registry import Spec

SOURCE_IDS = "source_ids"  # what copying adds to a decoder's keys: (batch, source_time) int64


@register_network("translation")
class TranslationNetwork(Network):
    """Reads a source with any encoder and writes a target, id by id, with a decoder that looks into what was read.

    Args:
        schema: tokens of the source and `target_tokens`.
        encoder: any encoder, by name with its arguments.
        embedder: the source's embedder, by name with its arguments.
        decoder: the decoder, by name with its arguments, such as `{layer: {name: gru, hidden_size: 256}}`.
        target_embedder: the target's embedder, by name with its arguments.
        share_embeddings: whether source and target have one table, which needs one vocabulary for both;
            `target_embedder` is then not used.
        tie_weights: whether the softmax takes the target's embeddings for its weights, through a linear projection
            where the sizes differ.
        dropout: fraction of the decoder's outputs dropped in training, the same ones at all steps of a row, in [0, 1).
        label_smoothing: fraction of the target spread over all ids in training, in [0, 1).
        copying: whether an id may also be copied from where the decoder looks in the source (a pointer-generator),
            which needs one vocabulary for both and a decoder that attends. Only the vocabulary's share is smoothed.

    Raises:
        ConfigurationError: the data has no text to write, or an option does not fit it or the others.

    Reference:
        Bahdanau, Cho and Bengio (2015), Neural machine translation by jointly learning to align and translate;
        Press and Wolf (2017), Using the output embedding to improve language models (three-way tying);
        Bengio et al. (2015), Scheduled sampling for sequence prediction with recurrent neural networks.
    """

    def __init__(
        self,
        schema: Schema,
        *,
        encoder: Spec = "lstm",
        embedder: Spec = "embedding",
        decoder: Spec = "attention",
        target_embedder: Spec = "embedding",
        share_embeddings: bool = False,
        tie_weights: bool = True,
        dropout: float = 0.0,
        label_smoothing: float = 0.0,
        copying: bool = False,
    ) -> None:
        if schema.target_tokens is None:
            raise ConfigurationError("a translator needs a text to write, but the data has none; use SequencePairs")
        for name, wanted in (("share_embeddings", share_embeddings), ("copying", copying)):
            if wanted and not schema.shares_vocabulary:
                raise ConfigurationError(
                    f"{name}: true needs one vocabulary for source and target; set data.shared_vocabulary: true"
                )
        super().__init__(schema, encoder=encoder, embedder=embedder)
        self.target_embedder = self._target_embedder(schema, None if share_embeddings else target_embedder)
        self.decoder = create_decoder(decoder, self.target_embedder.output_size, self.encoder.output_size)
        self.dropout = LockedDropout(dropout)
        self.head = SoftmaxHead(
            self.decoder.output_size,
            self.target_tokenizer.vocab_size,
            tied=self.target_embedder.token_weights() if tie_weights else None,
            label_smoothing=label_smoothing,
        )
        if copying and not self.decoder.attends:
            raise ConfigurationError(
                "copying: true copies from where the decoder looks, but this decoder looks nowhere; "
                "choose an attention for it, such as attention: additive"
            )
        self.copying = Copying(self.decoder.output_size, self.target_tokenizer.vocab_size) if copying else None

    def _target_embedder(self, schema: Schema, spec: Spec | None) -> Embedder:
        if spec is None and (schema.characters is not None or schema.features is not None):
            raise ConfigurationError(
                "share_embeddings: true needs a source of tokens alone; set data.characters: false"
            )
        written = Schema(schema.target_tokens, None, None, None)
        embedder = self.embedder if spec is None else embedder_registry.create(spec, written)
        if not embedder.stepwise:
            raise ConfigurationError(
                f"a translator embeds its target step by step, but the {'shared' if spec is None else 'target'} "
                f"embedder looks at places in the row; leave its positions out"
            )
        return embedder

    def initialize(self) -> None:
        """Takes over what pretrained parts bring, vectors of the target's tokens too; see `Network.initialize`."""
        super().initialize()
        if self.target_embedder is not self.embedder and self.target_embedder.vectors is not None:
            self.target_embedder.load_vectors(self.target_embedder.vectors)

    @property
    def target_tokenizer(self) -> Tokenizer:
        """What turns the ids that are written into text."""
        assert self.schema.target_tokens is not None
        return self.schema.target_tokens.tokenizer

    @property
    def begin_id(self) -> int:
        """What the decoder reads before it writes the first id."""
        tokenizer = self.target_tokenizer
        begin = tokenizer.eos_id if tokenizer.bos_id is None else tokenizer.bos_id
        assert begin is not None
        return begin

    @property
    def end_id(self) -> int:
        """The id that ends a target."""
        assert self.target_tokenizer.eos_id is not None
        return self.target_tokenizer.eos_id

    # Training: the targets are known

    def forward(self, batch: Batch) -> Tensor:
        """Returns the logits (batch, target_time, vocab_size) of each next id, given the true ids before it."""
        decoded = self.teach(batch)
        rows = torch.arange(batch.size, device=batch.lengths.device).repeat_interleave(decoded.outputs.size(1))
        attention = None if decoded.attention is None else decoded.attention.flatten(0, 1)
        logits = self._logits(decoded.outputs.flatten(0, 1), attention, batch.inputs.get("ids"), rows)
        return logits.view(*decoded.outputs.shape[:2], -1)

    def teach(self, batch: Batch) -> Decoded:
        """Decodes the targets of a batch, each step from the true ids before it; dropout is applied to the outputs."""
        state, keys = self.read(batch)
        assert batch.target_lengths is not None
        embedded = self.target_embedder({"ids": self.previous_ids(batch)}, batch.target_lengths)
        decoded = self.decoder(embedded, batch.target_lengths, state, keys)
        return decoded._replace(outputs=self.dropout(decoded.outputs))  # type: ignore[no-any-return]

    def teach_in_part(self, batch: Batch, own: float) -> Decoded:
        """Decodes as `teach` does, but step by step, from ids of the network's own choice in place of some true ones.

        Args:
            batch: the sources and targets.
            own: how probable it is, in [0, 1], that the id before a step is the one the network held the likeliest
                there, rather than the true one; drawn for each id by itself. No gradient flows through the choice.
        """
        state, keys = self.read(batch)
        assert batch.target_lengths is not None
        true = self.previous_ids(batch)
        masks = lengths_to_mask(batch.target_lengths, true.size(1)).unbind(1)
        taught = (torch.rand(true.shape, device=true.device) >= own).unbind(1)
        chosen = true[:, 0]
        outputs, attention = [], []
        for time, previous in enumerate(true.unbind(1)):
            ids = previous if time == 0 else torch.where(taught[time], previous, chosen)
            embedded = self.target_embedder({"ids": ids.unsqueeze(1)}, torch.ones_like(ids))
            output, following = self.decoder.step(embedded.squeeze(1), state, keys)
            state = where_rows(masks[time], following, state)
            outputs.append(output)
            looked = self.decoder.read_attention(following) if self.decoder.attends else None
            if looked is not None:
                attention.append(looked)
            with torch.no_grad():
                chosen = self._logits(output, looked, keys.get(SOURCE_IDS), None).argmax(1)
        stacked = zero_beyond(torch.stack(outputs, dim=1), batch.target_lengths)
        weights = zero_beyond(torch.stack(attention, dim=1), batch.target_lengths) if attention else None
        return Decoded(self.dropout(stacked), state, weights)

    def previous_ids(self, batch: Batch) -> Tensor:
        """Returns (batch, target_time) int64: what stands before each target, the begin token before the first."""
        targets = batch.targets
        assert targets is not None
        begin = targets.new_full((targets.size(0), 1), self.begin_id)
        previous = torch.cat([begin, targets[:, :-1]], dim=1)
        return previous.masked_fill(previous == IGNORED, self.target_tokenizer.pad_id)

    def loss(self, decoded: Decoded, batch: Batch) -> Tensor:
        """Returns the mean negative log-likelihood of the real target ids in nats, smoothed, for training."""
        assert batch.targets is not None
        if self.copying is None:
            return self.head.loss(decoded.outputs.flatten(0, 1), batch.targets.flatten())
        rows, steps = (batch.targets != IGNORED).nonzero(as_tuple=True)
        outputs = decoded.outputs[rows, steps]
        log_probs = self.head.log_probs(outputs)  # (items, vocab_size)
        written = log_probs.gather(1, batch.targets[rows, steps].unsqueeze(1)).squeeze(1)
        nll = -self._mixed(written, outputs, decoded, batch, rows, steps)
        smoothing = self.head.label_smoothing
        losses = (1 - smoothing) * nll - smoothing * log_probs.mean(1)
        return losses.sum() / max(len(losses), 1)

    def log_probs(self, decoded: Decoded, batch: Batch) -> Tensor:
        """Returns (batch, target_time) float32: each target's log-likelihood in nats, 0 beyond each row's length."""
        assert batch.targets is not None
        rows, steps = (batch.targets != IGNORED).nonzero(as_tuple=True)
        outputs = decoded.outputs[rows, steps]
        found = -self.head.nll(outputs, batch.targets[rows, steps])
        if self.copying is not None:
            found = self._mixed(found, outputs, decoded, batch, rows, steps)
        values = decoded.outputs.new_zeros(batch.targets.shape, dtype=torch.float32)
        values[rows, steps] = found.float()
        return values

    def _mixed(
        self, written: Tensor, outputs: Tensor, decoded: Decoded, batch: Batch, rows: Tensor, steps: Tensor
    ) -> Tensor:
        """Returns the log probability of the targets (items,) with copying, from that in the vocabulary, `written`."""
        assert self.copying is not None
        assert decoded.attention is not None
        assert batch.targets is not None
        attention, ids = decoded.attention[rows, steps], batch.inputs["ids"].index_select(0, rows)
        targets = batch.targets[rows, steps]
        return self.copying.target_log_probs(written, outputs, attention, ids, targets)  # type: ignore[no-any-return]

    # Decoding: the targets are to be found

    def read(self, batch: Batch) -> tuple[State, Keys]:
        """Reads the sources of a batch; returns the decoder's first state and its keys, a row for each source."""
        memory, _ = self.encode(batch)
        summary = self.encoder.summary(memory, batch.lengths)
        state, keys = self.decoder.begin(memory, batch.lengths, summary)
        return state, keys if self.copying is None else {**keys, SOURCE_IDS: batch.inputs["ids"]}

    def step(self, ids: Tensor, state: State, keys: Keys) -> tuple[Tensor, State]:
        """Maps the last id of each row (rows,) and the state before it to the logits (rows, vocab_size) of the next."""
        embedded = self.target_embedder({"ids": ids.unsqueeze(1)}, torch.ones_like(ids))
        outputs, state = self.decoder.step(embedded.squeeze(1), state, keys)
        if self.copying is None:
            return self.head.logits(outputs), state
        attention = self.decoder.read_attention(state)
        return self._logits(outputs, attention, keys[SOURCE_IDS], state["source"]), state

    def _logits(
        self, outputs: Tensor, attention: Tensor | None, source_ids: Tensor | None, rows: Tensor | None
    ) -> Tensor:
        """Returns the logits (items, vocab_size) of outputs (items, output_size); with copying, log probabilities.

        `source_ids` (sources, source_time) are those of each item where `rows` is None, else of the source in `rows`.
        """
        if self.copying is None:
            return self.head.logits(outputs)
        assert attention is not None
        assert source_ids is not None
        ids = source_ids if rows is None else source_ids.index_select(0, rows)
        return self.copying(self.head.log_probs(outputs), outputs, attention, ids)  # type: ignore[no-any-return]

    def decode(self, logits: Tensor, batch: Batch) -> Tensor:
        """Returns the likeliest id of each step (batch, target_time), given the true ids before it."""
        return logits.argmax(2)

    def results(self, logits: Tensor, batch: Batch) -> Sequence[dict[str, Any]]:
        """Returns the likeliest id of each step as text, in plain types."""
        ids = self.decode(logits, batch).tolist()
        assert batch.target_lengths is not None
        lengths = batch.target_lengths.tolist()
        return [{"text": self.target_tokenizer.decode(row[:length])} for row, length in zip(ids, lengths, strict=True)]
