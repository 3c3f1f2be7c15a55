"""The classical tasks of long dependencies, generated: one file a task. `memory_task.py` is their contract.

This list of imports fills the registry.
"""

from seqmodels.diagnostics.memory_tasks.adding import Adding
from seqmodels.diagnostics.memory_tasks.associative_recall import AssociativeRecall
from seqmodels.diagnostics.memory_tasks.copy_memory import CopyMemory
from seqmodels.diagnostics.memory_tasks.delayed_recall import DelayedRecall
from seqmodels.diagnostics.memory_tasks.long_lag import LongLag
from seqmodels.diagnostics.memory_tasks.memory_task import Examples, MemoryTask, memory_task_registry
from seqmodels.diagnostics.memory_tasks.nested_brackets import NestedBrackets
from seqmodels.diagnostics.memory_tasks.parity import Parity
from seqmodels.diagnostics.memory_tasks.selective_copy import SelectiveCopy
from seqmodels.diagnostics.memory_tasks.temporal_order import TemporalOrder

__all__ = [
    "Adding",
    "AssociativeRecall",
    "CopyMemory",
    "DelayedRecall",
    "Examples",
    "LongLag",
    "MemoryTask",
    "NestedBrackets",
    "Parity",
    "SelectiveCopy",
    "TemporalOrder",
    "memory_task_registry",
]
