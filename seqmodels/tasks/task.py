"""What all tasks share: a network built once the schema is known, its optimiser, its checkpoint."""

from __future__ import annotations

import inspect
import math
import os
import warnings
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar, TypeVar

import lightning
import torch
from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable
from lightning.pytorch.trainer.states import TrainerFn
from torch import Tensor, nn
from torchmetrics import Metric

from seqmodels.checkpoint_file import FORMAT, KEY, read_checkpoint
from seqmodels.data.batch import Batch
from seqmodels.data.data_module import SequenceDataModule
from seqmodels.data.schema import Schema
from seqmodels.embedders import embedder_registry
from seqmodels.encoders import encoder_registry, resolve_pretrained
from seqmodels.errors import CheckpointError, ConfigurationError, did_you_mean
from seqmodels.inference.checkpoint import check_registered
from seqmodels.inference.plugins import import_plugins, loaded_plugins
from seqmodels.metrics import Average
from seqmodels.networks import Network, network_registry
from seqmodels.processes import count_and_rank, destroy_at_exit, gather
from seqmodels.registry import dotted_path, only_registered
from seqmodels.tasks.optimizers import from_record, schedule_config, to_record
from seqmodels.tasks.plain import to_plain
from seqmodels.tasks.schedules import WarmupSchedule

Self = TypeVar("Self", bound="Task")
RNG_STATE = "rng_state"
GRADIENTS = "gradients"  # of batches that wait for the optimiser's step


