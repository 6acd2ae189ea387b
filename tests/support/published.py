"""Other libraries' definitions of the same networks, as an oracle: with their own random weights, nothing is downloaded.

    python -m tests.support.published      # write the names and shapes of their weights to tests/data

They are no dependency of vidlearn. Where they are not installed, the names and shapes are still compared, and the
agreement of the answers is reported as not run.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

SHAPES = Path(__file__).parents[1] / "data" / "published_weights.json"

#: torchvision's own operators, which these models never call; without its compiled part they must exist by name
_OPERATORS = """
    nms qnms roi_align qroi_align _roi_align_backward ps_roi_align _ps_roi_align_backward roi_pool _roi_pool_backward
    ps_roi_pool _ps_roi_pool_backward deform_conv2d _deform_conv2d_backward
""".split()  # noqa: SIM905
_library: list[Any] = []  # torch forgets a library that nobody holds


def torchvision_models() -> ModuleType:
    """Return ``torchvision.models``, also where its compiled part does not fit this torch."""
    import torch

    folder = Path(importlib.util.find_spec("torchvision").origin).parent
    if not _library and "torchvision" not in sys.modules:
        try:
            for compiled in folder.glob("_C*.so"):
                torch.ops.load_library(compiled)
        except OSError:
            _library.append(torch.library.Library("torchvision", "DEF"))
            for name in _OPERATORS:
                _library[0].define(f"{name}(Tensor x) -> Tensor")
    return importlib.import_module("torchvision.models")


def missing(library: str) -> str:
    """Return why the library can't be asked, or nothing."""
    if importlib.util.find_spec(library) is None:
        how = "make published" if library == "pytorchvideo" else "pip install torchvision"
        return f"not run, because {library} is not installed: {how}"
    return ""


def published() -> dict[str, Any]:
    """Return a builder for each network that another library has too, by our name for it."""
    found: dict[str, Any] = {}
    if not missing("torchvision"):
        models = torchvision_models()
        for name in ("alexnet", "vgg16", "resnet18", "resnet34", "resnet50", "resnet101"):
            found[name] = getattr(models, name)
        for name in ("r3d_18", "mc3_18", "r2plus1d_18", "s3d"):
            found[name] = getattr(models.video, name)
    if not missing("torchvision") and not missing("pytorchvideo"):
        hub = importlib.import_module("pytorchvideo.models.hub")
        for name in ("c2d_r50", "i3d_r50", "slow_r50", "csn_r101", "slowfast_r50", "slowfast_r101", "slowfast_16x8_r101_50_50"):  # fmt: skip
            found[name] = getattr(hub, name)
    return found


def shapes() -> dict[str, dict[str, list[int]]]:
    """Return the kept names and shapes: network, weight, shape."""
    return json.loads(SHAPES.read_text())


def main() -> None:
    """Write the names and shapes of the published networks' weights."""
    import torch

    kept = shapes() if SHAPES.exists() else {}
    with torch.device("meta"):
        for name, build in published().items():
            state = build().state_dict()
            kept[name] = {n: list(t.shape) for n, t in state.items() if not n.endswith("num_batches_tracked")}
    SHAPES.parent.mkdir(exist_ok=True)
    lines = [f'"{name}": {json.dumps(weights, separators=(",", ":"))}' for name, weights in sorted(kept.items())]
    SHAPES.write_text("{\n" + ",\n".join(lines) + "\n}\n")
    print(f"{SHAPES.name}: {', '.join(sorted(kept))}")


if __name__ == "__main__":
    main()
