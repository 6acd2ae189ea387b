"""Which array libraries are here, whose array this is, and how to cross from one to another.

A *backend* is one of ``numpy``, ``torch`` and ``cupy``. Nothing here imports torch or CuPy until an
array of theirs, or their name, is handed in.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import importlib.util
from collections.abc import Iterator
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np

BACKENDS = ("numpy", "torch", "cupy")
INSTALL = {"torch": "pip install 'vidlearn[torch]'", "cupy": "pip install 'vidlearn[cuda]'"}

__all__ = [
    "BACKENDS",
    "arange_like",
    "available",
    "backend_of",
    "devices",
    "from_numpy",
    "full_precision",
    "namespace",
    "synchronize",
    "to_numpy",
]


def _library_of(value: Any) -> str | None:
    """Return the backend whose array this is, or None for a scalar, a string, a list…"""
    if isinstance(value, np.ndarray):
        return "numpy"
    for kind in type(value).__mro__:
        library = kind.__module__.split(".")[0]
        if library == "torch" and hasattr(value, "detach"):
            return "torch"
        if library == "cupy" and hasattr(value, "__cuda_array_interface__"):
            return "cupy"
    return None


def backend_of(*values: Any) -> str:
    """Name the library that all these arrays come from; scalars and None belong to any.

    Raises
    ------
    TypeError
        If arrays of two libraries, or tensors on two devices, are mixed.

    Examples
    --------
    >>> backend_of(np.zeros(3), 2.0)
    'numpy'
    """
    found = {library: value for value in values if (library := _library_of(value))}
    if len(found) > 1:
        names = " and ".join(sorted(found))
        raise TypeError(
            f"got arrays of {names} in one call; convert them to one library first (vidlearn.arrays.to_numpy)"
        )
    backend = next(iter(found), "numpy")
    if backend != "numpy":
        where = sorted({str(v.device) for v in values if _library_of(v) == backend})
        if len(where) > 1:
            raise TypeError(f"got {backend} arrays on {' and '.join(where)} in one call; move them to one device first")
    return backend


def to_numpy(value: Any) -> Any:
    """Return the array on the host as a NumPy array; anything that is not an array is returned unchanged."""
    library = _library_of(value)
    if library == "torch":
        host = value.detach().cpu()
        return host.float().numpy() if str(host.dtype) == "torch.bfloat16" else host.numpy()
    if library == "cupy":
        return value.get()
    return value


def from_numpy(value: Any, backend: str, device: str | None = None, dtype: str | None = None) -> Any:
    """Return a copy of a NumPy array as an array of `backend`, on `device`, with floating values cast to `dtype`."""
    if not isinstance(value, np.ndarray):
        return value
    cast = dtype is not None and value.dtype.kind == "f"
    if backend == "torch":
        torch = importlib.import_module("torch")
        tensor = torch.from_numpy(np.array(value, order="C"))
        return tensor.to(device=device, dtype=getattr(torch, str(dtype)) if cast else None)
    if cast:
        value = value.astype(dtype)
    if backend == "cupy":
        return importlib.import_module("cupy").asarray(value)
    return value if cast else np.array(value)


@functools.cache
def _reason(backend: str) -> str | None:
    if backend == "numpy":
        return None
    try:
        module = importlib.import_module(backend)
    except ImportError:
        return f"{backend} is not installed: {INSTALL[backend]}"
    if backend == "cupy" and not module.cuda.is_available():
        return "cupy is installed, but there is no usable NVIDIA GPU"
    return None


def available() -> dict[str, str | None]:
    """Return each backend with None if it can be used here, or else the reason why not.

    Examples
    --------
    >>> available()["numpy"] is None
    True
    """
    return {backend: _reason(backend) for backend in BACKENDS}


def devices(backend: str) -> list[str]:
    """List the devices of a backend that is usable here, the plainest first."""
    if _reason(backend):
        return []
    if backend == "torch":
        return ["cpu", *(["cuda"] if importlib.import_module("torch").cuda.is_available() else [])]
    return ["cuda"] if backend == "cupy" else ["cpu"]


def synchronize(backend: str) -> None:
    """Wait until the device has finished, so that a clock read afterwards means something."""
    if backend == "torch":
        torch = importlib.import_module("torch")
        if torch.cuda.is_available():
            torch.cuda.synchronize()
    elif backend == "cupy":
        importlib.import_module("cupy").cuda.Device().synchronize()


@contextlib.contextmanager
def full_precision(backend: str) -> Iterator[None]:
    """Let torch multiply float32 as float32 inside the block: on a GPU its convolutions round to TF32 unless told not to."""
    if backend != "torch":
        yield
        return
    torch = importlib.import_module("torch")
    switches = (torch.backends.cudnn, torch.backends.cuda.matmul)
    before = [switch.allow_tf32 for switch in switches]
    for switch in switches:
        switch.allow_tf32 = False
    try:
        yield
    finally:
        for switch, was in zip(switches, before, strict=True):
            switch.allow_tf32 = was


def namespace(array: Any) -> ModuleType | SimpleNamespace:
    """Return the library of `array`, in NumPy's spelling, for bodies that serve every backend (``fast.py``).

    For NumPy and CuPy this is the library itself; for torch a small set of the same names.
    """
    backend = backend_of(array)
    return _torch_namespace() if backend == "torch" else importlib.import_module(backend)


def arange_like(array: Any, n: int) -> Any:
    """Return 0, 1, …, n − 1 in the library, on the device and in the dtype of `array`."""
    if backend_of(array) == "torch":
        import torch

        return torch.arange(n, dtype=array.dtype, device=array.device)
    return namespace(array).arange(n, dtype=array.dtype)


@functools.cache
def _torch_namespace() -> SimpleNamespace:
    import torch

    def pad(x: Any, width: Any, mode: str = "constant") -> Any:
        """Zero or edge padding; `width` is ((before, after), …), one pair an axis, as in NumPy."""
        if mode == "edge":  # torch's own replicate padding wants 3 to 5 axes and refuses float16 on some devices
            for axis, (before, after) in enumerate(width):
                if before or after:
                    n = x.shape[axis]
                    x = x.index_select(axis, torch.arange(-before, n + after, device=x.device).clamp(0, n - 1))
            return x
        flat = [w for pair in reversed(list(width)) for w in pair]
        return torch.nn.functional.pad(x, flat)

    same = {
        n: getattr(torch, n)
        for n in (
            "abs",
            "amax",
            "amin",
            "arctan2",
            "bool",
            "broadcast_to",
            "ceil",
            "clip",
            "cos",
            "einsum",
            "exp",
            "floor",
            "float32",
            "float64",
            "hypot",
            "int64",
            "isfinite",
            "isnan",
            "log",
            "matmul",
            "ones_like",
            "round",
            "sign",
            "sin",
            "sqrt",
            "where",
            "zeros_like",
            "logical_and",
            "logical_or",
            "square",
            "tanh",
            "moveaxis",
            "rad2deg",
            "full_like",
        )
    }
    return SimpleNamespace(
        **same,
        inf=float("inf"),
        nan=float("nan"),
        pi=np.pi,
        maximum=lambda a, b: torch.clamp(a, min=b) if not torch.is_tensor(b) else torch.maximum(a, b),
        minimum=lambda a, b: torch.clamp(a, max=b) if not torch.is_tensor(b) else torch.minimum(a, b),
        stack=lambda xs, axis=0: torch.stack(tuple(xs), dim=axis),
        concatenate=lambda xs, axis=0: torch.cat(tuple(xs), dim=axis),
        sum=lambda x, axis=None: torch.sum(x) if axis is None else torch.sum(x, dim=axis),
        mean=lambda x, axis=None: torch.mean(x) if axis is None else torch.mean(x, dim=axis),
        cumsum=lambda x, axis: torch.cumsum(x, dim=axis),
        pad=pad,
    )
