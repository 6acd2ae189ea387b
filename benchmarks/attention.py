"""What attention over a clip's positions costs: memory of the whole form and of the tiled one, and time against torch.

    PYTHONPATH=. python benchmarks/attention.py                       # up to 50,176 positions, 16 × 56 × 56
    PYTHONPATH=. python benchmarks/attention.py --picture memory.png

Memory is the largest that NumPy held during a call, inputs not counted (tracemalloc). Time is the best of some rounds
in which the candidates take turns: the NumPy reference tile by tile, torch's softmax of all weights, and torch's fused
attention, which `online_attention` is for torch tensors. Where the whole form would need more than it allows itself,
its own sentence is printed instead.
"""

from __future__ import annotations

import argparse
import time
import tracemalloc
from pathlib import Path

import numpy as np
import torch

from vidlearn import nonlocal_attention as na
from vidlearn.nonlocal_attention.checks import MOST_BYTES

FEATURES = 32
WHOLE, TILED = "all weights at once", "tile by tile (online softmax)"
FORMS = {WHOLE: na.attention.reference, TILED: na.online_attention.reference}


def inputs(positions: int) -> tuple[np.ndarray, ...]:
    """Queries, keys and values of one clip, in float32."""
    rng = np.random.default_rng(0)
    return tuple(rng.standard_normal((1, positions, FEATURES), np.float32) for _ in range(3))


def memory(positions: list[int]) -> dict[str, dict[int, float]]:
    """Bytes by number of positions for each form; a form that refuses says so and is left out from there."""
    measured: dict[str, dict[int, float]] = {name: {} for name in FORMS}
    for n in positions:
        given = inputs(n)
        for name, form in FORMS.items():
            tracemalloc.start()
            try:
                form(*given)
                measured[name][n] = float(tracemalloc.get_traced_memory()[1])
            except MemoryError as error:
                print(f"{n:,} positions, {name}: {error}")
            finally:
                tracemalloc.stop()
    return measured


def times(positions: int, rounds: int) -> dict[str, float]:
    """Best seconds of each candidate, whose answers are compared first."""
    given = inputs(positions)
    tensors = tuple(map(torch.from_numpy, given))

    def whole() -> torch.Tensor:
        q, k, v = tensors
        return torch.softmax(q @ k.transpose(1, 2) * FEATURES**-0.5, dim=-1) @ v

    candidates = {
        "torch, all weights": whole,
        "vidlearn reference, tile by tile": lambda: torch.from_numpy(na.online_attention.reference(*given)),
        "vidlearn on torch": lambda: na.online_attention(*tensors),
    }
    want = whole()
    for name, candidate in candidates.items():
        error = float((candidate() - want).abs().max() / want.abs().max())
        if error > 1e-4:
            raise SystemExit(f"{name} differs by {error:.1e}")
    best = dict.fromkeys(candidates, float("inf"))
    for _ in range(rounds):
        for name, candidate in candidates.items():
            start = time.perf_counter()
            candidate()
            best[name] = min(best[name], time.perf_counter() - start)
    return best


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--most", type=int, default=16 * 56 * 56, help="positions, at most")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--picture", type=Path, help="draw memory against positions here")
    args = parser.parse_args()
    sizes = [n for n in (784, 1568, 3136, 6272, 12544, 25088, 50176) if n <= args.most]
    measured = memory(sizes)
    print(f"\nMemory of one call in MB, float32, {FEATURES} features.\n")
    print(f"| positions | {WHOLE} | {TILED} |\n| ---: | ---: | ---: |")
    for n in sizes:
        print(
            f"| {n:,} | "
            + " | ".join(f"{by[n] / 1e6:,.0f}" if n in by else "refused" for by in measured.values())
            + " |"
        )
    torch.set_num_threads(2)
    print("\nTime in ms, two threads, and how many times faster than torch with all weights.\n")
    print("| positions | torch, all weights | reference, tile by tile | ratio | vidlearn on torch | ratio |")
    print("| ---: | ---: | ---: | ---: | ---: | ---: |")
    for n in [n for n in sizes if n <= 6272]:
        theirs, *ours = times(n, args.rounds).values()
        print(f"| {n:,} | {theirs * 1e3:.0f} | " + " | ".join(f"{t * 1e3:.0f} | {theirs / t:.2f}" for t in ours) + " |")
    if args.picture:
        from vidlearn.nonlocal_attention import plots

        plots.memory(measured, (MOST_BYTES / 4) ** 0.5).figure.savefig(args.picture, dpi=120)


if __name__ == "__main__":
    main()
