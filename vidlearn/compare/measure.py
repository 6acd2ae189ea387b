"""Clocks and ceilings: how long a call takes, and how fast this machine moves bytes and multiplies."""

from __future__ import annotations

import functools
import importlib
import os
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from vidlearn import arrays

__all__ = ["Machine", "busy", "seconds"]


def busy() -> str:
    """Say that more work than cores was here in the last minute, or return an empty string; times then mean little."""
    cores = os.cpu_count() or 1
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0  # Windows has none
    return (
        ""
        if load <= cores
        else f"the {cores} cores were overbooked in the last minute (load {load:.1f}): times may be too long"
    )


def seconds(
    call: Callable[[], Any], backend: str = "numpy", repeats: int = 5, budget: float = 2.0
) -> tuple[float, int]:
    """Return the median time of a call after one warm-up, and how many runs it is the median of.

    No further run starts once `budget` seconds are spent, so that a slow reference is timed once.
    """
    spent, times = 0.0, []
    for run in range(repeats + 1):
        arrays.synchronize(backend)
        start = time.perf_counter()
        call()
        arrays.synchronize(backend)
        took = time.perf_counter() - start
        spent += took
        if run or spent > budget:
            times.append(took)
        if spent > budget:
            break
    return statistics.median(times), len(times)


@dataclass(frozen=True)
class Machine:
    """What a device does at best, measured: bytes per second of a large copy, flops per second of multiply-adds."""

    backend: str
    device: str
    dtype: str
    bandwidth: float
    rate: float
    threads: int = 0

    def floor(self, flops: float, moved: float) -> float:
        """Return the time below which no implementation can come, in seconds."""
        return max(flops / self.rate, moved / self.bandwidth)

    def __str__(self) -> str:
        words = f", {self.threads} thread{'s' if self.threads > 1 else ''}" if self.threads else ""
        return (
            f"{self.backend} on {self.device}{words}: {self.bandwidth / 1e9:.3g} GB/s copied (read and written), "
            f"{self.rate / 1e9:.3g} Gflop/s in a {self.dtype} matrix product"
        )

    @staticmethod
    @functools.cache
    def measure(backend: str, device: str, dtype: str) -> Machine:
        """Time a copy that is larger than any cache, and a matrix product."""
        large = device == "cuda"
        n = 1 << (28 if large else 24)
        source = arrays.from_numpy(np.ones(n, np.float32), backend, device)
        target = arrays.from_numpy(np.zeros(n, np.float32), backend, device)

        def copy() -> None:
            target[...] = source

        bandwidth = 8 * n / seconds(copy, backend, 7)[0]
        side = 4096 if large else 768
        wide = "float32" if dtype in ("float16", "bfloat16") else dtype
        a = arrays.from_numpy(np.random.default_rng(0).normal(size=(side, side)), backend, device, wide)
        rate = 2 * side**3 / seconds(lambda: a @ a, backend, 7)[0]
        # NumPy has no say in how many threads its matrix product takes, and the rest of it takes one
        threads = importlib.import_module("torch").get_num_threads() if (backend, device) == ("torch", "cpu") else 0
        return Machine(backend, device, wide, bandwidth, rate, threads)
