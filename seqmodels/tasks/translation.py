"""Translation as a task: a text is written from one that is read, and scored as text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable
from lightning.pytorch.trainer.states import TrainerFn
from torch import Tensor
from torchmetrics import Metric

from seqmodels.attention import attention_registry, coverage_loss
from seqmodels.data.batch import Batch
from seqmodels.data.encoded import IGNORED
from seqmodels.data.schema import Schema
from seqmodels.decoders import decoder_registry
from seqmodels.embedders import embedder_registry
from seqmodels.errors import ConfigurationError
from seqmodels.inference.translating import translate_batch
from seqmodels.inference.translation_options import TranslationOptions
from seqmodels.metrics import TranslationScores, perplexity_of
from seqmodels.networks import TranslationNetwork
from seqmodels.tasks.arguments import create_part
from seqmodels.tasks.plain import to_plain
from seqmodels.tasks.scheduled_sampling import ScheduledSampling
from seqmodels.tasks.task import Task

LAST_SCORES = "translation_scores"
SPLITS = {"val": "validation", "test": "test"}


class Translator(Task):
    """Writes a text from one that it reads: another language, a summary, a name, a normal form.

    Perplexity is that of the true targets, per token. BLEU, chrF, TER and exact match compare the translations, as
    text, with the targets as the files have them. At validation only so many sentences are translated, and, where
    translating is to be rarer than validation, the scores of the last time stand in between; early stopping does not
    count those validations.

    Args:
        encoder: any encoder, by name with its arguments, such as `{name: gru, hidden_size: 256, bidirectional: true}`.
        embedder: the embedder's arguments for the source: `{embedding_dim: 256, dropout: 0.2}`.
        decoder: the decoder's arguments, such as `{layer: {name: gru, hidden_size: 256}, attention: additive}`; the
            command `seqmodels decoders` lists them.
        target_embedder: the embedder's arguments for the target.
        share_embeddings: whether source and target have one table, which needs one vocabulary for both.
        tie_weights: whether the softmax takes the target's embeddings for its weights.
        dropout: fraction of the decoder's outputs dropped in training, the same ones at all steps of a row, in [0, 1).
        label_smoothing: fraction of the target spread over all tokens in training, in [0, 1).
        copying: whether tokens may be copied from the source, which needs one vocabulary for both and an attention.
        coverage_loss: weight of the penalty for looking where the decoder looked before, at least 0.
        scheduled_sampling: how training lets the decoder read its own choices instead of the true ids,
            `{kind: linear, steps: 10000, most: 0.25}`; training then goes step by step. None for true ids alone.
        translate_every_n_epochs: how often validation translates; perplexity is computed at each.
        translate_sentences: how many sentences of the validation data are translated, the first ones.
        translate_beam_size: hypotheses kept at validation; 1 is greedy, the fastest.
        beam_size: hypotheses kept at test and in prediction.
        length_penalty: 0 ranks translations by probability, which favours short ones; 1 nearly by that of a token.
        optimizer: makes the optimiser from the parameters; fused Adam at 0.001 where nothing is said.
        lr_scheduler: makes the learning rate schedule from the optimiser; None for a constant rate.
        monitor: the score by which the best checkpoint is chosen: val_bleu, val_chrf, val_ter, val_exact_match,
            val_loss, val_perplexity; None for val_bleu.

    Reference:
        Bahdanau, Cho and Bengio (2015), Neural machine translation by jointly learning to align and translate.
    """

    network_name = "translation"
    network: TranslationNetwork

    def __init__(
        self,
        encoder: str | dict[str, Any] = "lstm",
        embedder: str | dict[str, Any] = "embedding",
        decoder: str | dict[str, Any] = "attention",
        target_embedder: str | dict[str, Any] = "embedding",
        share_embeddings: bool = False,
        tie_weights: bool = True,
        dropout: float = 0.0,
        label_smoothing: float = 0.0,
        copying: bool = False,
        coverage_loss: float = 0.0,
        scheduled_sampling: dict[str, Any] | None = None,
        translate_every_n_epochs: int = 1,
        translate_sentences: int = 500,
        translate_beam_size: int = 1,
        beam_size: int = 5,
        length_penalty: float = 1.0,
        optimizer: OptimizerCallable = lambda parameters: torch.optim.Adam(parameters, lr=1e-3, fused=True),
        lr_scheduler: LRSchedulerCallable | None = None,
        monitor: str | None = None,
    ) -> None:
        for name, number in (
            ("translate_every_n_epochs", translate_every_n_epochs),
            ("translate_sentences", translate_sentences),
            ("translate_beam_size", translate_beam_size),
        ):
            if number < 1:
                raise ConfigurationError(f"{name} must be at least 1, got {number}")
        if coverage_loss < 0:
            raise ConfigurationError(f"coverage_loss must be at least 0, got {coverage_loss}")
        decoder, target_embedder = to_plain(decoder), to_plain(target_embedder)
        _, parts = decoder_registry.check(decoder)
        if "attention" in parts:
            attention_registry.check(parts["attention"])
        embedder_registry.check(target_embedder)
        super().__init__(
            {
                "encoder": encoder,
                "embedder": embedder,
                "decoder": decoder,
                "target_embedder": target_embedder,
                "share_embeddings": share_embeddings,
                "tie_weights": tie_weights,
                "dropout": dropout,
                "label_smoothing": label_smoothing,
                "copying": copying,
            },
            optimizer=optimizer,
            lr_scheduler=lr_scheduler,
            monitor=monitor,
            coverage_loss=coverage_loss,
            scheduled_sampling=scheduled_sampling,
            translate_every_n_epochs=translate_every_n_epochs,
            translate_sentences=translate_sentences,
            translate_beam_size=translate_beam_size,
            beam_size=beam_size,
            length_penalty=length_penalty,
        )
        self.coverage_loss = coverage_loss
        self.scheduled_sampling = (
            None
            if scheduled_sampling is None
            else create_part("scheduled_sampling", ScheduledSampling, scheduled_sampling)
        )
        self.translate_every_n_epochs = translate_every_n_epochs
        self.translate_sentences = translate_sentences
        self.searches = {
            "val": TranslationOptions(beam_size=translate_beam_size, length_penalty=length_penalty),
            "test": TranslationOptions(beam_size=beam_size, length_penalty=length_penalty),
        }
        self._translating = True
        self._last_scores: dict[str, float] = {}  # of the last validation that translated

    # Training

    def objective(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Returns the mean negative log-likelihood in nats, and the same with the penalty."""
        own = 0.0 if self.scheduled_sampling is None else self.scheduled_sampling.own(self.global_step)
        decoded = self.network.teach_in_part(batch, own) if own > 0 else self.network.teach(batch)
        loss = minimised = self.network.loss(decoded, batch)
        if self.coverage_loss and decoded.attention is not None:
            assert batch.target_lengths is not None
            minimised = minimised + self.coverage_loss * coverage_loss(decoded.attention, batch.target_lengths)
        return loss, minimised

    def loss(self, logits: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
        """Returns the mean negative log-likelihood over the real ids of the targets, in nats."""
        assert batch.targets is not None
        targets = batch.targets.flatten()
        loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1).float(), targets, ignore_index=IGNORED)
        return loss, (targets != IGNORED).sum()

    # Scores

    def default_monitor(self, schema: Schema) -> str:
        """Returns BLEU."""
        return "val_bleu"

    def create_scores(self) -> Metric:
        """Returns BLEU, chrF, TER and exact match."""
        return TranslationScores()

    def known_scores(self) -> list[str]:
        """Returns the names that can be monitored."""
        return [*super().known_scores(), "val_perplexity"]

    def report(self) -> dict[str, Any]:
        """Returns sacreBLEU's signatures and how was searched, without which its scores mean little."""
        search = self.searches["test"]
        return {
            **{f"test_{name}_signature": text for name, text in self.scores["test"].signatures().items()},
            "test_beam_size": search.beam_size,
            "test_length_penalty": search.length_penalty,
        }

    def on_fit_start(self) -> None:
        """Makes sure that the options fit the network and the callbacks.

        Raises:
            ConfigurationError: a checkpoint callback keeps several best ones by a score that not every validation
                computes; or `coverage_loss` is given, but the decoder has no attention.
        """
        super().on_fit_start()
        if self.coverage_loss and not self.network.decoder.attends:
            raise ConfigurationError(
                f"coverage_loss: {self.coverage_loss} is about where the decoder looks, but this one looks nowhere; "
                f"choose an attention for it, such as attention: additive, or leave it out"
            )
        for callback in self.trainer.checkpoint_callbacks:
            if (
                isinstance(callback, ModelCheckpoint)
                and callback.save_top_k not in (0, 1)
                and self._is_of_translations(callback.monitor)
                and self.translate_every_n_epochs > 1
            ):
                raise ConfigurationError(
                    f"translate_every_n_epochs: {self.translate_every_n_epochs} leaves validations without a score of "
                    f"their own, but ModelCheckpoint keeps {callback.save_top_k} checkpoints by {callback.monitor}; "
                    f"set one of the two to 1"
                )

    def configure_optimizers(self) -> Any:
        """Returns the optimiser and the schedule; one that waits for a score waits until validation translates."""
        configured = super().configure_optimizers()
        if isinstance(configured, Mapping) and self._is_of_translations(configured["lr_scheduler"].get("monitor")):
            configured["lr_scheduler"]["frequency"] = self.translate_every_n_epochs
        return configured

    def _is_of_translations(self, score: str | None) -> bool:
        return score is not None and score.removeprefix("val_") in ("bleu", "chrf", "ter", "exact_match")

    def on_validation_epoch_start(self) -> None:
        """Forgets the scores of the last time; decides whether to translate."""
        super().on_validation_epoch_start()
        trainer = self.trainer
        epoch = trainer.current_epoch + 1
        between = trainer.state.fn == TrainerFn.FITTING and epoch % self.translate_every_n_epochs > 0
        self._translating = not between or not self._last_scores or epoch == trainer.max_epochs

    def on_test_epoch_start(self) -> None:
        """Forgets the scores of the last time."""
        super().on_test_epoch_start()
        self._translating = True

    def _score(self, split: str, batch: Batch) -> None:
        kept = batch.counted.nonzero().squeeze(1)
        if len(kept) < batch.size:
            batch = batch.select(kept)
        if not batch.size:
            return
        assert batch.target_lengths is not None
        log_probs = self.network.log_probs(self.network.teach(batch), batch)
        count = batch.target_lengths.sum()
        self.losses[split].update(-log_probs.sum() / count.clamp(min=1), count)
        if split == "val":
            batch = batch.select((batch.rows < self.translate_sentences).nonzero().squeeze(1))
        if self._translating and batch.size:
            examples = self.trainer.datamodule.examples(SPLITS[split])  # type: ignore[attr-defined]
            references = [examples[row]["target_text"] for row in batch.rows.tolist()]
            found = translate_batch(self.network, batch, self.searches[split])
            self.scores[split].update([best.text for best, *_ in found], references)

    def _finish(self, split: str) -> None:
        loss = self.losses[split].compute()
        values: dict[str, Any] = {"loss": loss, "perplexity": perplexity_of(float(loss))}
        found = self._text_scores(split) if self._translating else self._last_scores
        if not self._translating:
            self._excuse_early_stopping()
        elif split == "val" and not self.trainer.sanity_checking:
            self._last_scores = found
        values |= found
        watched = (self.monitor or "loss").removeprefix("val_")
        for name, value in values.items():
            self.log(
                f"{split}_{name}", value, prog_bar=name in (watched, "loss"), sync_dist=False, rank_zero_only=False
            )

    def _text_scores(self, split: str) -> dict[str, float]:
        return {name: float(value) for name, value in self.scores[split].compute().items()}

    def _excuse_early_stopping(self) -> None:
        """Gives back the patience that a score which is not new will cost."""
        for callback in self.trainer.early_stopping_callbacks:
            if self._is_of_translations(callback.monitor):  # type: ignore[attr-defined]
                callback.wait_count -= 1  # type: ignore[attr-defined]

    # Translation

    def predict_step(self, batch: Batch, batch_idx: int) -> list[dict[str, Any]]:
        """Returns, for each row, its number in the input, the translation and its log probability in nats."""
        found = translate_batch(self.network, batch, self.searches["test"])
        return [
            {"row": row, "translation": best.text, "log_probability": best.log_probability}
            for row, (best, *_) in zip(batch.rows.tolist(), found, strict=True)
        ]

    # Checkpoint

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Adds the scores of the last validation that translated, which stand in until the next one."""
        super().on_save_checkpoint(checkpoint)
        checkpoint[LAST_SCORES] = dict(self._last_scores)

    def on_load_checkpoint(self, checkpoint: Mapping[str, Any]) -> None:
        """Takes over the scores of the last validation that translated, to go on training."""
        super().on_load_checkpoint(checkpoint)
        if self._trainer is not None and self.trainer.state.fn == TrainerFn.FITTING:
            self._last_scores = dict(checkpoint.get(LAST_SCORES, {}))
