"""cuda_on_cpu: kernels compute what they would on a GPU, and mistakes are named at their line."""

from __future__ import annotations

import importlib
import os
import shutil
import stat
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from vidlearn import cuda_on_cpu
from vidlearn.cuda_on_cpu import CompileError, Kernel, KernelError

if not any(map(shutil.which, ("g++", "clang++"))):
    pytest.skip("not run, because there is no C++ compiler (sudo apt install g++)", allow_module_level=True)

SAXPY = """
extern "C" __global__ void saxpy(float a, const float* x, float* y, int n)  // one thread, one element
{
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) y[i] += a * x[i];
}
"""
REVERSE = """
template <class T, int N> __global__ void reverse(T* x) {  /* a block of N turns its piece around */
    __shared__ T tile[N];
    tile[threadIdx.x] = x[blockIdx.x * N + threadIdx.x];
    __syncthreads();
    x[blockIdx.x * N + threadIdx.x] = tile[N - 1 - threadIdx.x];
}
"""
ONE, X, Y = np.float32(1), np.arange(5, dtype=np.float32), np.zeros(5, np.float32)


def run(code, *args, name="f", threads=4, blocks=1, sanitize=False, shared_mem=0, options=()):
    body = f'extern "C" __global__ void {name}({code}' if not code.lstrip().startswith(("extern", "template")) else code
    Kernel(body, name, options, sanitize=sanitize)((blocks,), (threads,), args, shared_mem=shared_mem)
    return args[0]


# ---- it computes --------------------


@pytest.mark.parametrize("sanitize", [False, "memory", "races"])
def test_a_kernel_computes_the_same_in_every_mode(sanitize):
    y = np.ones(5, np.float32)
    Kernel(SAXPY, "saxpy", sanitize=sanitize)((2,), (4,), (np.float32(2), X, y, 5))
    np.testing.assert_array_equal(y, 2 * X + 1)


@pytest.mark.parametrize("dtype", ["int", "float", "double"])
@pytest.mark.parametrize("sanitize", [False, "memory", "races"])
def test_templates_and_shared_memory_with_a_barrier(dtype, sanitize):
    x = np.arange(32).astype({"int": "int32", "float": "float32", "double": "float64"}[dtype])
    run(REVERSE, x, name=f"reverse<{dtype}, 8>", threads=8, blocks=4, sanitize=sanitize)
    np.testing.assert_array_equal(x, np.arange(32).reshape(4, 8)[:, ::-1].ravel())


@pytest.mark.parametrize("sanitize", [False, "memory", "races"])
def test_a_tree_reduction_in_dynamic_shared_memory_and_an_atomic(sanitize):
    code = """float* out, const float* x, int n) {
        extern __shared__ float sums[];
        int t = threadIdx.x, i = blockIdx.x * blockDim.x + t;
        sums[t] = i < n ? x[i] : 0;
        __syncthreads();
        for (int k = blockDim.x / 2; k > 0; k /= 2) {
            if (t < k) sums[t] += sums[t + k];
            __syncthreads();
        }
        if (t == 0) atomicAdd(out, sums[0]);
    }"""
    x = np.arange(100, dtype=np.float32)
    out = run(code, np.zeros(1, np.float32), x, 100, threads=32, blocks=4, shared_mem=128, sanitize=sanitize)
    assert out[0] == x.sum()


def test_warp_shuffles_votes_and_matching_lanes():
    code = """int* out, const int* x) {
        int sum = x[threadIdx.x], lane = threadIdx.x % 32;
        for (int d = 16; d; d /= 2) sum += __shfl_down_sync(0xffffffff, sum, d);
        int both = x[threadIdx.x];
        for (int d = 16; d; d /= 2) both += __shfl_xor_sync(0xffffffff, both, d);
        unsigned odd = __ballot_sync(0xffffffff, x[threadIdx.x] % 2);
        int first = __shfl_sync(0xffffffff, x[threadIdx.x], 0), before = __shfl_up_sync(0xffffffff, x[threadIdx.x], 1);
        if (lane == 0) out[threadIdx.x / 32] = sum;
        if (both != __shfl_sync(0xffffffff, sum, 0) || odd != 0xaaaaaaaa || first != x[threadIdx.x - lane]) out[2] = 1;
        if (before != (lane ? x[threadIdx.x - 1] : x[threadIdx.x])) out[2] = 2;
        if (!__all_sync(0xffffffff, 1) || __any_sync(0xffffffff, 0)) out[2] = 3;
    }"""
    x = np.arange(64, dtype=np.int32)
    np.testing.assert_array_equal(run(code, np.zeros(3, np.int32), x, threads=64), [x[:32].sum(), x[32:].sum(), 0])


