"""How far gradients reach, while training."""

from __future__ import annotations

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.utilities import rank_zero_info
from torch import Tensor

from seqmodels.data.batch import Batch
from seqmodels.diagnostics.state_gradients import ChunkedReading
from seqmodels.encoders import State
from seqmodels.errors import ConfigurationError
from seqmodels.masking import lengths_to_mask
from seqmodels.tasks.task import Task


class GradientFlow(Callback):
    """Logs how large the gradient of the loss is at states further and further from the end of the rows.

    Every so many steps the batch is read once more, in chunks, without dropout. Logged is the mean over rows of
    ||dL/ds_t||, where s_t is the state that the encoder carries and L the training loss as far as it depends on the
    output of each row's last step, as `gradient_flow/8_to_15`: t lies 8 to 15 steps from the end. Neither the weights
    nor the random numbers of the training change. An encoder that reads the future carries no state: then nothing is
    logged, and a line at the start says so.

    Args:
        every_n_steps: training steps from one measurement to the next; each costs about two training steps or more,
            the more the smaller the chunks are.
        chunk: every how many steps of a row a state is looked at.

    Raises:
        ConfigurationError: an argument is not positive, or the module is no task of seqmodels.
    """

    def __init__(self, every_n_steps: int = 100, chunk: int = 4) -> None:
        for name, value in (("every_n_steps", every_n_steps), ("chunk", chunk)):
            if value < 1:
                raise ConfigurationError(f"GradientFlow: {name} must be at least 1, got {value}")
        self.every_n_steps = every_n_steps
        self.chunk = chunk
        self._measured = -1  # the last step that was measured at

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Says so where there is nothing to measure."""
        self._measured = -1
        encoder = _task(pl_module).network.encoder
        if not encoder.causal:
            rank_zero_info(
                f"GradientFlow: {encoder.future_reader()} reads the future and carries no state; nothing is logged"
            )

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Batch, batch_idx: int) -> None:
        """Measures, if it is time."""
        task, step = _task(pl_module), trainer.global_step
        if step % self.every_n_steps or step == self._measured or not task.network.encoder.causal:
            return
        self._measured = step
        norms = gradients_by_distance(task, batch, self.chunk)
        for logger in trainer.loggers:
            logger.log_metrics(norms, step)


def gradients_by_distance(task: Task, batch: Batch, chunk: int) -> dict[str, float]:
    """Returns the mean norms of dL/ds_t by the distance of t from the ends of the rows, in bins of powers of two.

    Args:
        task: a task with a causal encoder.
        batch: the batch.
        chunk: every how many steps a state is looked at.
    """
    network = task.network
    reading = _LastOutputs(network.encoder, chunk)
    modes = {module: module.training for module in network.modules()}
    devices = [task.device] if task.device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices), torch.enable_grad():
        try:
            network.eval()
            network.encoder = reading
            loss, _ = task.loss(network(batch), batch)
        finally:
            network.encoder = reading.encoder
            for module, mode in modes.items():
                module.training = mode
    sums: dict[int, tuple[float, int]] = {}
    for step, norms in reading.norms(loss * batch.size):
        for distance, norm in zip((batch.lengths - step).tolist(), norms.tolist(), strict=True):
            if distance > 0:
                total, count = sums.get(distance.bit_length(), (0.0, 0))
                sums[distance.bit_length()] = total + norm, count + 1
    return {
        f"gradient_flow/{2 ** (size - 1)}_to_{2**size - 1}": total / count
        for size, (total, count) in sorted(sums.items())
    }


class _LastOutputs(ChunkedReading):
    """Lets gradients in through the output of each row's last real step alone."""

    def forward(self, inputs: Tensor, lengths: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        whole, state = super().forward(inputs, lengths, state)  # (batch, time, output_size)
        time = whole.size(1)
        last = lengths_to_mask(lengths, time) & ~lengths_to_mask(lengths - 1, time)
        return torch.where(last.unsqueeze(2), whole, whole.detach()), state


def _task(module: LightningModule) -> Task:
    if not isinstance(module, Task):
        raise ConfigurationError(f"GradientFlow needs a task of seqmodels, got {type(module).__name__}")
    return module
