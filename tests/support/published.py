"""Other libraries' definitions of the same networks, as an oracle: with their own random weights, nothing is downloaded.

    python -m tests.support.published      # write the names and shapes of their weights, and some answers, to tests/data

They are no dependency of vidlearn. Where they are not installed, the names and shapes are still compared, and the
agreement of the answers is reported as not run.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest import mock

import numpy as np

SHAPES = Path(__file__).parents[1] / "data" / "published_weights.json"
ANSWERS = SHAPES.with_name("published_answers.json")

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
        how = "pip install torchvision" if library == "torchvision" else "make published"
        return f"not run, because {library} is not installed: {how}"
    return ""


def published() -> dict[str, Any]:
    """Return a builder for each network that another library has too, by our name for it."""
    found: dict[str, Any] = {}
    if not missing("torchvision"):
        models = torchvision_models()
        for name in ("alexnet", "vgg16", "resnet18", "resnet34", "resnet50", "resnet101"):
            found[name] = getattr(models, name)
        for name in ("r3d_18", "mc3_18", "r2plus1d_18", "s3d", "mvit_v1_b", "mvit_v2_s"):
            found[name] = getattr(models.video, name)
    if not missing("torchvision") and not missing("pytorchvideo"):
        hub = importlib.import_module("pytorchvideo.models.hub")
        for name in ("c2d_r50", "i3d_r50", "slow_r50", "csn_r101", "slowfast_r50", "slowfast_r101", "slowfast_16x8_r101_50_50"):  # fmt: skip
            found[name] = getattr(hub, name)
    if not missing("torchvision") and not missing("transformers"):
        found["timesformer"] = timesformer
    return found


def mvit(name: str, frames: int, size: int) -> Any:
    """Return torchvision's MViT for clips of another size, which its builders do not offer."""
    torchvision_models()
    module = importlib.import_module("torchvision.models.video.mvit")
    with mock.patch.object(module, "MViT", partial(_sized, module.MViT, frames, size)):
        return getattr(module, name)()


def _sized(build: Any, frames: int, size: int, **settings: Any) -> Any:
    return build(**{**settings, "spatial_size": (size, size), "temporal_size": frames})


#: our schemes by Hugging Face's names for them
SCHEMES = {"S": "space_only", "ST": "joint_space_time", "T+S": "divided_space_time"}
#: a small TimeSformer, whose answers are kept
TINY = {"frames": 2, "size": 8, "depth": 2, "width": 12, "heads": 2, "patch": 4}


def timesformer(
    classes: int = 400,
    frames: int = 8,
    size: int = 224,
    scheme: str = "T+S",
    depth: int = 12,
    width: int = 768,
    heads: int = 12,
    patch: int = 16,
) -> Any:
    """Return Hugging Face's TimeSformer; its weights' names are :func:`official`'s after translation."""
    import torch

    torchvision_models()  # which it imports, and which must then be importable
    library = importlib.import_module("transformers")
    config = library.TimesformerConfig(
        image_size=size, patch_size=patch, num_frames=frames, hidden_size=width, num_hidden_layers=depth,
        num_attention_heads=heads, intermediate_size=4 * width, attention_type=SCHEMES[scheme], num_labels=classes,
    )  # fmt: skip
    with torch.device("cpu"):  # it asks tensors for numbers while it is made, which have none elsewhere
        return library.TimesformerForVideoClassification(config)


_OFFICIAL = (
    ("timesformer.embeddings.", "model."), ("timesformer.encoder.layer.", "model.blocks."),
    ("timesformer.layernorm.", "model.norm."), ("classifier.", "model.head."),
    ("position_embeddings", "pos_embed"), ("time_embeddings", "time_embed"),
    ("patch_embeddings.projection", "patch_embed.proj"), ("temporal_dense", "temporal_fc"),
    ("temporal_layernorm", "temporal_norm1"), ("layernorm_before", "norm1"), ("layernorm_after", "norm2"),
    ("attention.attention.qkv", "attn.qkv"), ("attention.output.dense", "attn.proj"),
    ("intermediate.dense", "mlp.fc1"), ("output.dense", "mlp.fc2"),
)  # fmt: skip


def official(name: str) -> str:
    """Return the name that a weight has in the checkpoints of TimeSformer's authors, from Hugging Face's name."""
    for theirs, ours in _OFFICIAL:
        name = name.replace(theirs, ours)
    return name


def random_weights(wanted: Mapping[str, Sequence[int]], seed: int = 0) -> dict[str, np.ndarray]:
    """Return weights of which each does something, the same ones for the same names and shapes."""
    rng = np.random.default_rng(seed)
    found = {name: 0.3 * rng.standard_normal(tuple(wanted[name])) for name in sorted(wanted)}
    return {name: value + (value.ndim == 1 and name.endswith("weight")) for name, value in found.items()}


def clip(frames: int, size: int, seed: int = 1) -> np.ndarray:
    """Return two random clips (N, C, T, H, W)."""
    return np.random.default_rng(seed).random((2, 3, frames, size, size))


def timesformer_answers() -> dict[str, list[list[float]]]:
    """Return Hugging Face's answers to two clips, of a small TimeSformer with random weights, by scheme."""
    import torch

    answers = {}
    for scheme in SCHEMES:
        model = timesformer(3, **TINY, scheme=scheme).double().eval()
        state = model.state_dict()
        weights = random_weights({official(name): tuple(value.shape) for name, value in state.items()})
        model.load_state_dict({name: torch.from_numpy(weights[official(name)]) for name in state})
        x = torch.from_numpy(clip(TINY["frames"], TINY["size"]))
        with torch.no_grad():
            answers[scheme] = model(x.transpose(1, 2)).logits.tolist()
    return answers


def kept_answers() -> dict[str, list[list[float]]]:
    """Return what :func:`timesformer_answers` was when it was written."""
    return json.loads(ANSWERS.read_text())


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
            kept[name] = {
                official(n) if name == "timesformer" else n: list(t.shape)
                for n, t in state.items()
                if not n.endswith("num_batches_tracked")
            }
    SHAPES.parent.mkdir(exist_ok=True)
    lines = [f'"{name}": {json.dumps(weights, separators=(",", ":"))}' for name, weights in sorted(kept.items())]
    SHAPES.write_text("{\n" + ",\n".join(lines) + "\n}\n")
    print(f"{SHAPES.name}: {', '.join(sorted(kept))}")
    if not missing("transformers"):
        ANSWERS.write_text(json.dumps(timesformer_answers()) + "\n")


if __name__ == "__main__":
    main()
