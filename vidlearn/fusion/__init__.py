"""Where in a network time is merged: late, early, slowly; and what each output sees."""

from __future__ import annotations
