"""What makes an implementation right."""

from __future__ import annotations