class Task(lightning.LightningModule, ABC):
    """A network under training. The constructor takes hyperparameters only; the network follows from the schema.

    Args:
        network: the arguments of the task's network, in plain types.
        optimizer: makes the optimiser from the parameters.
        lr_scheduler: makes the learning rate schedule from the optimiser; None for a constant rate.
        monitor: the score by which the best checkpoint is chosen, which the progress bar shows; None for the task's own
            choice on its data, `default_monitor`.
    """

    network_name: ClassVar[str]
    network: Network

    def __init__(
        self,
        network: dict[str, Any],
        *,
        optimizer: OptimizerCallable,
        lr_scheduler: LRSchedulerCallable | None,
        monitor: str | None,
        **hyperparameters: Any,
    ) -> None:
        super().__init__()
        network = to_plain(network)
        network_registry.check({"name": self.network_name, **network})
        encoder_registry.check(network["encoder"])
        embedder_registry.check(network["embedder"])
        self.schema: Schema | None = None
        self.network_arguments = network
        self.optimizer_factory = from_record(optimizer)
        self.scheduler_factory = None if lr_scheduler is None else from_record(lr_scheduler)
        self.monitor = monitor  # never None once the network is built
        self.arguments = {
            **network,
            **to_plain(hyperparameters),
            "optimizer": to_record(optimizer),
            "lr_scheduler": to_record(lr_scheduler),
            "monitor": monitor,
        }
        for name, factory in (("optimizer", optimizer), ("lr_scheduler", lr_scheduler)):
            if factory is not None and self.arguments[name] is None:
                warnings.warn(
                    f"{name} is neither a class nor a functools.partial of one with plain arguments, so checkpoints "
                    f"cannot record it; predicting from them needs none, but to go on training, give it again",
                    stacklevel=3,
                )
                del self.arguments[name]
        self.save_hyperparameters(self.arguments)
        self._loss_sum: Tensor | None = None  # since it was logged last
        self._loss_steps = 0
        self._epoch_sum: Tensor | None = None  # since the epoch, or this run, began
        self._epoch_steps = 0
        self._accumulated = 0  # batches whose gradients wait for the optimiser's step
        self._gradients: list[Tensor | None] | None = None  # of such batches before a restart
        self._has_begun = False  # whether the weights are trained ones, which pretrained parts must not overwrite
        self._untimed: WarmupSchedule | None = None  # as long as the Trainer's training
        self._rng_state: dict[str, Any] | None = None  # to be restored before the next step

    # What a subclass says

    @abstractmethod
    def loss(self, logits: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
        """Returns the mean loss, in nats, and over how many items it is the mean."""

    @abstractmethod
    def create_scores(self) -> Metric:
        """Returns a metric whose `compute` gives the task's scores by name."""

    def update_scores(self, scores: Any, decoded: Tensor, batch: Batch) -> None:
        """Adds what was chosen and what is right to the scores."""
        scores.update(decoded, batch.targets)

    @abstractmethod
    def default_monitor(self, schema: Schema) -> str:
        """Returns the score to choose checkpoints by, where the user names none."""

    def report(self) -> dict[str, Any]:
        """Returns what belongs beside the test scores in a run's report, in plain types; a subclass may add to it."""
        return {}

    def known_scores(self) -> list[str]:
        """Returns the names that can be monitored; a subclass that logs more adds its own."""
        scores: Any = self.create_scores()
        scores.sync_on_compute = False  # their names alone are wanted
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that nothing has been counted yet
            return ["train_loss", "val_loss", *(f"val_{name}" for name in scores.compute())]

    # The network

    def setup(self, stage: str) -> None:
        """Sees to it that processes that train together part in good order."""
        destroy_at_exit()

    def configure_model(self) -> None:
        """Builds the network from the schema of the data module, or of the checkpoint."""
        if self.schema is None and self._trainer is not None:
            data = getattr(self.trainer, "datamodule", None)
            if not isinstance(data, SequenceDataModule):
                raise ConfigurationError(
                    f"{type(self).__name__} needs the schema of a seqmodels data module; "
                    f"pass datamodule=LabelledSequences(...) to the Trainer, got {type(data).__name__}"
                )
            self.schema = data.schema
        if self.schema is not None and not hasattr(self, "network"):
            self._build(self.schema)

    def _build(self, schema: Schema) -> None:
        self.schema = schema
        self.monitor = self.monitor or self.default_monitor(schema)
        self.network = network_registry.create({"name": self.network_name, **self.network_arguments}, schema)
        # with the configuration of a pretrained encoder, so that it is built again without its folder
        self._resolved_encoder = resolve_pretrained(self.network_arguments["encoder"])
        self.scores: Any = nn.ModuleDict({"val": self.create_scores(), "test": self.create_scores()})
        self.losses: Any = nn.ModuleDict({"val": Average(), "test": Average()})

    def on_fit_start(self) -> None:
        """Starts from pretrained parts where the network has them and its weights are not trained ones already."""
        if not self._has_begun:
            self.network.initialize()
            self._has_begun = True
        self._check_monitor()

    def _check_monitor(self) -> None:
        """Finds a misspelt monitor before an epoch is trained, not after it."""
        known = self.known_scores()
        watching = [*self.trainer.early_stopping_callbacks, *self.trainer.checkpoint_callbacks]
        named = {type(callback).__name__: getattr(callback, "monitor", None) for callback in watching}
        for where, monitor in {type(self).__name__: self.monitor, **named}.items():
            if monitor is not None and monitor not in known:
                raise ConfigurationError(
                    f"{where}: monitor: there is no score '{monitor}' on this data{did_you_mean(monitor, known)}; "
                    f"there are: {', '.join(known)}"
                )

    def __getstate__(self) -> dict[str, Any]:
        """Returns what a copy is made of: the network too, where it can be built.

        Lightning's `StochasticWeightAveraging` copies the module before it lets it build its network.
        """
        data = None if self._trainer is None else getattr(self._trainer, "datamodule", None)
        if isinstance(data, SequenceDataModule) and data.schema is not None:
            self.configure_model()
        return super().__getstate__()

    def forward(self, batch: Batch) -> Tensor:
        """Returns the network's logits."""
        return self.network(batch)  # type: ignore[no-any-return]

    # Steps

    @property
    def mean_train_loss(self) -> float | None:
        """The mean loss of the epoch's steps, or of those since a restart in its middle; None before the first."""
        return None if self._epoch_sum is None else float(self._epoch_sum) / self._epoch_steps

    def on_train_epoch_start(self) -> None:
        """Begins the epoch's mean loss."""
        self._epoch_sum, self._epoch_steps = None, 0

    def on_after_backward(self) -> None:
        """Counts the batches whose gradients are gathered."""
        self._accumulated += 1

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        """Lets the next batch begin to gather anew."""
        self._accumulated = 0

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        """Goes on with random numbers and gathered gradients where the checkpoint stopped."""
        if self._gradients is not None:
            for parameter, gradient in zip(self.network.parameters(), self._gradients, strict=True):
                parameter.grad = None if gradient is None else gradient.to(parameter.device)
            self._gradients = None
        if self._rng_state is not None:
            torch.set_rng_state(self._rng_state["cpu"].cpu())
            if "cuda" in self._rng_state and self.device.type == "cuda":
                torch.cuda.set_rng_state(self._rng_state["cuda"].cpu(), self.device)
            self._rng_state = None

    def objective(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Returns the mean loss of a training batch, in nats, and what is minimised; they differ by penalties."""
        loss, _ = self.loss(self.network(batch), batch)
        return loss, loss

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Returns what is minimised; logs the loss's mean since the last time, every `log_every_n_steps`."""
        loss, minimised = self.objective(batch)
        self._epoch_sum = loss.detach() if self._epoch_sum is None else self._epoch_sum + loss.detach()
        self._epoch_steps += 1
        self._loss_sum = loss.detach() if self._loss_sum is None else self._loss_sum + loss.detach()
        self._loss_steps += 1
        if (self.global_step + 1) % self._log_interval() == 0 or batch_idx == 0 or self.trainer.is_last_batch:
            self.log("train_loss", self._loss_sum / self._loss_steps, prog_bar=True, batch_size=batch.size)
            self._loss_sum, self._loss_steps = None, 0
        return minimised

    def _log_interval(self) -> int:
        return max(1, int(self.trainer.log_every_n_steps))  # type: ignore[attr-defined]

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Adds the batch to the validation scores."""
        self._score("val", batch)

    def test_step(self, batch: Batch, batch_idx: int) -> None:
        """Adds the batch to the test scores."""
        self._score("test", batch)

    def predict_step(self, batch: Batch, batch_idx: int) -> list[dict[str, Any]]:
        """Returns, for each row, its number in the input and the prediction in plain types."""
        results = self.network.results(self.network(batch), batch)
        return [{"row": row, **result} for row, result in zip(batch.rows.tolist(), results, strict=True)]

    def _score(self, split: str, batch: Batch) -> None:
        logits = self.network(batch)
        kept = batch.counted.nonzero().squeeze(1)
        if len(kept) < batch.size:
            batch, logits = batch.select(kept), logits[kept]
        if not len(kept):
            return
        loss, weight = self.loss(logits, batch)
        self.losses[split].update(loss, weight)
        self.update_scores(self.scores[split], self.network.decode(logits, batch), batch)

    def _finish(self, split: str) -> None:
        values = {"loss": self.losses[split].compute(), **self.scores[split].compute()}
        watched = (self.monitor or "loss").removeprefix("val_")
        for name, value in values.items():
            self.log(
                f"{split}_{name}", value, prog_bar=name in (watched, "loss"), sync_dist=False, rank_zero_only=False
            )

    def on_validation_epoch_start(self) -> None:
        """Forgets the scores of the last time."""
        self.scores["val"].reset()
        self.losses["val"].reset()

    def on_test_epoch_start(self) -> None:
        """Forgets the scores of the last time."""
        self.scores["test"].reset()
        self.losses["test"].reset()

    def on_validation_epoch_end(self) -> None:
        """Logs the validation scores."""
        self._finish("val")

    def on_test_epoch_end(self) -> None:
        """Logs the test scores."""
        self._finish("test")

    # Optimiser

    def configure_optimizers(self) -> Any:
        """Returns the optimiser and the schedule, which is stepped after each step where it warms up."""
        parameters = [parameter for parameter in self.network.parameters() if parameter.requires_grad]
        optimizer = self.optimizer_factory(parameters)
        if self.trainer.gradient_clip_val:
            # Fused optimisers can undo loss scaling in their own step, and Lightning then refuses to clip before it.
            # Told that they cannot, it (or torch's scaler) does so first, and clipping is right.
            optimizer._step_supports_amp_scaling = False  # type: ignore[attr-defined]
        if self.scheduler_factory is None:
            return optimizer
        scheduler = self.scheduler_factory(optimizer)
        if isinstance(scheduler, WarmupSchedule) and scheduler.total_steps is None and scheduler.falls:
            self._untimed = scheduler
        return {"optimizer": optimizer, "lr_scheduler": schedule_config(scheduler, self.monitor or "val_loss")}

    def on_train_start(self) -> None:
        """Tells a schedule how many steps the training has.

        The Trainer is not asked in `configure_optimizers`: it would set up its loops, and then forget where a
        checkpoint broke off in the middle of an epoch.
        """
        if self._untimed is None:
            return
        steps = self.trainer.estimated_stepping_batches
        if not math.isfinite(steps):
            name = type(self._untimed).__name__
            raise ConfigurationError(
                f"lr_scheduler: {name} falls over the whole training, which has no end in steps here (max_time alone "
                f"bounds it); give {name} its total_steps, set trainer.max_epochs or max_steps, or take WarmupConstant"
            )
        self._untimed.set_total_steps(int(steps))

    # Checkpoint

    def _waits(self) -> bool:
        """Tells whether gradients of whole batches wait for the optimiser's step, none of them of half a batch."""
        if not self._accumulated or self._trainer is None or self._trainer.state.fn != TrainerFn.FITTING:
            return False
        progress: Any = self._trainer.fit_loop.epoch_loop.batch_progress.current
        return bool(progress.processed % self._trainer.accumulate_grad_batches == self._accumulated)

    def _random_state(self) -> dict[str, Tensor]:
        """Returns the state of the random number generators of this process."""
        state = {"cpu": torch.get_rng_state()}
        return state | ({"cuda": torch.cuda.get_rng_state(self.device)} if self.device.type == "cuda" else {})

    def _restore_gradients(self, gathered: Mapping[str, Any] | None) -> None:
        count, rank = count_and_rank()
        if gathered is not None and len(gathered["of_processes"]) == count:
            self._accumulated, self._gradients = gathered["batches"], gathered["of_processes"][rank]

    def record(self) -> dict[str, Any]:
        """Returns all that is needed to build the network again, in plain types."""
        assert self.schema is not None
        encoder = {"encoder": self._resolved_encoder}
        data = getattr(self._trainer, "datamodule", None)
        return {
            "format": FORMAT,
            "network": {"name": self.network_name, **self.network_arguments, **encoder},
            "schema": self.schema.to_record(),
            "model": {"class_path": dotted_path(type(self)), "init_args": {**self.arguments, **encoder}},
            "data": None
            if not isinstance(data, SequenceDataModule)
            else {"class_path": dotted_path(type(data)), "init_args": to_plain(data.arguments)},
            "plugins": loaded_plugins(),
        }

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Adds the record from which `seqmodels.load` builds the model without data, YAML or Lightning."""
        checkpoint[KEY] = self.record()
        # What a checkpoint gone on from has left to be restored is still to be, where no batch has been trained since.
        checkpoint[RNG_STATE] = gather(self._rng_state or self._random_state())
        if self._waits():
            grads = self._gradients or [parameter.grad for parameter in self.network.parameters()]
            gathered = gather([None if grad is None else grad.cpu() for grad in grads])
            checkpoint[GRADIENTS] = {"batches": self._accumulated, "of_processes": gathered}

    def on_load_checkpoint(self, checkpoint: Mapping[str, Any]) -> None:
        """Builds the network from the checkpoint's schema where none is built yet.

        Raises:
            CheckpointError: the checkpoint is not one of ours, or was trained with other classes or inputs.
        """
        if KEY not in checkpoint:
            raise CheckpointError("not a seqmodels checkpoint: it holds no record of network and schema")
        record = checkpoint[KEY]
        self._has_begun = True
        if self._trainer is not None and self._trainer.state.fn == TrainerFn.FITTING:
            count, rank = count_and_rank()
            states = checkpoint.get(RNG_STATE, [])  # of each process
            self._rng_state = states[rank] if isinstance(states, list) and len(states) == count else None
            self._restore_gradients(checkpoint.get(GRADIENTS))
        if not hasattr(self, "network"):
            self._build(Schema.from_record(record["schema"]))
        elif record["schema"] != self.schema.to_record():  # type: ignore[union-attr]
            raise CheckpointError(_schema_difference(record["schema"], self.schema.to_record()))  # type: ignore[union-attr]

    @classmethod
    def load_from_checkpoint(  # type: ignore[override]
        cls: type[Self],
        checkpoint_path: str | os.PathLike[str],
        *,
        map_location: str | torch.device = "cpu",
        plugins: Sequence[str] = (),
        **arguments: Any,
    ) -> Self:
        """Builds the task of a checkpoint with its weights, to train, test or predict with by a Trainer.

        On `Task` itself it gives whichever task the checkpoint is of. Never runs code that the checkpoint names.

        Args:
            checkpoint_path: the file.
            map_location: the device to put the weights on.
            plugins: modules of your own to import first.
            arguments: of the constructor, instead of those that the checkpoint holds.

        Raises:
            CheckpointError: the file is missing, damaged or foreign, it is of another task, or it names what is not
                registered.
        """
        import_plugins(plugins)
        checkpoint = read_checkpoint(checkpoint_path)
        record = checkpoint[KEY]
        check_registered(record)
        chosen = _task_class(cls, record)
        with only_registered():
            task = chosen(**{**record["model"]["init_args"], **arguments})
            task.on_load_checkpoint(checkpoint)
        try:
            task.load_state_dict(checkpoint["state_dict"])
        except RuntimeError as error:
            raise CheckpointError(f"{checkpoint_path}: its weights do not fit the network: {error}") from error
        return task.to(map_location)


def _task_class(base: type[Self], record: Mapping[str, Any]) -> type[Self]:
    """Returns `base`, or where that is abstract the class under it that a checkpoint is of."""
    path, network = record["model"]["class_path"], record["network"]["name"]
    if not inspect.isabstract(base):
        if base.network_name != network:
            raise CheckpointError(f"the checkpoint is of a {path.rpartition('.')[2]}, not of a {base.__name__}")
        return base
    for candidate in _subclasses(base):
        if dotted_path(candidate) == path:
            return candidate
    raise CheckpointError(f"the checkpoint is of the task '{path}', which is not imported here; import it first")


def _subclasses(base: type[Self]) -> Iterator[type[Self]]:
    for child in base.__subclasses__():
        yield child
        yield from _subclasses(child)


def _schema_difference(trained: dict[str, Any], present: dict[str, Any]) -> str:
    """Says in what the schema of a checkpoint differs from that of the data at hand."""
    written = [schema.get("target_tokens") is not None for schema in (trained, present)]
    if written[0] != written[1]:
        verbs = ["writes a text" if one else "writes none" for one in written]
        return f"checkpoint was trained on data whose target {verbs[0]}, the data at hand {verbs[1]}"
    old, new = (set((schema["target"] or {}).get("names", [])) for schema in (trained, present))
    if old != new:
        parts = [
            f"{', '.join(sorted(names))} {verb}" for names, verb in ((new - old, "new"), (old - new, "gone")) if names
        ]
        return f"checkpoint was trained with {len(old)} classes, the data has {len(new)}: {'; '.join(parts)}"
    if all(written) and trained["target_tokens"] != present["target_tokens"]:
        return "checkpoint was trained with another target vocabulary than the data at hand gives"
    return "checkpoint was trained with another vocabulary or normalisation than the data at hand gives"
