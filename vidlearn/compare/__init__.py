"""Compare implementations with the reference: are they right, to what error, how fast, how far from the machine's limit.

Whether one is right is the judge's word alone; here it is timed, and its error is measured on an input of a real size.
"""

from __future__ import annotations

from vidlearn.compare.comparison import Comparison, Line
from vidlearn.compare.measure import Machine
from vidlearn.compare.running import compare

__all__ = ["Comparison", "Line", "Machine", "compare"]
