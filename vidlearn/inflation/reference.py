"""From a 2D network to a 3D one that starts out as good."""

from __future__ import annotations
