"""The judge: the only place that decides whether an implementation is right.

Tests, ``compare``, ``check`` and ``grade`` all sit in front of it. It knows no concept and imports no heavy library
until something is judged.
"""

from __future__ import annotations

from vidlearn.judge.bank import BANKS, Bank
from vidlearn.judge.judging import Stopped, judge
from vidlearn.judge.verdict import Counterexample, Named, Row, Verdict

__all__ = ["BANKS", "Bank", "Counterexample", "Named", "Row", "Stopped", "Verdict", "judge"]
