"""The layers that every network of the course is built of, forward and backward."""

from __future__ import annotations
