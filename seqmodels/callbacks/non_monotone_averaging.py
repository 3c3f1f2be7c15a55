"""Averaged weights from the moment on when training no longer gets better."""

from __future__ import annotations

import math
from typing import Any, Literal

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.trainer.states import TrainerFn
from lightning.pytorch.utilities import rank_zero_info
from torch import Tensor
from torch.optim.swa_utils import get_swa_multi_avg_fn

from seqmodels.errors import CheckpointError, ConfigurationError

_KEY = "non_monotone_averaging"
_average = get_swa_multi_avg_fn()  # type: ignore[no-untyped-call]


class NonMonotoneAveraging(Callback):
    """Averages the weights of all steps from the one on at which a validation score has ceased to get better.

    Let v_0 .. v_t be the scores of the validations so far. The average begins at the first one at which v_t is worse
    than the best of v_0 .. v_[t - patience - 1]. From there on validation, testing and checkpoints have the mean of the
    weights at that moment and after each optimiser step since, and training goes on from the weights themselves. With
    `torch.optim.SGD` at a constant rate this is NT-ASGD. Buffers, such as running statistics, are not averaged.

    A checkpoint's weights are the averaged ones. It holds the others as well, so that training goes on from it as if it
    had not broken off; one that keeps weights alone (`save_weights_only`) has them averaged if it is written after a
    validation and before the next step.

    Args:
        monitor: the validation score to watch.
        mode: "min" if a lower score is better, "max" if a higher one is.
        patience: how many of the last validations are not asked for the best score; 5 as in the paper.

    Raises:
        ConfigurationError: `patience` or `mode` is out of range; in training, there is no score `monitor`.

    Reference:
        Merity, Keskar and Socher (2018), Regularizing and optimizing LSTM language models, section 3, algorithm 1;
        the paper's n is `patience`.
    """

    def __init__(self, monitor: str = "val_loss", *, mode: Literal["min", "max"] = "min", patience: int = 5) -> None:
        super().__init__()
        if patience < 1:
            raise ConfigurationError(f"NonMonotoneAveraging: patience must be 1 or more validations, got {patience}")
        if mode not in ("min", "max"):
            raise ConfigurationError(f"NonMonotoneAveraging: mode must be min or max, got {mode!r}")
        self.monitor = monitor
        self.mode = mode
        self.patience = patience
        self._forget(None)

    def _forget(self, module: LightningModule | None) -> None:
        self._module = module
        self._scores: list[float] = []  # of each validation, lower is better
        self._weights: dict[str, Tensor] | None = None  # the average, once it has begun
        self._count = 0  # how many weights it is the mean of
        self._step = 0  # the optimiser step of the last of them
        self._raw: dict[str, Tensor] | None = None  # those under training, while the module holds the average

    @property
    def averaging(self) -> bool:
        """Whether the average has begun."""
        return self._weights is not None

    # When it begins

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Begins anew with another module."""
        if stage == "fit" and pl_module is not self._module:
            self._forget(pl_module)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Notes the score, and begins the average if it is time."""
        if trainer.state.fn != TrainerFn.FITTING or trainer.sanity_checking:
            return
        if self.monitor not in trainer.callback_metrics:
            raise ConfigurationError(
                f"NonMonotoneAveraging: monitor: validation gave no score '{self.monitor}'; "
                f"there are: {', '.join(sorted(trainer.callback_metrics))}"
            )
        score = float(trainer.callback_metrics[self.monitor])
        score = math.inf if math.isnan(score) else -score if self.mode == "max" else score
        if not self.averaging and score > min(self._scores[: -self.patience], default=math.inf):
            self._begin(trainer, pl_module)
        self._scores.append(score)

    def _begin(self, trainer: Trainer, module: LightningModule) -> None:
        # Validation runs in inference mode, whose tensors could not be updated in training.
        with torch.inference_mode(False), torch.no_grad():
            self._weights = {
                name: parameter.detach().to(torch.promote_types(parameter.dtype, torch.float32), copy=True)
                for name, parameter in module.named_parameters()
                if parameter.requires_grad
            }
        self._count, self._step = 1, trainer.global_step
        rank_zero_info(f"{self.monitor} has ceased to get better: the weights are averaged from step {self._step} on")

    # The average, and whose turn it is to be in the module

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Adds the weights to the average, if the optimiser has taken a step."""
        if self._weights is None or trainer.global_step <= self._step:
            return
        parameters = dict(pl_module.named_parameters())
        averages = list(self._weights.values())
        current = [parameters[name].detach().to(average.dtype) for name, average in self._weights.items()]
        _average(averages, current, self._count)
        self._count, self._step = self._count + 1, trainer.global_step

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Goes on from the weights themselves."""
        if self._weights is not None:
            parameters = dict(pl_module.named_parameters())
            self._weights = {name: value.to(parameters[name].device) for name, value in self._weights.items()}
        self._put_raw(pl_module)

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """Goes on from the weights themselves, if there was a validation."""
        self._put_raw(pl_module)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Validates the average."""
        if trainer.state.fn == TrainerFn.FITTING:
            self._put_average(pl_module)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Leaves the average in the module."""
        self._put_average(pl_module)

    def _put_average(self, module: LightningModule) -> None:
        if self._weights is None or self._raw is not None:
            return
        with torch.inference_mode(False):
            self._raw = {
                name: parameter.detach().clone()
                for name, parameter in module.named_parameters()
                if name in self._weights
            }
        _assign(module, self._weights)

    def _put_raw(self, module: LightningModule) -> None:
        if self._raw is not None:
            _assign(module, self._raw)
            self._raw = None

    # Checkpoints

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Puts the average in the place of the weights, and the weights beside it."""
        state: dict[str, Any] = {"scores": list(self._scores)}
        checkpoint[_KEY] = state
        if self._weights is None:
            return
        weights = checkpoint["state_dict"]
        raw = {name: weights[name] for name in self._weights} if self._raw is None else self._raw
        state.update(average=dict(self._weights), raw=dict(raw), count=self._count, step=self._step)
        # a parameter that is shared has one name among the averages and several in the state_dict
        names = {id(parameter): name for name, parameter in pl_module.named_parameters()}
        checkpoint["state_dict"] = averaged = dict(weights)
        for alias, parameter in pl_module.named_parameters(remove_duplicate=False):
            name = names[id(parameter)]
            if name in self._weights and alias in weights:
                averaged[alias] = self._weights[name].to(parameter.dtype)

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Goes on where the checkpoint broke off; for testing and prediction its averaged weights are enough.

        Raises:
            CheckpointError: its averaged weights are not those of the network.
        """
        if trainer.state.fn != TrainerFn.FITTING or _KEY not in checkpoint:
            return
        state = checkpoint[_KEY]
        self._forget(pl_module)
        self._scores = list(state["scores"])
        if "average" not in state:
            return
        strangers = set(state["average"]) - {name for name, _ in pl_module.named_parameters()}
        if strangers:
            raise CheckpointError(f"checkpoint: averaged weights of what the network has not: {sorted(strangers)[0]}")
        self._weights = {name: value.clone() for name, value in state["average"].items()}
        self._count, self._step = state["count"], state["step"]
        _assign(pl_module, state["raw"])


def _assign(module: LightningModule, weights: dict[str, Tensor]) -> None:
    """Copies values into the parameters of a module, in place."""
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            if name in weights:
                parameter.copy_(weights[name])
