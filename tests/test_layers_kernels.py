"""The CUDA kernel of `layers`, without a GPU: right (run on the CPU), in bounds, free of races, and compilable."""

from __future__ import annotations

import importlib

import numpy as np
import pytest

from tests.support import nvrtc
from tests.support.fake_cupy import installed
from vidlearn.layers.reference import convolving

#: shapes of x and w, and the rest: around the edges of the kernel's tiles of 16 or 64 outputs, 64 places and 16 rows
LAYERS = {
    "one value": ((1, 1, 1, 1, 1), (1, 1, 1, 1, 1), {}),
    "a tile and one more": ((2, 1, 5, 13, 1), (17, 1, 1, 1, 1), {}),
    "outputs beyond a tile": ((1, 2, 2, 5, 7), (65, 2, 2, 3, 3), {"padding": 1}),
    "everything at once": (
        (2, 4, 5, 6, 7),
        (6, 2, 2, 1, 3),
        {"stride": (1, 2, 3), "padding": (0, 1, 2), "dilation": (2, 1, 2), "groups": 2},
    ),
    "depthwise": ((1, 3, 4, 4, 5), (3, 1, 3, 3, 3), {"padding": 1, "groups": 3}),
}
layers = pytest.mark.parametrize("layer", LAYERS.values(), ids=LAYERS)


def on_fake(x, w, b, sanitize=False, **geometry):
    with installed(sanitize) as cp:
        conv3d = importlib.import_module("vidlearn.layers.fast_cupy").conv3d
        return conv3d(*(None if a is None else cp.asarray(a) for a in (x, w, b)), **geometry).get()


def assert_right(layer, dtype, sanitize=False, bias=True):
    rng = np.random.default_rng(0)
    x_shape, w_shape, geometry = layer
    x, w, b = (rng.normal(size=s).astype(dtype) for s in (x_shape, w_shape, w_shape[:1]))
    got = on_fake(x, w, b if bias else None, sanitize, **geometry)
    want = convolving.conv3d(*(a.astype(float) for a in (x, w, b if bias else 0 * b)), **geometry)
    assert got.dtype == dtype
    tolerance = 200 * np.finfo(dtype).eps  # sums of at most a few hundred products of about 1
    np.testing.assert_allclose(got, want, rtol=tolerance, atol=tolerance)


@layers
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_kernel_agrees_with_the_reference(layer, dtype):
    assert_right(layer, dtype)


def test_kernel_needs_no_bias():
    assert_right(LAYERS["everything at once"], "float64", bias=False)


@layers
@pytest.mark.parametrize("sanitize", ["memory", "races"])
def test_kernel_stays_in_bounds_and_has_no_race(layer, sanitize):
    assert_right(layer, "float32", sanitize)


def test_views_are_laid_out_for_the_kernel():
    x = np.random.default_rng(0).normal(size=(2, 5, 4, 6, 3))
    w = np.random.default_rng(1).normal(size=(2, 3, 2, 2, 2))
    with installed() as cp:
        conv3d = importlib.import_module("vidlearn.layers.fast_cupy").conv3d
        got = conv3d(cp.moveaxis(cp.asarray(x), -1, 1), cp.asarray(w)).get()
    np.testing.assert_allclose(got, convolving.conv3d(np.moveaxis(x, -1, 1), w), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("outputs", [16, 64])
@pytest.mark.parametrize("real", ["float", "double"])
def test_kernel_compiles_for_the_gpu(real, outputs):
    if nvrtc.why_not():
        pytest.skip(nvrtc.why_not())
    with installed():
        kernel = importlib.import_module("vidlearn.layers.fast_cupy")._compiled(real, outputs)
    assert b"conv3d_tiled" in nvrtc.compile_cuda(kernel.code, kernel.options)
