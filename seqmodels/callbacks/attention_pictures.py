"""Where a translator looks while it is trained, as pictures in TensorBoard."""

from __future__ import annotations

from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.utilities import rank_zero_only

from seqmodels.errors import ConfigurationError
from seqmodels.inference.attention_picture import plot_attention
from seqmodels.inference.translating import Translation, translate_batch
from seqmodels.inference.translation_options import TranslationOptions
from seqmodels.networks import TranslationNetwork


class AttentionPictures(Callback):
    """Draws, at each validation, how the first sentences of the validation data are translated and where it looks.

    Args:
        sentences: how many.
        every_n_epochs: draws at every so many validations, the first of them included.
        beam_size: candidates that are followed at once; 1 costs least.

    Raises:
        ConfigurationError: an option is out of range.
    """

    def __init__(self, sentences: int = 3, *, every_n_epochs: int = 1, beam_size: int = 1) -> None:
        for name, value in (("sentences", sentences), ("every_n_epochs", every_n_epochs)):
            if value < 1:
                raise ConfigurationError(f"AttentionPictures: {name} must be at least 1, got {value}")
        self.sentences = sentences
        self.every_n_epochs = every_n_epochs
        self._validations = 0
        self.options = TranslationOptions(beam_size=beam_size)

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Makes sure that there is attention to draw, and something to draw it with.

        Raises:
            ConfigurationError: the model does not translate, or has no attention; matplotlib is not installed.
        """
        network = pl_module.network
        if not isinstance(network, TranslationNetwork) or not network.decoder.attends:
            raise ConfigurationError(
                f"AttentionPictures needs a translator with attention, got {type(pl_module).__name__}"
                f"{' with attention: none' if isinstance(network, TranslationNetwork) else ''}"
            )
        plot_attention(torch.ones(1, 1), ["source"], ["translation"])

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Counts the validations."""
        self._validations += not trainer.sanity_checking

    def state_dict(self) -> dict[str, Any]:
        """Returns how many validations there have been."""
        return {"validations": self._validations}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Goes on counting them."""
        self._validations = state_dict["validations"]

    @rank_zero_only
    def on_validation_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Draws the sentences that are in the batch."""
        due = (self._validations - 1) % self.every_n_epochs == 0
        if trainer.sanity_checking or not due or not self._loggers(trainer):
            return
        network = pl_module.network
        assert isinstance(network, TranslationNetwork)
        chosen = ((batch.rows < self.sentences) & batch.counted).nonzero().squeeze(1)
        if len(chosen) == 0:
            return
        batch = batch.select(chosen)
        found = translate_batch(network, batch, self.options, attention=True)
        for number, (best, *_) in zip(batch.rows.tolist(), found, strict=True):
            self._draw(trainer, network, number, best)

    def _draw(self, trainer: Trainer, network: TranslationNetwork, number: int, translation: Translation) -> None:
        if translation.attention is None or 0 in translation.attention.shape:
            return
        source = translation.source_tokens
        if network.schema.tokens is not None:
            source = network.schema.tokens.tokenizer.readable(source)
        figure = plot_attention(translation.attention, source, network.target_tokenizer.readable(translation.tokens))
        for logger in self._loggers(trainer):
            logger.experiment.add_figure(f"attention/{number + 1}", figure, trainer.global_step)

    def _loggers(self, trainer: Trainer) -> list[TensorBoardLogger]:
        return [logger for logger in trainer.loggers if isinstance(logger, TensorBoardLogger)]
