"""Texts that a language model writes while it is trained, so that one can read how it is coming on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.utilities import rank_zero_only

from seqmodels.errors import ConfigurationError
from seqmodels.inference.writing import Writer, WritingOptions
from seqmodels.tasks import LanguageModel


class SampleTexts(Callback):
    """Prints what the model writes after each validation, and logs it to TensorBoard.

    The random numbers are its own: training goes on as it would without.

    Args:
        prompts: what the texts begin with; an empty one begins a new text.
        max_length: tokens of each text at most.
        temperature: 0 takes the likeliest token; above, tokens are drawn from softmax(logits / temperature).
        top_p: draws from the likeliest tokens that together have this probability, in (0, 1].
        stop_at_end: whether the end of a text ends the writing; else it is a line break, and the next text follows.
        every_n_epochs: a sample after every so many validations, the first of them included.
        seed: of the random numbers.

    Raises:
        ConfigurationError: an option is out of range.
    """

    def __init__(
        self,
        prompts: Sequence[str] = ("",),
        *,
        max_length: int = 100,
        temperature: float = 1.0,
        top_p: float = 1.0,
        stop_at_end: bool = True,
        every_n_epochs: int = 1,
        seed: int = 0,
    ) -> None:
        if isinstance(prompts, str) or not prompts:
            raise ConfigurationError(f"SampleTexts: prompts must be a list of texts, got {prompts!r}")
        if every_n_epochs < 1:
            raise ConfigurationError(f"SampleTexts: every_n_epochs must be at least 1, got {every_n_epochs}")
        self.prompts = list(prompts)
        self.every_n_epochs = every_n_epochs
        self._validations = 0
        self.options = WritingOptions(
            max_length=max_length, temperature=temperature, top_p=top_p, stop_at_end=stop_at_end, seed=seed
        )

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Makes sure that the model is one that writes.

        Raises:
            ConfigurationError: it is not.
        """
        if not isinstance(pl_module, LanguageModel):
            raise ConfigurationError(f"SampleTexts needs a LanguageModel, got {type(pl_module).__name__}")

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Makes sure that the model knows the words of the prompts, before an epoch is trained.

        Raises:
            DataError: it does not.
        """
        assert isinstance(pl_module, LanguageModel)
        Writer(pl_module.network, self.options).check(self.prompts)

    @rank_zero_only
    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Writes."""
        assert isinstance(pl_module, LanguageModel)
        if trainer.sanity_checking:
            return
        self._validations += 1
        if (self._validations - 1) % self.every_n_epochs:
            return
        texts = Writer(pl_module.network, self.options).texts(self.prompts)
        shown = [f"{prompt}{text}" for prompt, text in zip(self.prompts, texts, strict=True)]
        print("\n".join(f"sample: {text}" for text in shown), flush=True)
        for logger in trainer.loggers:
            if isinstance(logger, TensorBoardLogger):
                logger.experiment.add_text("samples", "\n\n".join(shown), trainer.global_step)

    def state_dict(self) -> dict[str, Any]:
        """Returns how many validations there have been."""
        return {"validations": self._validations}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Goes on counting them."""
        self._validations = state_dict["validations"]
