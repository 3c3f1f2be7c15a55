"""One promise put to the test on one encoder, and what came of it."""

from __future__ import annotations

import inspect
import os
import sysconfig
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from unittest import SkipTest

import torch

from seqmodels.conformance.evidence import BrokenPromiseError, Evidence, NotApplicableError
from seqmodels.conformance.subject import Subject
from seqmodels.encoders import Encoder, Unrolled

Check = Callable[[Subject, Evidence], None]
Status = Literal["kept", "broken", "not applicable"]

LIBRARIES = tuple(f"{folder}{os.sep}" for folder in (Path(torch.__file__).parent, Path(__file__).parents[1]))
STANDARD_LIBRARY = sysconfig.get_paths()["stdlib"] + os.sep
SAME_FORMAT = "make tensors by new_zeros, or of inputs.dtype, and keep weights in parameters or buffers"


@dataclass(frozen=True)
class Result:
    """What a check came to.

    Attributes:
        promise: its name.
        status: whether it is kept.
        promised: what is promised, in a sentence.
        found: what to mend, where it is broken; why it is not asked, where it is not applicable.
        difference: the largest difference of two results, each number relative to 1 + its size (of the comparison that
            came nearest to its bound); None where nothing is told by a number.
        bound: the largest difference that is allowed.
    """

    promise: str
    status: Status
    promised: str
    found: str = ""
    difference: float | None = None
    bound: float | None = None

    @property
    def explanation(self) -> str:
        """Two lines: what is promised, and what to mend."""
        return f"promised: {self.promised}\n{'mend' if self.status == 'broken' else 'found'}: {self.found}"


@dataclass(frozen=True)
class Promise:
    """A promise of the contract, asked of one encoder; a test suite is parametrised over them.

    Args:
        verify: the check; its name and the first line of its docstring are the promise's.
        subject: the encoder.
    """

    verify: Check
    subject: Subject

    @property
    def __name__(self) -> str:  # pytest's name of the parameter
        return self.verify.__name__

    def result(self) -> Result:
        """Returns whether the encoder keeps it; an error inside the encoder is a broken promise."""
        evidence = Evidence()
        name = self.verify.__name__.replace("_", " ")
        promised = (inspect.getdoc(self.verify) or name).split("\n")[0]
        try:
            # TensorFloat-32 has three digits, and float32's bounds ask for five
            with torch.backends.cudnn.flags(enabled=True, deterministic=True, allow_tf32=False):
                self.verify(self.subject, evidence)
        except NotApplicableError as reason:
            return Result(name, "not applicable", promised, str(reason))
        except BrokenPromiseError as broken:
            return Result(name, "broken", promised, broken.mend, broken.difference, broken.bound)
        except Exception as error:
            return Result(name, "broken", promised, describe(error, self.subject))
        return Result(name, "kept", promised, "", evidence.difference, evidence.bound)

    def check(self) -> None:
        """Fails a test where the promise is broken.

        Raises:
            AssertionError: it is broken; says what is promised and what to mend.
            SkipTest: it is not asked of this encoder.
        """
        result = self.result()
        if result.status == "not applicable":
            raise SkipTest(result.found)
        if result.status == "broken":
            raise AssertionError(f"{self.subject.name}: {result.promise} is broken\n{result.explanation}")


def describe(error: Exception, subject: Subject) -> str:
    """Returns an error's type and message, with the line of the user's file that it comes from."""
    lines = str(error).strip().splitlines() or ["no message"]
    found = f"{type(error).__name__}: {lines[0]} ({_line_of(error) or _place_of(subject)})"
    return f"{found}; {SAME_FORMAT}" if isinstance(error, RuntimeError) and "dtype" in lines[0] else found


def _line_of(error: BaseException | None) -> str:
    """Returns `file:line, in function` of the innermost call outside of torch and of this package, if there is one."""
    place = ""
    while error is not None:
        for frame in traceback.extract_tb(error.__traceback__):
            if _is_own(frame.filename):
                place = f"{_short(frame.filename)}:{frame.lineno}, in {frame.name}"
        error = error.__cause__
    return place


def _is_own(path: str) -> bool:
    standard = path.startswith(STANDARD_LIBRARY) and "site-packages" not in path
    return not standard and not path.startswith((*LIBRARIES, "<"))


def _place_of(subject: Subject) -> str:
    """Returns `file:line` of the encoder's class, or of its cell's."""
    try:
        encoder: Encoder = subject.build()
        own = type(encoder.cell) if isinstance(encoder, Unrolled) else type(encoder)
        return f"{_short(str(inspect.getsourcefile(own)))}:{inspect.getsourcelines(own)[1]}, {own.__name__}"
    except Exception:  # it cannot be built, or has no file
        return subject.name


def _short(path: str) -> str:
    """Returns a path from the current folder, where it is below that."""
    file, here = Path(path).resolve(), Path.cwd()
    return str(file.relative_to(here)) if file.is_relative_to(here) else str(file)
