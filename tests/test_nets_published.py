"""Published weights load: names and shapes are the other library's, and so are the answers."""

from __future__ import annotations

import numpy as np
import pytest

from tests.support.published import missing, published, shapes
from vidlearn import nets, slowfast

torch = pytest.importorskip("torch", reason="not run, because torch is not installed: pip install 'vidlearn[torch]'")

KEPT = shapes()
TORCHVISION = (
    "alexnet",
    "vgg16",
    "resnet18",
    "resnet34",
    "resnet50",
    "resnet101",
    "r3d_18",
    "mc3_18",
    "r2plus1d_18",
    "s3d",
)
#: test_nets_transformers asks them on clips that their builders make them for
TRANSFORMERS = ("mvit_v1_b", "mvit_v2_s", "timesformer")
LIBRARY = {name: "torchvision" if name in TORCHVISION else "pytorchvideo" for name in KEPT}
#: inputs on which every layer still has a place; the two with linear layers over all positions take one size only
INPUT = {"alexnet": (3, 224, 224), "vgg16": (3, 224, 224), "s3d": (3, 14, 224, 224)}
#: frames, and how many of them are left for the last average, of the networks whose head has a window
WINDOW = {"c2d_r50": (2, 1), "i3d_r50": (4, 2), "slow_r50": (2, 2), "csn_r101": (8, 1)}


@pytest.mark.parametrize("name", KEPT)
def test_the_weights_have_the_published_names_and_shapes(name):
    ours = nets.zoo()[name]().shapes()
    assert {n: tuple(s) for n, s in KEPT[name].items()} == ours


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in KEPT if name not in TRANSFORMERS])
def test_the_published_weights_load_unchanged_and_give_the_same_answer(name):
    reason = missing(LIBRARY[name])
    if reason:
        pytest.skip(reason)
    frames, left = WINDOW.get(name, (0, 0))
    theirs = published()[name]().double().eval()
    if frames:
        theirs.blocks[-1].pool.kernel_size = (left, 7, 7)
    two = name.startswith("slowfast")
    if two:  # on frames of 32 pixels one place is left, and 2 and 8 frames
        for pool, length in zip(theirs.blocks[5].pool, (2, 8), strict=True):
            pool.kernel_size = (length, 1, 1)
    state = theirs.state_dict()
    generator = torch.Generator().manual_seed(0)
    for key, value in state.items():  # as after training: every statistic, scale and offset does something
        if key.endswith("running_var") or (value.ndim == 1 and key.endswith("weight")):
            value.uniform_(0.5, 1.5, generator=generator)
        elif value.ndim == 1 and value.dtype == torch.float64:
            value.normal_(0, 0.1, generator=generator)
    theirs.load_state_dict(state)
    net = nets.zoo()[name](**({"frames": frames} if frames else {}))
    ours = net.to_torch().double().eval()
    ours.load_state_dict(state)  # strict: no name is missing, none is left over
    shape = net.input if frames else INPUT.get(name, (3, 32, 32) if len(net.input) == 3 else (3, 8, 32, 32))
    x = torch.rand(1, *shape, dtype=torch.float64, generator=generator)
    with torch.no_grad():
        want = theirs(list(slowfast.sample_pathways(x, 4, "spread")) if two else x).numpy()
        close = {"rtol": 1e-9, "atol": 1e-9 * float(np.abs(want).max())}
        np.testing.assert_allclose(ours(x).numpy(), want, **close)
    weights = {n: w.numpy() for n, w in state.items() if not n.endswith("num_batches_tracked")}
    np.testing.assert_allclose(net.forward(x.numpy(), weights), want, **close)
    folded, merged = net.folded(weights)
    np.testing.assert_allclose(folded.forward(x.numpy(), merged), want, **close)
