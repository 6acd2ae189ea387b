"""The CUDA kernels of `flow`, without a GPU: right (run on the CPU), in bounds, free of races, and compilable."""

from __future__ import annotations

import ast
import dataclasses
import importlib
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

import vidlearn as vl
from tests.support import nvrtc
from tests.support.fake_cupy import ABSENT, installed
from vidlearn.flow import dense_reference, reference

SIZES = [(1, 1), (1, 7), (9, 1), (5, 3), (8, 60), (9, 61), (17, 65), (13, 130)]  # around the tiles' edges, too
KERNELS = Path(vl.__file__).parent / "flow" / "kernels"


def fields(count, height, width, dtype, color=False, seed=0):
    shape = (height, width, 3) if color else (height, width)
    return [np.random.default_rng(seed + i).normal(size=shape).astype(dtype) for i in range(count)]


def flow_field(height, width, dtype, size=3.0):
    return (size * np.random.default_rng(9).normal(size=(height, width, 2))).astype(dtype)


#: for each operation, arguments from (height, width, dtype, color)
ARGUMENTS = {
    "normal_flow": lambda h, w, t, color: fields(3, h, w, t),
    "structure_tensor": lambda h, w, t, color: [*fields(2, h, w, t, color), 5],
    "lucas_kanade": lambda h, w, t, color: [*fields(3, h, w, t, color), 5],
    "iterative_lucas_kanade": lambda h, w, t, color: [*fields(2, h, w, t, color), 7, 1],
    "warp": lambda h, w, t, color: [*fields(1, h, w, t, color), flow_field(h, w, t)],
    "median_filter_flow": lambda h, w, t, color: [flow_field(h, w, t)],
    "correlation_volume": lambda h, w, t, color: [
        *np.random.default_rng(3).normal(size=(2, 5, h, w)).astype(t),
        3 if color else 1,
    ],
}


def on_fake(name, arguments, sanitize=False):
    """Run the CuPy implementation on the stand-in for CuPy; the answer comes back as NumPy."""
    with installed(sanitize) as cp:
        function = importlib.import_module("vidlearn.flow.fast_cupy").__dict__[name]
        return function(*(cp.asarray(a) if isinstance(a, np.ndarray) else a for a in arguments)).get()


def assert_close(name, got, arguments, scale=1.0):
    expected = getattr(reference, name)(*(a.astype(float) if isinstance(a, np.ndarray) else a for a in arguments))
    assert got.shape == expected.shape and got.dtype == arguments[0].dtype
    tolerance = 400 * np.finfo(got.dtype).eps  # windows of 25 to 75 terms, then a division
    size = np.nanmax(np.abs(expected), initial=1.0)
    np.testing.assert_allclose(got, expected, rtol=tolerance * scale, atol=tolerance * size * scale)


