"""The loader of training batches, which can go on in the middle of an epoch, and the data set beneath it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset

from seqmodels.data.batch import Batch
from seqmodels.data.bucketing import BucketSampler, Chosen
from seqmodels.data.encoded import Encoded, collate
from seqmodels.data.streams import WindowSampler

logger = logging.getLogger(__name__)


class BatchDataset(Dataset[Batch]):
    """Makes a `Batch` of the rows that a sampler chose.

    Args:
        encoded: the columns of the split.
    """

    def __init__(self, encoded: Encoded) -> None:
        self.encoded = encoded

    def __len__(self) -> int:
        return len(self.encoded)

    def __getitem__(self, chosen: Chosen) -> Batch:
        return collate(self.encoded, chosen.rows, [chosen.counted] * len(chosen.rows))


def evaluation_loader(
    dataset: Dataset[Any], sampler: BucketSampler | WindowSampler, num_workers: int = 0
) -> DataLoader[Batch]:
    """Returns a loader of the batches that `sampler` chooses of `dataset`."""
    return DataLoader(dataset, **_loader_arguments(sampler, num_workers))


class SequenceLoader(DataLoader[Batch]):
    """A loader that knows how far the epoch has been trained, and after a restart goes on from there.

    Lightning stores its `state_dict` in every checkpoint and gives it back before the first batch.

    Args:
        dataset: makes a batch of what the sampler chooses.
        sampler: what chooses each batch.
        num_workers: processes that fill batches; 0, in this one, is fastest for text.
        trained: tells how many batches of this epoch have been trained, which is one less than were given out while a
            step is under way; None takes those given out.
    """

    sampler: BucketSampler | WindowSampler

    def __init__(
        self,
        dataset: Dataset[Any],
        sampler: BucketSampler | WindowSampler,
        *,
        num_workers: int = 0,
        trained: Callable[[], int] | None = None,
    ) -> None:
        super().__init__(dataset, **_loader_arguments(sampler, num_workers))
        self._trained = trained
        self._given = 0
        self._resume: tuple[int, int] | None = None

    def __iter__(self) -> Iterator[Batch]:  # type: ignore[override]
        """Yields the batches of the sampler's epoch: chosen when the first is asked for, not when this is called.

        Lightning makes the iterator of the first epoch before it tells the sampler which epoch that is.
        """
        resume, self._resume = self._resume, None
        self._given = resume[1] if resume is not None and resume[0] == self.sampler.epoch else 0
        self.sampler.first = self._given
        for batch in super().__iter__():
            self._given += 1
            yield batch

    def state_dict(self) -> dict[str, Any]:
        """Returns the epoch, how many of its batches have been trained, and how many it has."""
        batches = self._given if self._trained is None else self._trained()
        return {"epoch": self.sampler.epoch, "batches": batches, "length": len(self)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Lets the next iteration begin where `state` was taken; warns if the epoch was cut into other batches then."""
        epoch, batches = state["epoch"], state["batches"]
        if batches >= state["length"]:
            epoch, batches = epoch + 1, 0
        elif batches and state["length"] != len(self):
            logger.warning(
                "the checkpoint was written after %d of %d batches of an epoch, which now has %d: with another batch "
                "size, data or number of processes, some rows of this epoch are seen twice or not at all",
                *(batches, state["length"], len(self)),
            )
            batches = min(batches, len(self))
        self._resume = (epoch, batches)
        self.sampler.set_epoch(epoch)


class SteadyLoader:
    """The same batches in every epoch, for `Trainer(overfit_batches=...)`.

    A `DataLoader` would be given a sampler of single rows in the place of its own there; Lightning leaves this alone.

    Args:
        loader: whose batches of the first epoch these are.
    """

    def __init__(self, loader: DataLoader[Batch]) -> None:
        self._loader = loader

    def __len__(self) -> int:
        """Number of batches in an epoch."""
        return len(self._loader)

    def __iter__(self) -> Iterator[Batch]:
        """Yields the batches."""
        return iter(self._loader)


def _loader_arguments(sampler: BucketSampler | WindowSampler, num_workers: int) -> dict[str, Any]:
    return {
        "sampler": sampler,
        "batch_size": None,
        "num_workers": num_workers,
        "pin_memory": torch.cuda.is_available(),
        "generator": torch.Generator(),  # its own: else each pass would take a number from those of dropout
    }
