"""Compile CUDA C++ for a GPU on a machine that has none: only the wheel ``nvidia-cuda-nvrtc`` is needed."""

from __future__ import annotations

import ctypes
import functools
import importlib.util
from collections.abc import Sequence
from pathlib import Path


@functools.cache
def _library() -> ctypes.CDLL | None:
    spec = importlib.util.find_spec("nvidia")
    for folder in (spec and spec.submodule_search_locations) or ():
        for path in sorted(Path(folder).glob("*/lib/libnvrtc.so.*")):
            return ctypes.CDLL(str(path))
    return None


def why_not() -> str | None:
    """Return None if NVRTC is here, else the reason to give for a test that is not run."""
    return None if _library() else "not run, because NVRTC is not installed: pip install nvidia-cuda-nvrtc"


def compile_cuda(code: str, options: Sequence[str] = (), arch: str = "sm_90") -> bytes:
    """Return the machine code (cubin) of a CUDA source, or raise RuntimeError with the compiler's log."""
    nvrtc, program, size = _library(), ctypes.c_void_p(), ctypes.c_size_t()
    assert nvrtc, why_not()
    nvrtc.nvrtcCreateProgram(ctypes.byref(program), code.encode(), b"kernel.cu", 0, None, None)
    flags = [f"--gpu-architecture={arch}".encode(), *(o.encode() for o in options)]
    failed = nvrtc.nvrtcCompileProgram(program, len(flags), (ctypes.c_char_p * len(flags))(*flags))
    kind = "ProgramLog" if failed else "CUBIN"
    getattr(nvrtc, f"nvrtcGet{kind}Size")(program, ctypes.byref(size))
    text = ctypes.create_string_buffer(size.value)
    getattr(nvrtc, f"nvrtcGet{kind}")(program, text)
    nvrtc.nvrtcDestroyProgram(ctypes.byref(program))
    if failed:
        raise RuntimeError(text.value.decode())
    return text.raw