@pytest.mark.parametrize("name", ARGUMENTS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_kernel_agrees_with_the_reference(name, dtype):
    for i, (height, width) in enumerate(SIZES):
        arguments = ARGUMENTS[name](height, width, dtype, bool(i % 2))
        # random gradients in one line or one pixel leave ill-conditioned windows
        assert_close(name, on_fake(name, arguments), arguments, scale=20 if "lucas_kanade" in name else 1)


@pytest.mark.parametrize("name", ["structure_tensor", "lucas_kanade", "iterative_lucas_kanade"])
@pytest.mark.parametrize("window", [1, 3, 15, 41])
def test_any_window_works_also_one_larger_than_the_image(name, window):
    height, width = 11, 70
    *images, _ = ARGUMENTS["lucas_kanade"](height, width, "float64", True)
    images = images[: 3 if name == "lucas_kanade" else 2]
    assert_close(name, on_fake(name, [*images, window]), [*images, window], scale=1000)


@pytest.mark.parametrize("magnitude", [1e-12, 1.0, 1e12])
@pytest.mark.parametrize("angle", [0.0, 0.3, 1.2])
def test_edges_and_flat_patches_give_the_shortest_solution(magnitude, angle):
    along = np.random.default_rng(0).normal(size=(9, 12)).astype("float32") * np.float32(magnitude)
    along[:, 8:] = 0
    Ix, Iy = (along * np.float32(f(angle)) for f in (np.cos, np.sin))
    arguments = [Ix, Iy, Ix * np.float32(0.5), 3]
    assert_close("lucas_kanade", on_fake("lucas_kanade", arguments), arguments)


@pytest.mark.parametrize("name", ["warp", "median_filter_flow"])
def test_unknown_and_infinite_flow_is_treated_as_in_the_reference(name):
    flow = flow_field(6, 9, "float64")
    flow[2, 3, 0], flow[4, 4, 1], flow[0, 0], flow[5, 8] = np.nan, np.nan, np.inf, -np.inf
    arguments = [*fields(1, 6, 9, "float64"), flow] if name == "warp" else [flow]
    assert np.array_equal(np.isnan(on_fake(name, arguments)), np.isnan(getattr(reference, name)(*arguments)))
    finite = np.isfinite(getattr(reference, name)(*arguments))
    np.testing.assert_allclose(
        on_fake(name, arguments)[finite], getattr(reference, name)(*arguments)[finite], rtol=1e-12
    )


def test_strided_and_misaligned_views_are_laid_out_for_the_kernel():
    buffer = np.random.default_rng(0).normal(size=1 + 6 * 7 * 2)
    with installed() as cp:
        fast_cupy = importlib.import_module("vidlearn.flow.fast_cupy")
        shifted = cp.asarray(buffer)[1:].reshape(6, 7, 2)
        turned = cp.asarray(buffer)[:-1].reshape(7, 6, 2).transpose(1, 0, 2)
        for view in (shifted, turned):
            np.testing.assert_array_equal(
                fast_cupy.median_filter_flow(view).get(), reference.median_filter_flow(view.get())
            )


def scene(height, width, dtype):
    y, x = np.mgrid[:height, :width]

    def texture(x, y):
        return 0.5 + 0.2 * np.sin(0.5 * x + 0.2 * y) + 0.2 * np.cos(0.3 * x - 0.4 * y)

    return [texture(x, y).astype(dtype), texture(x - 1.5, y + 0.5).astype(dtype)]


@pytest.mark.parametrize("quality", ["fast", "high"])
@pytest.mark.parametrize("size", [(1, 1), (1, 9), (20, 33), (41, 50)])
def test_dense_agrees_with_the_reference(size, quality):
    I0, I1 = scene(*size, "float64")
    with installed() as cp:
        flow = importlib.import_module("vidlearn.flow.fast_cupy").dense(cp.asarray(I0), cp.asarray(I1), quality=quality)
        # conjugate gradients amplify rounding; a tenth of a millionth of a pixel is far below what they solve to
        np.testing.assert_allclose(flow.get(), dense_reference.dense(I0, I1, quality=quality), atol=1e-7)


def test_dense_in_single_precision_is_right_to_a_hundredth_of_a_pixel():
    I0, I1 = scene(32, 40, "float32")
    with installed() as cp:
        flow = importlib.import_module("vidlearn.flow.fast_cupy").dense(cp.asarray(I0), cp.asarray(I1)).get()
    assert flow.dtype == np.float32
    expected = dense_reference.dense(I0.astype(float), I1.astype(float))
    np.testing.assert_allclose(flow, expected, atol=1e-2)


@pytest.mark.parametrize("sanitize", ["memory", "races"])
def test_the_kernels_of_dense_stay_in_bounds_and_have_no_race(sanitize):
    I0, I1 = scene(17, 19, "float32")
    with installed(sanitize) as cp:
        fast_cupy = importlib.import_module("vidlearn.flow.fast_cupy")
        few = dataclasses.replace(dense_reference.BUDGETS["fast"], iterations=2)
        flow = cp.zeros((2, 17, 19), "float32")
        fast_cupy._minimize(None, cp.asarray(np.stack([I0, I1])), flow, few)
        fast_cupy._median(None, flow)
        assert np.isfinite(flow.get()).all() and np.ptp(flow.get()) > 0


@pytest.mark.parametrize("sanitize", ["memory", "races"])
@pytest.mark.parametrize("name", ARGUMENTS)
def test_kernel_stays_in_bounds_and_has_no_race(name, sanitize):
    arguments = ARGUMENTS[name](11, 63, "float32", True)
    assert_close(name, on_fake(name, arguments, sanitize), arguments, scale=20)


# ---- the GPU's own compiler --------------------


def launches():
    """Every (kernel, source, options) that the CuPy functions launch, in both types; and with larger windows."""
    seen = {}
    with installed() as cp:
        fast_cupy = importlib.import_module("vidlearn.flow.fast_cupy")

        class Recorder:
            def __init__(self, code, name, options):
                seen[name, options] = code

            def __call__(self, *_):
                pass

        cp.RawKernel = Recorder
        for dtype in ("float32", "float64"):
            for name, arguments in ARGUMENTS.items():
                values = [cp.asarray(a) if isinstance(a, np.ndarray) else a for a in arguments(8, 60, dtype, True)]
                getattr(fast_cupy, name)(*values)
            Ix, Iy, It = map(cp.asarray, fields(3, 60, 60, dtype))
            fast_cupy.lucas_kanade(Ix, Iy, It, 21)
            fast_cupy.correlation_volume(*cp.asarray(np.ones((2, 8, 9, 9), dtype)), 4)
            fast_cupy.dense(*map(cp.asarray, scene(16, 16, dtype)))
            fast_cupy.iterative_lucas_kanade(Ix, Iy, 41)
    return [(name, options, code) for (name, options), code in seen.items()]


LAUNCHES = launches()
label = [f"{name}-{re.search('real=(.*)', options[0])[1]}-{i}" for i, (name, options, _) in enumerate(LAUNCHES)]


def test_every_kernel_is_launched():
    written = {
        name
        for f in KERNELS.glob("*.cu")
        for name in re.findall(r"__global__[^(;]*?(?:\([^)]*\)\s*)?(\w+)\(const", f.read_text())
    }
    assert written == {name for name, *_ in LAUNCHES}


@pytest.mark.parametrize(("name", "options", "code"), LAUNCHES, ids=label)
def test_kernel_compiles_for_the_gpu(name, options, code):
    if nvrtc.why_not():
        pytest.skip(nvrtc.why_not())
    assert name.encode() in nvrtc.compile_cuda(code, options)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "options", "code"), LAUNCHES, ids=label)
def test_kernel_keeps_its_numbers_in_registers(name, options, code, tmp_path):
    if not shutil.which("nvcc"):
        pytest.skip("not run, because nvcc (the CUDA toolkit) is not on the PATH")
    (tmp_path / "kernel.cu").write_text(code)
    command = ["nvcc", "-cubin", "-arch=sm_90", "-Xptxas", "-v", *options, "kernel.cu", "-o", "kernel.cubin"]
    log = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True).stderr
    assert "registers" in log
    assert not re.findall(r"[1-9]\d* bytes (?:stack frame|spill \w+)", log), log


def test_every_cupy_name_that_is_used_exists():
    cupy = pytest.importorskip("cupy", reason="not run, because cupy is not installed: pip install 'vidlearn[cuda]'")
    for file in {KERNELS.parent / name for name in ("fast_cupy.py", "fast.py")} & {*KERNELS.parent.iterdir()}:
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in ("cp", "xp"):
                assert hasattr(cupy, node.attr), f"{file.name}, line {node.lineno}: cupy has no {node.attr}"
    assert not {name for name in ABSENT if hasattr(cupy, name)}, "the stand-in refuses names that CuPy has"
