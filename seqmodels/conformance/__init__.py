"""The contract of `seqmodels.encoders.Encoder` as checks of anyone's encoder or cell, in plain torch.

`check_encoder` returns what is kept and what is broken; `promises` makes a test of each promise; on the command line it
is `seqmodels check`.
"""

from seqmodels.conformance.check import CHECKS, check_encoder, check_subject, promises
from seqmodels.conformance.promise import Promise, Result
from seqmodels.conformance.report import report_of, table
from seqmodels.conformance.subject import Subject, subject_of

__all__ = [
    "CHECKS",
    "Promise",
    "Result",
    "Subject",
    "check_encoder",
    "check_subject",
    "promises",
    "report_of",
    "subject_of",
    "table",
]