def test_two_and_three_dimensional_launches_visit_every_thread_once():
    code = """extern "C" __global__ void f(int* out) {
        int x = blockIdx.x * blockDim.x + threadIdx.x, y = blockIdx.y * blockDim.y + threadIdx.y;
        int z = blockIdx.z * blockDim.z + threadIdx.z;
        out[(z * gridDim.y * blockDim.y + y) * gridDim.x * blockDim.x + x] += 1;
    }"""
    out = np.zeros((2 * 3, 3 * 2, 2 * 4), np.int32)
    Kernel(code, "f")((2, 3, 2), (4, 2, 3), (out,))
    assert (out == 1).all()


def test_minimum_of_mixed_types_and_of_nan_is_as_in_cuda():
    code = (
        "float* out, unsigned n) { out[0] = min(out[0], 2.0f); out[1] = max(threadIdx.x, n); out[2] = rsqrtf(4.0f); }"
    )
    np.testing.assert_array_equal(run(code, np.full(3, np.nan, np.float32), 7, threads=1), [2, 7, 0.5])


def test_vector_types_are_arrays_of_their_scalars():
    code = "float2* out) { float2 v = out[threadIdx.x]; out[threadIdx.x] = make_float2(v.y, v.x); }"
    np.testing.assert_array_equal(run(code, np.array([[1, 2], [3, 4]], "f"), threads=2), [[2, 1], [4, 3]])


def test_options_define_macros():
    assert (
        run("int* out) { out[0] = SEVEN; }", np.zeros(1, "i"), threads=1, options=("-DSEVEN=7", "--use_fast_math"))[0]
        == 7
    )


def test_shared_memory_that_nobody_wrote_shows_as_nan():
    code = """float* out) {
        __shared__ float s[4];
        out[4 * blockIdx.x + threadIdx.x] = s[threadIdx.x];
        __syncthreads();
        s[threadIdx.x] = 1;
    }"""
    assert np.isnan(run(code, np.zeros(8, np.float32), blocks=2)).all()


# ---- a mistake is named --------------------


def test_a_compile_error_is_shown_at_the_kernels_own_line():
    with pytest.raises(
        CompileError, match=r"saxpy does not compile:\n  line 5: .*oops.*\n      if \(i < n\) y\[i\] \+= oops"
    ):
        Kernel(SAXPY.replace("a * x[i]", "oops"), "saxpy")


def test_an_unknown_kernel_is_answered_with_the_known_ones():
    with pytest.raises(ValueError, match="no kernel 'saxpi' in the source; it has saxpy, reverse"):
        Kernel(SAXPY + REVERSE, "saxpi")


@pytest.mark.parametrize(
    ("args", "sentence"),
    [
        ((2.0, X, Y, 5), r"argument a is 2.0, but the kernel expects float32: CuPy passes a Python float as double"),
        ((np.float64(2), X, Y, 5), "argument a is .*expects float32"),
        ((ONE, X.astype(float), Y, 5), r"argument x is an array of float64; the kernel expects float32"),
        ((ONE, X[::2], Y, 5), "argument x is not contiguous"),
        ((ONE, [1.0], Y, 5), "argument x is list; expected an array of float32"),
        ((ONE, X, np.broadcast_to(ONE, 1), 5), "argument y is read-only"),
        ((ONE, X, Y, 5.0), "argument n is 5.0; expected an integer"),
        ((ONE, X, Y, 2**31), "argument n is 2147483648, which does not fit int32"),
        ((ONE, X, Y, np.int16(5)), "argument n is int16, but the kernel expects int32"),
        ((ONE, X, Y), r"takes 4 arguments \(a, x, y, n\); got 3"),
    ],
)
def test_a_wrong_argument_is_named(args, sentence):
    with pytest.raises(TypeError, match=sentence):
        Kernel(SAXPY, "saxpy")((2,), (4,), args)


