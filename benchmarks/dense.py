"""Dense flow against its peers: time in one run, as ratios, and error on scenes whose true flow is known.

    python benchmarks/dense.py                     # one thread, then two
    python benchmarks/dense.py --json dense.json

The methods take turns and each keeps its best time, so that a busy machine harms all alike. Accuracy needs a folder
with ``flow/<scene>/frame10.png, frame11.png, flow10.flo``, named by the environment variable VIDLEARN_REAL_DATA;
without it the times are taken on a synthetic texture and no errors are shown.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import torch
from skimage.registration import optical_flow_ilk, optical_flow_tvl1
from threadpoolctl import threadpool_limits

from vidlearn import flow
from vidlearn.video import read_flo

Method = Callable[[np.ndarray, np.ndarray], np.ndarray]
SLOW = {"scikit-image ILK", "scikit-image TV-L1", "high, NumPy", "high, torch"}


def in_bytes(I: np.ndarray) -> np.ndarray:
    return (I * 255).round().astype(np.uint8)


def of_skimage(function: Callable) -> Method:
    return lambda I0, I1: np.stack(function(I0, I1)[::-1], axis=-1)  # (row, column) to (u, v)


def of_dis(preset: int) -> Method:
    method = cv2.DISOpticalFlow_create(preset)
    return lambda I0, I1: method.calc(in_bytes(I0), in_bytes(I1), None)


def of_torch(quality: str) -> Method:
    dense = flow.dense.on("torch")
    return lambda I0, I1: dense(torch.from_numpy(I0), torch.from_numpy(I1), quality=quality).numpy()


def farneback(I0: np.ndarray, I1: np.ndarray) -> np.ndarray:
    return cv2.calcOpticalFlowFarneback(in_bytes(I0), in_bytes(I1), None, 0.5, 3, 15, 3, 5, 1.2, 0)


METHODS: dict[str, Method] = {
    "fast, NumPy": lambda I0, I1: flow.dense.on("numpy")(I0, I1, quality="fast"),
    "fast, torch": of_torch("fast"),
    "high, NumPy": lambda I0, I1: flow.dense.on("numpy")(I0, I1, quality="high"),
    "high, torch": of_torch("high"),
    "scikit-image ILK": of_skimage(optical_flow_ilk),
    "scikit-image TV-L1": of_skimage(optical_flow_tvl1),
    "OpenCV DIS medium": of_dis(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM),
    "OpenCV DIS fast": of_dis(cv2.DISOPTICAL_FLOW_PRESET_FAST),
    "OpenCV Farnebäck": farneback,
}


def load_scenes() -> dict[str, tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Read every scene with a true flow: gray float32 frames in [0, 1], truth with NaN where unknown."""
    scenes = {}
    for truth in sorted(Path(os.environ.get("VIDLEARN_REAL_DATA") or "nowhere").glob("flow/*/flow10.flo")):
        frames = [cv2.imread(str(truth.parent / f), cv2.IMREAD_GRAYSCALE) for f in ("frame10.png", "frame11.png")]
        scenes[truth.parent.name] = (*(I.astype(np.float32) / 255 for I in frames), read_flo(truth))
    return scenes


def synthetic_pair(height: int = 480, width: int = 640) -> tuple[np.ndarray, np.ndarray]:
    """Make smoothed noise that moves 3 px right and 2 px down."""
    world = cv2.GaussianBlur(np.random.default_rng(0).random((height + 8, width + 8), np.float32), (0, 0), 1.5)
    world = (world - world.min()) / (world.max() - world.min())
    return np.ascontiguousarray(world[4:-4, 4:-4]), np.ascontiguousarray(world[2:-6, 1:-7])


def errors(scenes: dict) -> dict[str, dict[str, float]]:
    """Mean endpoint error in px, by method and scene."""
    return {
        method: {
            name: float(np.nanmean(np.linalg.norm(run(I0, I1) - truth, axis=-1)))
            for name, (I0, I1, truth) in scenes.items()
        }
        for method, run in METHODS.items()
    }


def milliseconds(I0: np.ndarray, I1: np.ndarray, threads: int, rounds: int) -> dict[str, float]:
    """Best time of each method; the methods take turns, the slow ones fewer."""
    torch.set_num_threads(threads)
    cv2.setNumThreads(threads)
    best = dict.fromkeys(METHODS, float("inf"))
    with threadpool_limits(threads):
        for turn in range(rounds):
            for name, run in METHODS.items():
                for _ in range(1 if name in SLOW else 4):
                    if name in SLOW and turn >= 3:
                        continue
                    start = time.perf_counter()
                    run(I0, I1)
                    best[name] = min(best[name], 1e3 * (time.perf_counter() - start))
    return best


def table(header: list[str], rows: list[list[str]]) -> str:
    lines = [header, ["---"] + ["---:"] * (len(header) - 1), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", metavar="FILE", help="write the numbers there too")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2], help="thread counts to time (default: 1 2)")
    parser.add_argument("--rounds", type=int, default=6, help="how often the methods take turns (default: 6)")
    options = parser.parse_args()
    scenes = load_scenes()
    if scenes:
        name = max(scenes, key=lambda n: scenes[n][0].size)
        I0, I1 = scenes[name][:2]
    else:
        name, (I0, I1) = "smoothed noise", synthetic_pair()
    times = {n: milliseconds(I0, I1, n, options.rounds) for n in options.threads}
    found = errors(scenes)
    header = ["method"] + [f"EPE {s} (px)" for s in scenes] + (["EPE mean"] if scenes else [])
    for n in times:
        header += [f"ms, {n} thread{'s' * (n > 1)}", "× faster than ILK", "× faster than DIS medium"]
    rows = []
    for method in METHODS:
        row = [method] + [f"{found[method][s]:.3f}" for s in scenes]
        row += [f"{np.mean(list(found[method].values())):.3f}"] if scenes else []
        for best in times.values():
            row += [f"{best[method]:.1f}"]
            row += [f"{best[peer] / best[method]:.2f}" for peer in ("scikit-image ILK", "OpenCV DIS medium")]
        rows.append(row)
    size = f"{I0.shape[1]}×{I0.shape[0]}"
    print(
        f"Times on {name}, {size}, float32, {platform.processor() or platform.machine()}, best of interleaved runs.\n"
    )
    print(table(header, rows))
    if not scenes:
        print("\nNo errors: VIDLEARN_REAL_DATA names no folder with flow/<scene>/frame10.png, frame11.png, flow10.flo")
    if options.json:
        result = {"scene": name, "size": size, "milliseconds": times, "endpoint_error": found}
        Path(options.json).write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
