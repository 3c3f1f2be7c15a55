"""The command line on Lightning's: where runs go, what is kept, and what beats what."""

from __future__ import annotations

import logging
import os
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI, SaveConfigCallback
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger

from seqmodels.callbacks.confusion_picture import ConfusionPicture
from seqmodels.callbacks.data_summary import DataSummary
from seqmodels.callbacks.dry_run import DryRun
from seqmodels.callbacks.epoch_lines import EpochLines
from seqmodels.callbacks.interrupt_checkpoint import InterruptCheckpoint
from seqmodels.callbacks.prediction_writer import PredictionWriter
from seqmodels.callbacks.run_report import RunReport
from seqmodels.cli.arguments import Arguments, put_together, take_apart
from seqmodels.cli.messages import parser_error
from seqmodels.cli.validation import check_keys
from seqmodels.data.data_module import SequenceDataModule
from seqmodels.inference.checkpoint import check_registered, read_record
from seqmodels.inference.plugins import import_entry_points, import_plugins
from seqmodels.precision import set_matmul_precision
from seqmodels.tasks import Task


def run(command: str, arguments: Sequence[str]) -> int:
    """Runs a subcommand and returns its exit status.

    Raises:
        SeqmodelsError: what the user gave cannot be used; the message says why and what to do.
    """
    parts = take_apart(arguments)
    import_entry_points()
    import_plugins(parts.plugins)
    record = None
    if parts.ckpt_path is not None:
        record = read_record(parts.ckpt_path)
        check_registered(record)
    _quiet(command)
    check_keys(command, parts, record)
    CommandLine(parts, put_together(command, parts, record))
    return 0