@pytest.mark.parametrize(
    ("grid", "block", "shared", "sentence"),
    [((0,), (1,), 0, "grid"), ((1,), (64, 32), 0, "1024 threads"), ((1,), (1,), 1 << 20, "shared_mem")],
)
def test_an_impossible_launch_is_refused(grid, block, shared, sentence):
    with pytest.raises(ValueError, match=sentence):
        Kernel(SAXPY, "saxpy")(grid, block, (ONE, X, Y, 5), shared_mem=shared)


@pytest.mark.parametrize(
    ("code", "sentence"),
    [
        (
            "float* x) { x[threadIdx.x + 2] = 1; }",
            r"line 1: thread \(3, 0, 0\) of block \(0, 0, 0\) writes x\[5\], but x has 5",
        ),
        ("float* x) { x[0] = x[-1]; }", r"reads x\[-1\], but x has 5 elements"),
        (
            "float* x) {\n __shared__ float s[4];\n s[threadIdx.x + 1] = 1; }",
            r"line 3: .* writes outside __shared__ s \(16 bytes\)",
        ),
        (
            "float* x) { extern __shared__ float s[]; x[0] = s[threadIdx.x]; }",
            r"reads outside __shared__ extern array \(8 bytes\)",
        ),
    ],
)
def test_an_access_outside_an_array_is_named_and_this_process_survives(code, sentence):
    with pytest.raises(KernelError, match=sentence):
        run(code, X.copy(), sanitize="memory", shared_mem=8)


@pytest.mark.parametrize(
    ("code", "sentence"),
    [
        ("float* x) { x[0] += 1; }", r"line 1: thread \(1, 0, 0\) .* x\[0\], which thread \(0, 0, 0\) .* no barrier"),
        ("float* x) { x[4 * blockIdx.x / 5] = 1; }", r"x\[0\], which thread"),
        (
            "float* x) {\n __shared__ float s[4]; s[threadIdx.x] = 1;\n x[threadIdx.x] = s[3 - threadIdx.x]; }",
            "line 3: .*__shared__ s before",
        ),
        (
            "float* x) { __shared__ float s[4]; s[threadIdx.x] = 1; __syncthreads();\n"
            "float v = s[threadIdx.x ^ 1];\n s[threadIdx.x] = v; x[threadIdx.x] = v; }",
            r"line 2: thread \(1, 0, 0\) .* reads __shared__ s, which .* writes at line 3; no barrier",
        ),
    ],
)
def test_a_missing_barrier_or_atomic_is_named(code, sentence):
    with pytest.raises(KernelError, match=sentence):
        run(code, X.copy(), sanitize="races")


def test_two_blocks_that_write_one_element_race():
    with pytest.raises(KernelError, match="nothing orders two blocks"):
        run("float* x) { if (threadIdx.x == 0) x[0] = 1; }", X.copy(), blocks=2, sanitize="races")


def test_a_warp_barrier_orders_the_lanes_of_a_warp_but_not_two_warps():
    code = """float* x) {
        __shared__ float s[64]; s[threadIdx.x] = threadIdx.x; __syncwarp();
        x[threadIdx.x] = s[threadIdx.x ^ DISTANCE]; }"""
    near, far = ("-DDISTANCE=1",), ("-DDISTANCE=32",)
    assert run(code, np.zeros(64, "f"), threads=64, sanitize="races", options=near)[0] == 1
    with pytest.raises(KernelError, match="__shared__ s"):
        run(code, np.zeros(64, "f"), threads=64, sanitize="races", options=far)


@pytest.mark.parametrize("sanitize", [False, "memory", "races"])
def test_a_barrier_that_some_threads_skip_is_named(sanitize):
    with pytest.raises(KernelError, match=r"line 2: 3 of 4 threads reach this __syncthreads\(\); 1 left"):
        run("float* x) { if (threadIdx.x == 3) return;\n __syncthreads(); }", X.copy(), sanitize=sanitize)


