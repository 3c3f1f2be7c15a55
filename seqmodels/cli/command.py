"""The command line on Lightning's: where runs go, what is kept, and what beats what."""

from __future__ import annotations

import logging
import os
import shlex
import sys
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI, SaveConfigCallback
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from lightning.pytorch.utilities.exceptions import SIGTERMException

from seqmodels.callbacks.confusion_picture import ConfusionPicture
from seqmodels.callbacks.data_summary import DataSummary
from seqmodels.callbacks.dry_run import DryRun
from seqmodels.callbacks.epoch_lines import EpochLines
from seqmodels.callbacks.interrupt_checkpoint import InterruptCheckpoint
from seqmodels.callbacks.prediction_writer import PredictionWriter
from seqmodels.callbacks.run_report import RunReport
from seqmodels.cli.arguments import Arguments, put_together
from seqmodels.cli.messages import parser_error
from seqmodels.cli.validation import check_keys
from seqmodels.data.data_module import SequenceDataModule
from seqmodels.data.tokenizer_training import tokenizer_registry
from seqmodels.errors import CheckpointError, ConfigurationError
from seqmodels.precision import set_matmul_precision
from seqmodels.tasks import Task
from seqmodels.tasks.plain import to_plain

NOISE = ("litlogger", "litmodels", "Tip:", "TPU", "Seed set", "GPU available: False", "`weights_only` was not set")
INTERRUPTED, TERMINATED = 130, 143  # as shells count: 128 and the number of the signal


def run(command: str, parts: Arguments, record: Mapping[str, Any] | None) -> int:
    """Runs a subcommand and returns its exit status: 0, or that of the signal which broke it off.

    Args:
        command: fit, validate, test or predict.
        parts: what the user typed.
        record: what the checkpoint holds, if one is named.

    Raises:
        SeqmodelsError: what the user gave cannot be used; the message says why and what to do.
    """
    _quiet(command)
    check_keys(parts, record)
    return CommandLine(parts, put_together(command, parts, record), record).status