class CommandLine(LightningCLI):
    """LightningCLI with this framework's models, data and manners.

    Args:
        parts: what the user typed.
        arguments: the same, put in order for the parser.
    """

    def __init__(self, parts: Arguments, arguments: list[str]) -> None:
        self.parts = parts
        super().__init__(
            Task,
            SequenceDataModule,
            subclass_mode_model=True,
            subclass_mode_data=True,
            auto_configure_optimizers=False,
            seed_everything_default=1,
            save_config_callback=ConfigInRunFolder,
            save_config_kwargs={"overwrite": True},
            parser_kwargs={"exit_on_error": False},
            args=arguments,
        )

    def init_parser(self, **kwargs: Any) -> LightningArgumentParser:
        """Returns the parser, named as the user calls it."""
        return super().init_parser(**{**kwargs, "prog": "seqmodels"})

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Adds what is ours to a subcommand's options."""
        parser.add_argument("--plugins", type=list[str], default=[], help="Modules of your own to import first.")
        parser.add_argument(
            "--float32_matmul_precision",
            type=Literal["highest", "high", "medium"] | None,
            default=None,
            help="Precision of float32 matrix products; medium can double the speed on some CPUs (its error is shown).",
        )

    def _prepare_subcommand_parser(self, klass: type, subcommand: str, **kwargs: Any) -> LightningArgumentParser:
        parser = super()._prepare_subcommand_parser(klass, subcommand, **kwargs)
        if subcommand == "predict":
            parser.add_argument("--output", type=str, default="-", help="File to write; - for standard output.")
            parser.add_argument(
                "--format",
                type=Literal["jsonl", "conll", "csv"] | None,
                default=None,
                help="How to write; null goes by the file's ending.",
            )
        return parser

    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:
        """Parses, with errors of one readable message."""
        with parser_error():
            super().parse_arguments(parser, args)

    def _parse_ckpt_path(self) -> None:
        """Does nothing: `put_together` has ranked the checkpoint's settings already."""

    def instantiate_classes(self) -> None:
        """Makes model, data and Trainer; data is encoded as the checkpoint's model was trained."""
        with parser_error():
            super().instantiate_classes()
        if self.parts.ckpt_path is not None:
            self.datamodule.use_checkpoint(self.parts.ckpt_path)

    def before_instantiate_classes(self) -> None:
        """Sets what concerns the process as a whole."""
        precision = self._get(self.config, "float32_matmul_precision")
        if precision is not None:
            print(set_matmul_precision(precision))

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        """Makes the Trainer with the loggers and callbacks that a run has by default."""
        command = self.subcommand
        settings = {**self._get(self.config_init, "trainer", default={}), **kwargs}
        given = settings.get("callbacks") or []
        extra: list[Any] = [self._get(self.config_init, name) for name in self._parser(command).callback_keys]
        if command == "fit":
            if settings.get("logger") in (None, True) and not settings.get("fast_dev_run"):
                settings["logger"] = _loggers(Path(settings.get("default_root_dir") or "runs"), self._run_name())
            extra += [DataSummary(), RunReport(), InterruptCheckpoint()]
            extra += [] if sys.stdout.isatty() else [EpochLines()]
            extra += [DryRun()] if self.parts.dry_run else self._checkpoints(given)
            settings["num_sanity_val_steps"] = settings.get("num_sanity_val_steps") or 0
        else:
            settings["logger"] = settings.get("logger") or False
            extra += [RunReport(self._run_folder())] if command == "test" else []
        if command in ("fit", "test"):
            extra += [ConfusionPicture(None if command == "fit" else self._run_folder())]
        if command == "predict":
            extra += [PredictionWriter(self._get(self.config_init, "output"), self._get(self.config_init, "format"))]
            settings["enable_progress_bar"] = (
                False if settings.get("enable_progress_bar") is None else settings["enable_progress_bar"]
            )
        if command == "fit" and not self.parts.dry_run and self.save_config_callback:
            extra.append(
                self.save_config_callback(
                    self._parser(command), self.config.get(str(command)), **self.save_config_kwargs
                )
            )
        settings["enable_model_summary"] = settings.get("enable_model_summary") or False
        settings["callbacks"] = [*extra, *(given if isinstance(given, list) else [given])]
        return self.trainer_class(**settings)

    def _checkpoints(self, given: Any) -> list[Any]:
        callbacks = given if isinstance(given, list) else [given]
        if any(isinstance(callback, ModelCheckpoint) for callback in callbacks):
            return []
        task = self._get(self.config_init, "model")
        data = self._get(self.config_init, "data")
        monitor = task.monitor if data.has_validation else None
        lower_is_better = monitor is not None and monitor.rsplit("_", 1)[-1] in ("loss", "perplexity")
        return [
            ModelCheckpoint(
                filename="best" if monitor else "end",
                monitor=monitor,
                mode="min" if lower_is_better else "max",
                save_last=True,
                enable_version_counter=False,
            ),
        ]

    def _run_name(self) -> str:
        if self.parts.configs:
            name = Path(self.parts.configs[0]).stem
            return name if name != "config" else Path(self.parts.configs[0]).absolute().parent.parent.name
        return type(self._get(self.config_init, "model")).__name__

    def _run_folder(self) -> str:
        folder = Path(self.parts.ckpt_path or "x").absolute().parent
        return str(folder.parent if folder.name == "checkpoints" else folder)


class ConfigInRunFolder(SaveConfigCallback):
    """Keeps the resolved config in the run's folder, from where the run can be repeated; nowhere without a logger."""

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Writes `config.yaml`."""
        if trainer.log_dir is not None and trainer.loggers:
            super().setup(trainer, pl_module, stage)


def _loggers(root: Path, name: str) -> list[Any]:
    """Returns the TensorBoard and CSV loggers of the next free version of a run's folder."""
    csv = CSVLogger(str(root), name=name)
    return [TensorBoardLogger(str(root), name=name, version=csv.version), csv]


def _quiet(command: str) -> None:
    """Silences what Lightning says on every run, and what no user of a small model can act on."""
    if command != "fit":
        for name in ("lightning.pytorch", "lightning.fabric"):
            logging.getLogger(name).setLevel(logging.WARNING)
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    logging.getLogger("lightning.pytorch.utilities.rank_zero").addFilter(
        lambda record: not any(text in record.getMessage() for text in ("litlogger", "litmodels", "Tip:"))
    )
    for message in (
        ".*LightningCLI's args parameter is intended.*",
        ".*callbacks used to create the checkpoint.*",
        ".*isinstance.treespec, LeafSpec.*",
        ".*does not have many workers.*",
        ".*Experiment logs directory .* exists and is not empty.*",
        ".*Checkpoint directory .* exists and is not empty.*",
        ".*is smaller than the logging interval.*",
    ):
        warnings.filterwarnings("ignore", message)
