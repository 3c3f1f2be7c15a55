"""Language modelling as a task: what comes next, with a state carried along contiguous streams."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any, cast

import torch
from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable
from lightning.pytorch.trainer.states import TrainerFn
from torch import Tensor
from torchmetrics import Metric

from seqmodels.activation_regularization import activation_penalty, temporal_activation_penalty
from seqmodels.data.batch import Batch
from seqmodels.data.corpus import Corpus
from seqmodels.data.schema import Schema
from seqmodels.data.streams import StreamBatch
from seqmodels.dynamic_evaluation import DynamicEvaluation
from seqmodels.encoders import State
from seqmodels.errors import ConfigurationError
from seqmodels.metrics import LikelihoodScores
from seqmodels.networks import LanguageModelingNetwork
from seqmodels.neural_cache import NeuralCache
from seqmodels.processes import count_and_rank, gather
from seqmodels.tasks.arguments import create_part
from seqmodels.tasks.carried_state import CarriedState
from seqmodels.tasks.task import Task

CARRIED_STATE = "carried_state"
LENGTH_RATIOS = "length_ratios"  # of the windows whose gradients wait for the optimiser's step


class LanguageModel(Task):
    """Predicts each step of a sequence from those before it: words, characters, pieces of words, frames of music.

    On contiguous streams the encoder's state is carried from window to window, cut off from the gradients (truncated
    back-propagation through time), and reset where a stream or an epoch begins. It is in the checkpoint, with the place
    in the streams. With windows of random length the learning rate of a step is scaled by its window's length.

    Args:
        encoder: a causal encoder, by name with its arguments, such as `{name: lstm, hidden_size: 200, num_layers: 2}`.
        embedder: the embedder's arguments: `{embedding_dim: 200, embedding_dropout: 0.1}`.
        tie_weights: whether the softmax takes the token embeddings for its weights.
        dropout: fraction of the encoder's outputs dropped in training, the same ones at all steps of a row, in [0, 1).
        label_smoothing: fraction of the target spread over all tokens in training, in [0, 1).
        adaptive_softmax: the vocabulary sizes at which an adaptive softmax cuts, ascending; None for the full softmax.
        activation_penalty: weight of the mean square of the dropped outputs (AR), at least 0.
        temporal_penalty: weight of the mean square of the change of the outputs from step to step (TAR), at least 0.
        stateful: whether the state is carried from window to window; None does so where the data are contiguous
            streams, false trains each window by itself.
        neural_cache: arguments of a neural cache for test, `{size: 500, flatness: 0.3, weight: 0.1}`; None for none.
        dynamic_evaluation: the arguments of dynamic evaluation for test, `{lr: 0.1}`; None for none.
        optimizer: makes the optimiser from the parameters; fused Adam at 0.001 where nothing is said.
        lr_scheduler: makes the learning rate schedule from the optimiser; None for a constant rate.
        monitor: the score by which the best checkpoint is chosen: val_loss, or of tokens val_perplexity,
            val_word_perplexity, val_bits_per_character; None for val_loss.

    Reference:
        Truncated back-propagation: Mikolov et al. (2010), Recurrent neural network based language model. Penalties:
        Merity, McCann and Socher (2017), Revisiting activation regularization for language RNNs.
    """

    network_name = "language_modeling"
    network: LanguageModelingNetwork

    def __init__(
        self,
        encoder: str | dict[str, Any] = "lstm",
        embedder: str | dict[str, Any] = "embedding",
        tie_weights: bool = True,
        dropout: float = 0.0,
        label_smoothing: float = 0.0,
        adaptive_softmax: list[int] | None = None,
        activation_penalty: float = 0.0,
        temporal_penalty: float = 0.0,
        stateful: bool | None = None,
        neural_cache: dict[str, Any] | None = None,
        dynamic_evaluation: dict[str, Any] | None = None,
        optimizer: OptimizerCallable = lambda parameters: torch.optim.Adam(parameters, lr=1e-3, fused=True),
        lr_scheduler: LRSchedulerCallable | None = None,
        monitor: str | None = None,
    ) -> None:
        for name, value in (("activation_penalty", activation_penalty), ("temporal_penalty", temporal_penalty)):
            if value < 0:
                raise ConfigurationError(f"{name} must be at least 0, got {value}")
        super().__init__(
            {
                "encoder": encoder,
                "embedder": embedder,
                "tie_weights": tie_weights,
                "dropout": dropout,
                "label_smoothing": label_smoothing,
                "adaptive_softmax": adaptive_softmax,
            },
            optimizer=optimizer,
            lr_scheduler=lr_scheduler,
            monitor=monitor,
            activation_penalty=activation_penalty,
            temporal_penalty=temporal_penalty,
            stateful=stateful,
            neural_cache=neural_cache,
            dynamic_evaluation=dynamic_evaluation,
        )
        self.activation_penalty = activation_penalty
        self.temporal_penalty = temporal_penalty
        self.stateful = stateful
        self.neural_cache = None if neural_cache is None else create_part("neural_cache", NeuralCache, neural_cache)
        self.dynamic_evaluation = (
            None
            if dynamic_evaluation is None
            else create_part("dynamic_evaluation", DynamicEvaluation, dynamic_evaluation)
        )
        self._states = {split: CarriedState() for split in ("train", "val", "test")}
        self._memory = CarriedState()  # of the neural cache
        self._restored: list[Tensor] | None = None  # the state of a checkpoint, for the first window
        self._carries = False
        # of the windows since the last optimiser step: their number in the epoch, their length over the usual one
        self._ratios: list[tuple[int, float]] = []

    # The data

    def setup(self, stage: str) -> None:
        """Makes sure that the data can be read as asked for.

        Raises:
            ConfigurationError: the data module is not one of unlabelled sequences, or a state is to be carried over
                shuffled rows.
        """
        super().setup(stage)
        data = getattr(self.trainer, "datamodule", None)
        if not isinstance(data, Corpus):
            raise ConfigurationError(
                f"LanguageModel needs data: ContiguousStreams or SeparateSequences, got {type(data).__name__}"
            )
        if self.stateful and not data.streams:
            raise ConfigurationError(
                f"stateful: true carries the state of row i into row i of the next batch, but {type(data).__name__} "
                f"shuffles rows that have nothing to do with one another; use data: ContiguousStreams, or leave "
                f"stateful out"
            )
        self._carries = data.streams and self.stateful is not False
        if self.neural_cache is not None and data.schema is not None and data.schema.tokens is None:
            raise ConfigurationError("neural_cache needs tokens, but the steps of this data are features; leave it out")

    # Scores

    def loss(self, logits: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
        """Returns the mean negative log-likelihood over the real steps, in nats."""
        return self.network.loss(logits, batch), batch.lengths.sum()

    def default_monitor(self, schema: Schema) -> str:
        """Returns the loss."""
        return "val_loss"

    def create_scores(self) -> Metric:
        """Returns perplexity and bits per character, or of frames nothing beside the loss."""
        return LikelihoodScores(tokens=self.network.schema.tokens is not None)

    def known_scores(self) -> list[str]:
        """Returns the names that can be monitored."""
        more = ["val_word_perplexity", "val_bits_per_character"] if self.network.schema.tokens is not None else []
        return [*super().known_scores(), *more]

    # Steps

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        """Goes on with the state and the random numbers of the checkpoint; remembers how long the window is."""
        super().on_train_batch_start(batch, batch_idx)
        if self._restored is not None:
            tensors, self._restored = self._restored, None
            template = self.network.encoder.initial_state(batch.size)
            if not self._states["train"].restore(tensors, self._windows_trained(), template):
                warnings.warn(
                    "the carried state of the checkpoint is of another number of streams; it begins anew", stacklevel=2
                )
        if isinstance(batch, StreamBatch):
            self._ratios.append((self._windows_trained() + 1, batch.length_ratio))

    def on_train_epoch_start(self) -> None:
        """Begins anew with the streams."""
        super().on_train_epoch_start()
        if self._restored is None:
            self._states["train"].forget()

    def objective(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Returns the mean negative log-likelihood in nats, and the same with the penalties."""
        states = self._states["train"]
        outputs, state = self.network.encode(batch, self._take(states, batch))
        if self._carries:
            states.keep(state, self._windows_trained() + 1)
        dropped = self.network.dropout(outputs)
        loss = minimised = self.network.loss(dropped, batch)
        if self.activation_penalty:
            minimised = minimised + self.activation_penalty * activation_penalty(dropped, batch.lengths)
        if self.temporal_penalty:
            minimised = minimised + self.temporal_penalty * temporal_activation_penalty(outputs, batch.lengths)
        if isinstance(batch, StreamBatch) and batch.weight != 1:
            minimised = batch.weight * minimised
            if not batch.weight:  # nothing to read, but processes wait for one another's gradients of each parameter
                minimised = torch.stack([0 * parameter.sum() for parameter in self.network.parameters()]).sum()
        return loss, minimised

    def optimizer_step(self, *arguments: Any, **options: Any) -> None:
        """Takes a step whose learning rate is scaled by the mean length of its windows over the usual one."""
        optimizer = cast(torch.optim.Optimizer, self.optimizers(use_pl_optimizer=False))
        ratio = sum(ratio for _, ratio in self._ratios) / len(self._ratios) if self._ratios else 1.0
        rates = [group["lr"] for group in optimizer.param_groups]
        try:
            for group in optimizer.param_groups:
                group["lr"] = group["lr"] * ratio
            super().optimizer_step(*arguments, **options)
            self._ratios.clear()  # not where the step is broken off: another attempt reads its last window again
        finally:
            for group, rate in zip(optimizer.param_groups, rates, strict=True):
                group["lr"] = rate

    def on_validation_epoch_start(self) -> None:
        """Begins anew with scores and streams."""
        super().on_validation_epoch_start()
        self._begin("val", "validation")

    def on_test_epoch_start(self) -> None:
        """Begins anew with scores and streams."""
        super().on_test_epoch_start()
        self._begin("test", "test")
        if self.dynamic_evaluation is not None:
            self.dynamic_evaluation.begin(list(self.network.parameters()))

    def on_test_epoch_end(self) -> None:
        """Logs the test scores; gives parameters that were adapted their trained values back."""
        super().on_test_epoch_end()
        if self.dynamic_evaluation is not None:
            self.dynamic_evaluation.end()

    def _begin(self, split: str, name: str) -> None:
        self._states[split].forget()
        self._memory.forget()
        self.scores[split].units = self.trainer.datamodule.units(name)  # type: ignore[attr-defined]

    def _score(self, split: str, batch: Batch) -> None:
        kept = batch.counted.nonzero().squeeze(1)
        if len(kept) < batch.size and not isinstance(batch, StreamBatch):  # a stream's row that does not count is empty
            batch = batch.select(kept)
        if not batch.size:
            return
        if split == "test" and self.dynamic_evaluation is not None:
            log_probs = self._score_dynamically(self.dynamic_evaluation, batch)
        else:
            _, log_probs = self._log_probs(split, batch)
        count = batch.lengths.sum()
        self.losses[split].update(-log_probs.sum() / count.clamp(min=1), count)
        self.scores[split].update(log_probs, count)

    def _log_probs(self, split: str, batch: Batch) -> tuple[Tensor, Tensor]:
        """Returns the encoder's outputs, and the log-likelihood (batch, time) of what came next in nats."""
        states = self._states[split]
        outputs, state = self.network.encode(batch, self._take(states, batch))
        if self._carries:
            states.keep(state, 0)
        log_probs = self.network.log_probs(outputs, batch)
        if split != "test" or self.neural_cache is None:
            return outputs, log_probs
        cache = self.neural_cache
        memory = self._take(self._memory, batch, lambda: cache.empty_memory(outputs))
        assert batch.targets is not None
        log_probs, memory = cache.log_probs(outputs, batch.targets, log_probs, batch.lengths, memory)
        if self._carries:
            self._memory.keep(memory, 0)
        return outputs, log_probs

    def _score_dynamically(self, dynamic: DynamicEvaluation, batch: Batch) -> Tensor:
        """Scores a window and then learns from it."""
        with torch.inference_mode(False), torch.enable_grad():
            batch = batch.copy()  # out of inference mode, whose tensors take no part in gradients
            outputs, log_probs = self._log_probs("test", batch)
            dynamic.update(self.network.loss(outputs, batch))
        return log_probs.detach()

    def _take(self, states: CarriedState, batch: Batch, initial: Any = None) -> State | None:
        if not self._carries:
            return None
        assert isinstance(batch, StreamBatch)
        return states.take(batch.resets, initial or (lambda: self.network.encoder.initial_state(batch.size)))

    def _windows_trained(self) -> int:
        progress: Any = self.trainer.fit_loop.epoch_loop.batch_progress.current
        return int(progress.processed)

    # Checkpoint

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Adds the state after the windows of this epoch that have been trained, of every process."""
        super().on_save_checkpoint(checkpoint)
        if self._trainer is None or self.trainer.state.fn != TrainerFn.FITTING:
            return
        windows = self._windows_trained()
        if self._carries:
            pending = self._restored  # of the checkpoint gone on from, where no window has been read since
            checkpoint[CARRIED_STATE] = gather(pending or self._states["train"].tensors(windows))
        checkpoint[LENGTH_RATIOS] = [ratio for number, ratio in self._ratios if number <= windows]

    def on_load_checkpoint(self, checkpoint: Mapping[str, Any]) -> None:
        """Takes over the state, to go on from where the checkpoint is of the middle of an epoch."""
        super().on_load_checkpoint(checkpoint)
        self._ratios = [(0, ratio) for ratio in checkpoint.get(LENGTH_RATIOS, [])]
        states = checkpoint.get(CARRIED_STATE)
        if states and self._trainer is not None and self.trainer.state.fn == TrainerFn.FITTING:
            count, rank = count_and_rank()
            self._restored = states[rank] if len(states) == count else None
            if len(states) != count:
                warnings.warn(
                    f"the carried state of the checkpoint is that of {len(states)} processes, whose streams are not "
                    f"those of {count}; it begins anew",
                    stacklevel=2,
                )