class CommandLine(LightningCLI):
    """LightningCLI with this framework's models, data and manners.

    Args:
        parts: what the user typed.
        arguments: the same, put in order for the parser.
        record: what the checkpoint holds, if one is named.
    """

    def __init__(self, parts: Arguments, arguments: list[str], record: Mapping[str, Any] | None) -> None:
        self.parts = parts
        self.record = record
        self.status = 0
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
        parser.add_argument("--plugins", type=list[str] | str, default=[], help="Modules of your own to import first.")
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
        with parser_error(self.parts.where):
            super().parse_arguments(parser, args)

    def _parse_ckpt_path(self) -> None:
        """Does nothing: `put_together` has ranked the checkpoint's settings already."""

    def instantiate_classes(self) -> None:
        """Makes model, data and Trainer; data is encoded as the checkpoint's model was trained."""
        with parser_error(self.parts.where):
            super().instantiate_classes()

    def _run_subcommand(self, subcommand: str) -> None:
        try:
            super()._run_subcommand(subcommand)
        except MisconfigurationException as error:
            raise ConfigurationError(str(error)) from error
        except RuntimeError as error:
            if "loading state_dict" not in str(error):
                raise
            raise CheckpointError(
                f"{self.parts.ckpt_path}: its weights do not fit this model; leave its options as they were "
                f"in training: {str(error).splitlines()[-1].strip()}"
            ) from error
        except SIGTERMException:
            self.status = TERMINATED
        except SystemExit:  # how Lightning ends after Ctrl-C
            if not self.trainer.interrupted:
                raise
            self.status = INTERRUPTED

    def before_instantiate_classes(self) -> None:
        """Sets what concerns the process as a whole."""
        precision = self._get(self.config, "float32_matmul_precision")
        if precision is not None:
            print(set_matmul_precision(precision))

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        """Makes the Trainer with the loggers and callbacks that a run has by default."""
        command = self.subcommand
        if self.parts.ckpt_path is not None:
            self._check_tokenizers()
            self.datamodule.use_checkpoint(self.parts.ckpt_path)
        settings = {**self._get(self.config_init, "trainer", default={}), **kwargs}
        for name, least in (("accumulate_grad_batches", 1), ("gradient_clip_val", 0)):
            if isinstance(settings.get(name), (int, float)) and settings[name] < least:
                raise ConfigurationError(f"trainer.{name} must be at least {least}, got {settings[name]}")
        given = settings.get("callbacks") or []
        extra: list[Any] = [self._get(self.config_init, name) for name in self._parser(command).callback_keys]
        if settings.get("enable_progress_bar") is None:  # in a log file it would be a mess
            settings["enable_progress_bar"] = sys.stdout.isatty() and command != "predict"
        if command == "fit":
            if settings.get("logger") in (None, True) and not settings.get("fast_dev_run"):
                settings["logger"] = _loggers(Path(settings.get("default_root_dir") or "runs"), self._run_name())
            extra += [DataSummary(), RunReport()]
            extra += [] if settings["enable_progress_bar"] else [EpochLines()]
            extra += [DryRun()] if self.parts.dry_run else self._checkpoints(given)
            settings["num_sanity_val_steps"] = settings.get("num_sanity_val_steps") or 0
        else:
            settings["logger"] = settings.get("logger") or False
            extra += [RunReport(self._run_folder(), self._departures())] if command == "test" else []
        if command in ("fit", "test"):
            extra += [ConfusionPicture(None if command == "fit" else self._run_folder())]
        if command == "predict":
            extra += [self._prediction_writer()]
        if command == "fit" and not self.parts.dry_run and self.save_config_callback:
            extra.append(
                self.save_config_callback(
                    self._parser(command), self.config.get(str(command)), **self.save_config_kwargs
                )
            )
        settings["enable_model_summary"] = settings.get("enable_model_summary") or False
        last = [InterruptCheckpoint()] if command == "fit" else []  # all others have seen a step before it breaks off
        settings["callbacks"] = [*extra, *(given if isinstance(given, list) else [given]), *last]
        return self.trainer_class(**settings)

    def _trained_data(self) -> Mapping[str, Any]:
        """Returns the arguments of the data that the checkpoint's model was trained on, if they are known."""
        arguments: Mapping[str, Any] = ((self.record or {}).get("data") or {}).get("init_args", {})
        return arguments

    def _departures(self) -> str:
        """Returns how a test departs from the checkpoint's run, as it was typed; empty where it does not.

        Config files are named where what they say of the test's data is not what the run's own config said.
        """
        parts = self.parts
        trained = self._trained_data()
        differing = [name for name, value in to_plain(self.datamodule.arguments).items() if trained.get(name) != value]
        if all(parts.typed(f"--data.{name}") or parts.typed(f"--data.init_args.{name}") for name in differing):
            return parts.departures
        return " ".join([*(shlex.join(["--config", path]) for path in parts.configs), parts.departures]).strip()

    def _check_tokenizers(self) -> None:
        """Makes sure that nobody asks for another tokenizer than the one that the checkpoint's model reads."""
        trained = self._trained_data()
        for name in ("tokenizer", "target_tokenizer"):
            where, wanted = self.parts.where(f"data.{name}"), self.datamodule.arguments.get(name)
            if where and name in trained and _recipe(wanted) != _recipe(trained[name]):
                raise ConfigurationError(
                    f"{where}: data.{name} is {wanted}, but the model of {self.parts.ckpt_path} reads "
                    f"{trained[name]} and what was learnt with it; leave data.{name} out, or train a new model without "
                    f"--ckpt_path"
                )

    def _prediction_writer(self) -> PredictionWriter:
        writer = PredictionWriter(self._get(self.config_init, "output"), self._get(self.config_init, "format"))
        task = self._get(self.config_init, "model")
        if writer.format == "conll" and task.network_name != "tagging":
            raise ConfigurationError(
                f"--format conll is for taggers, but this model is a {type(task).__name__}; use jsonl or csv"
            )
        if self._get(self.config_init, "data").given["predict"] in (None, "-") and sys.stdin.isatty():
            print("reading standard input until Ctrl-D; --input FILE reads a file", file=sys.stderr)
        return writer

    def _checkpoints(self, given: Any) -> list[Any]:
        callbacks = given if isinstance(given, list) else [given]
        if any(isinstance(callback, ModelCheckpoint) for callback in callbacks):
            return []
        # of its own: beside a monitor, `save_last` keeps the last that was better, not the last
        last = ModelCheckpoint(filename="last", enable_version_counter=False)
        if not self.datamodule.has_validation:
            return [last]
        monitor = self.model.monitor
        if monitor is None:  # the data decides
            self.datamodule.setup("fit")
            monitor = self.model.default_monitor(self.datamodule.schema)
        mode = "min" if monitor.rsplit("_", 1)[-1] in ("loss", "perplexity", "character", "ter") else "max"
        return [ModelCheckpoint(filename="best", monitor=monitor, mode=mode, enable_version_counter=False), last]

    def _run_name(self) -> str:
        for path in (*self.parts.configs[:1], self.parts.ckpt_path):
            if path is not None:
                folder = Path(path).absolute().parent
                run = folder.parent if folder.name == "checkpoints" else folder
                if run.name.startswith("version_"):  # a run of ours: its next version
                    return run.parent.name
        if self.parts.configs:
            return Path(self.parts.configs[0]).stem
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


def _recipe(tokenizer: Any) -> Any:
    """Returns a tokenizer's spec in the one form that can be compared."""
    return None if tokenizer is None else tokenizer_registry.check(tokenizer)


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
    for name in ("lightning", "lightning.pytorch", "lightning.fabric"):
        for handler in logging.getLogger(name).handlers:
            handler.addFilter(_is_worth_reading)
    for message in (
        ".*LightningCLI's args parameter is intended.*",
        ".*callbacks used to create the checkpoint.*",
        ".*isinstance.treespec, LeafSpec.*",
        ".*does not have many workers.*",
        ".*Experiment logs directory .* exists and is not empty.*",
        ".*Checkpoint directory .* exists and is not empty.*",
        ".*is smaller than the logging interval.*",
        ".*The dirpath has changed from.*",
        ".*Total length of .* across ranks is zero.*",
    ):
        warnings.filterwarnings("ignore", message)


def _is_worth_reading(record: logging.LogRecord) -> bool:
    said = record.getMessage()
    return not any(text in said for text in NOISE)
