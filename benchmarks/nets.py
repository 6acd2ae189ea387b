"""Networks for clips against other libraries' definitions of the same networks: forward on a CPU, as ratios in one run.

    PYTHONPATH=. python benchmarks/nets.py                  # torchvision's networks, one thread, then two
    PYTHONPATH=.:.peers python benchmarks/nets.py slowfast_r50 --clip 3 32 224 224     # PyTorchVideo's, see make published
    PYTHONPATH=. python benchmarks/nets.py --json nets.json

All have the same weights, and their answers are compared before any clock is read. The candidates take turns and each
keeps its best time, so that a busy machine harms all alike. *Folded* has every batch norm merged into its convolution;
*frozen* is the same module through ``torch.jit.optimize_for_inference``, which can fuse what folding left side by side.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from tests.support.published import missing, published
from vidlearn import nets, slowfast

NETS = ("r3d_18", "mc3_18", "r2plus1d_18")
Run = Callable[[torch.Tensor], torch.Tensor]


def candidates(name: str, clip: torch.Tensor) -> dict[str, Run]:
    """Return the same network four times: the other library's, ours, ours with batch norm folded away, and that frozen."""
    theirs = published()[name]().eval()
    state = {n: w for n, w in theirs.state_dict().items()}
    for n, w in state.items():  # statistics as after training, so that folding has something to do
        if n.endswith("running_var"):
            w.uniform_(0.5, 1.5)
        elif n.endswith("running_mean"):
            w.normal_(0, 0.1)
    theirs.load_state_dict(state)
    net = nets.zoo()[name]()
    ours = net.to_torch().eval()
    ours.load_state_dict(state)
    folded, weights = net.folded({n: w for n, w in state.items() if not n.endswith("num_batches_tracked")})
    small = folded.to_torch(weights).eval()
    with torch.no_grad():
        frozen = torch.jit.optimize_for_inference(torch.jit.freeze(torch.jit.trace(small, clip)))
    peer: Any = theirs
    if name.startswith("slowfast"):  # PyTorchVideo's takes its two views of the clip ready-made
        views = list(slowfast.sample_pathways(clip, 4, "spread"))

        def peer(_: torch.Tensor) -> torch.Tensor:
            return theirs(list(views))

    return {"peer": peer, "vidlearn": ours, "folded": small, "frozen": frozen}


def measure(name: str, clip: torch.Tensor, rounds: int) -> dict[str, float]:
    """Return the best time of each candidate in seconds."""
    modules = candidates(name, clip)
    best = dict.fromkeys(modules, float("inf"))
    with torch.no_grad():
        want = modules["peer"](clip)
        for label, module in modules.items():
            error = float((module(clip) - want).abs().max() / want.abs().max())
            if error > 1e-4:
                raise SystemExit(f"{name}: {label} differs from the peer's answer by {error:.1e}")
        for _ in range(rounds):
            for label, module in modules.items():
                start = time.perf_counter()
                module(clip)
                best[label] = min(best[label], time.perf_counter() - start)
    return best


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("nets", nargs="*", default=NETS, metavar="NET", help=f"{', '.join(NETS)} unless named")
    parser.add_argument("--json", type=Path, help="write the figures here too")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--clip", type=int, nargs=4, default=(3, 16, 112, 112), metavar=("C", "T", "H", "W"))
    args = parser.parse_args()
    for library in ("torchvision", *(["pytorchvideo"] if any(n.startswith("slow") for n in args.nets) else [])):
        if missing(library):
            raise SystemExit(missing(library))
    unknown = [n for n in args.nets if n not in published()]
    if unknown:
        raise SystemExit(f"net: no other library here has {', '.join(unknown)}; there are {', '.join(published())}")
    torch.manual_seed(0)
    clip = torch.rand(1, *args.clip)
    results = {}
    for threads in (1, 2):
        torch.set_num_threads(threads)
        results[threads] = {name: measure(name, clip, args.rounds) for name in args.nets}
    size = "×".join(map(str, args.clip))
    print(
        f"One clip {size}, float32, torch {torch.__version__}, {platform.machine()}, best of {args.rounds} interleaved runs.\n"
    )
    print("| net | threads | peer (ms) | vidlearn (ms) | ratio | folded (ms) | ratio | frozen (ms) | ratio |")
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
    for threads, by_net in results.items():
        for name, best in by_net.items():
            theirs, *ours = best.values()
            cells = " | ".join(f"{t * 1e3:.0f} | {theirs / t:.2f}" for t in ours)
            print(f"| {name} | {threads} | {theirs * 1e3:.0f} | {cells} |")
    print("\npeer: the other library's definition; ratio: its time over ours; above 1 is faster.")
    if args.json:
        args.json.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
