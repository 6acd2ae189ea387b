"""What every test shares: GPU tests say why they did not run."""

from __future__ import annotations

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """GPU tests are reported as not run where there is no GPU, never silently absent."""
    marked = [item for item in items if item.get_closest_marker("gpu")]
    if not marked:
        return
    from vidlearn.arrays import available, devices

    for item in marked:
        backend = item.get_closest_marker("gpu").args[0]
        reason = available()[backend] or (None if "cuda" in devices(backend) else "there is no usable NVIDIA GPU")
        if reason:
            item.add_marker(pytest.mark.skip(reason=f"not run, because {reason}"))