@pytest.mark.parametrize("sanitize", [False, "memory", "races"])
@pytest.mark.parametrize("barrier", ["", "__syncthreads();"])
def test_an_assert_stops_the_kernel_with_its_place(barrier, sanitize):
    kernel = "float* x) {" + barrier + "\n assert(threadIdx.x < 2); x[threadIdx.x] = 7; }"
    with pytest.raises(KernelError, match=r"line 2: assertion failed: threadIdx.x < 2, in thread \(2, 0, 0\)"):
        run(kernel, X.copy(), sanitize=sanitize)
    assert (
        run("float* x) {" + barrier + " x[threadIdx.x] = 7; }", X.copy(), sanitize=sanitize)[0] == 7
    )  # and leaves no trace


def test_without_a_compiler_the_message_says_how_to_get_one(monkeypatch):
    monkeypatch.setattr(cuda_on_cpu.shutil, "which", lambda _: None)
    cuda_on_cpu.compiler.cache_clear()
    with pytest.raises(CompileError, match="apt install g"):
        cuda_on_cpu.compiler()
    cuda_on_cpu.compiler.cache_clear()


# ---- the cache --------------------


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    cuda_on_cpu._cache.cache_clear()
    yield tmp_path / "vidlearn-cuda-on-cpu"
    monkeypatch.undo()
    cuda_on_cpu._cache.cache_clear()


def test_the_cache_is_private_and_reused(cache):
    Kernel(SAXPY, "saxpy")
    assert stat.S_IMODE(cache.stat().st_mode) == 0o700
    written = {f: f.stat().st_mtime_ns for f in cache.iterdir()}
    Kernel(SAXPY, "saxpy")
    assert written == {f: f.stat().st_mtime_ns for f in cache.iterdir()}


def test_a_folder_that_others_may_write_to_is_not_trusted(cache):
    cache.mkdir()
    os.chmod(cache, 0o777)
    Kernel(SAXPY, "saxpy")
    assert not list(cache.iterdir())


def test_kernels_compiled_and_run_at_once_do_not_disturb_each_other(cache):
    def work(_):
        return run(REVERSE, np.arange(32, dtype="f"), name="reverse<float, 8>", threads=8, blocks=4)

    with ThreadPoolExecutor(4) as pool:
        for x in pool.map(work, range(8)):
            np.testing.assert_array_equal(x, np.arange(32).reshape(4, 8)[:, ::-1].ravel())


# ---- the stand-in for CuPy that the kernels' tests use --------------------


def test_the_stand_in_for_cupy_is_as_strict_as_a_gpu():
    from tests.support.fake_cupy import installed
    from vidlearn import arrays

    host = np.ones(3, np.float32)
    with installed() as cp:
        assert importlib.import_module("cupy") is cp and arrays.available()["cupy"] is None
        device = cp.asarray(host)
        assert arrays.backend_of(device) == "cupy" and not isinstance(device, np.ndarray)
        assert type(cp.sum(device)) is cp.ndarray and float(device.sum()) == 3  # a reduction stays on the device
        np.testing.assert_array_equal(arrays.to_numpy(2 * device + 1), 3 * host)
        kernel = cp.RawKernel(SAXPY, "saxpy")
        for mixing in (
            lambda: device + host,
            lambda: host * device,
            lambda: cp.add(device, host),
            lambda: np.asarray(device),
            lambda: np.sum(device),
            lambda: cp.errstate,
            lambda: kernel((1,), (4,), (ONE, host, device, np.int32(3))),
            lambda: kernel((1,), (4,), (1.0, device, device, np.int32(3))),
        ):
            with pytest.raises((TypeError, AttributeError)):
                mixing()
        kernel((1,), (4,), (ONE, cp.asarray(host), device, np.int32(3)))
        np.testing.assert_array_equal(device.get(), 2 * host)
    assert "cupy" not in importlib.import_module("sys").modules or cp is not importlib.import_module("cupy")
