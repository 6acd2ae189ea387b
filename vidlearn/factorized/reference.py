"""3D convolutions taken apart: space, time, channels."""

from __future__ import annotations
