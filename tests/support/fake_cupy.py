"""A strict stand-in for CuPy on a machine without a GPU: NumPy behind the array API, g++ behind the kernels.

It says what it is (``cupy.__version__ == "fake"``) and refuses what a GPU would refuse and NumPy would let pass: mixing
host and device arrays, turning a device array into a NumPy array without ``.get()``, names that CuPy lacks, and kernel
arguments of the wrong type. Where CuPy accepts something by silently copying from the host, this refuses as well.
"""

from __future__ import annotations

import contextlib
import importlib
import operator
import sys
from collections.abc import Callable, Iterator
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import scipy.special

from vidlearn.cuda_on_cpu import Kernel

#: public names of NumPy that cupy 14.2 lacks; a test compares them with the real one where it is installed
ABSENT = frozenset(
    """
    block busday_count datetime64 einsum_path emath errstate frompyfunc geomspace geterr histogram_bin_edges insert
    isnat longdouble ma matrix matvec memmap nanpercentile nanquantile ndenumerate nditer polyder polydiv polyint rec
    seterr spacing str_ strings timedelta64 unstack vecdot vecmat void
    """.split()  # noqa: SIM905
)


class ndarray:
    """An array "on the device"; only ``.get()`` brings it to the host."""

    __module__ = "cupy"
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, host: np.ndarray) -> None:
        self._host = host

    def get(self) -> np.ndarray:
        return np.array(self._host)

    @property
    def device(self) -> str:
        return "<CUDA Device 0>"

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        return self._host.__array_interface__

    def set(self, value: np.ndarray) -> None:
        self._host[...] = value

    def __array__(self, *_: Any, **__: Any) -> np.ndarray:
        raise TypeError("Implicit conversion to a NumPy array is not allowed. Please use `.get()`.")

    def __array_function__(self, function: Callable[..., Any], *_: Any) -> Any:
        raise TypeError(f"numpy.{function.__name__} was given a CuPy array; use cupy.{function.__name__}")

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **options: Any) -> Any:
        return _on_device(getattr(ufunc, method))(*inputs, **options)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # the array protocols of the host
            raise AttributeError(name)
        value = getattr(self._host, name)
        return _on_device(value) if callable(value) else _wrap(value)

    def __setattr__(self, name: str, value: Any) -> None:
        object.__setattr__(self, name, value) if name == "_host" else setattr(self._host, name, _unwrap(value))

    def __setitem__(self, key: Any, value: Any) -> None:
        self._host[_unwrap(key)] = _unwrap(value)

    def __iter__(self) -> Iterator[Any]:
        return (self[i] for i in range(len(self)))

    def __repr__(self) -> str:
        return f"cupy.{self._host!r}"


def _operator(name: str) -> Callable[..., Any]:
    function = getattr(operator, name)
    in_place = name.startswith("__i") and name not in ("__invert__",)

    def method(self: ndarray, *others: Any) -> Any:
        with np.errstate(all="ignore"):
            result = function(self._host, *map(_unwrap, others))
        return self if in_place else _wrap(result)

    return method


def _reflected(name: str) -> Callable[..., Any]:
    function = getattr(operator, f"__{name}__")

    def method(self: ndarray, other: Any) -> Any:
        with np.errstate(all="ignore"):
            return _wrap(function(_unwrap(other), self._host))

    return method


_BINARY = ["add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "matmul", "and", "or", "xor", "lshift", "rshift"]
for _name in (
    *_BINARY,
    *(f"i{n}" for n in _BINARY if n != "matmul"),
    *["eq", "ne", "lt", "le", "gt", "ge", "neg", "pos", "abs", "invert", "getitem"],
):
    setattr(ndarray, f"__{_name}__", _operator(f"__{_name}__"))
for _name in _BINARY:
    setattr(ndarray, f"__r{_name}__", _reflected(_name))
for _name in ("__len__", "__bool__", "__int__", "__float__", "__complex__"):
    setattr(ndarray, _name, lambda self, _f=_name: getattr(self._host, _f)())


def _wrap(value: Any) -> Any:
    if isinstance(value, (np.ndarray, np.generic)):  # reductions give 0-d arrays, which stay on the device
        return ndarray(np.asarray(value))
    if isinstance(value, (tuple, list)) and any(isinstance(v, (np.ndarray, np.generic)) for v in value):
        return type(value)(map(_wrap, value)) if type(value) in (tuple, list) else tuple(map(_wrap, value))
    return value


def _unwrap(value: Any) -> Any:
    if isinstance(value, ndarray):
        return value._host
    if isinstance(value, np.ndarray):
        raise TypeError("Unsupported type <class 'numpy.ndarray'>: move it to the device first with cupy.asarray")
    if isinstance(value, (tuple, list)):
        return type(value)(map(_unwrap, value))
    return value


def _on_device(function: Callable[..., Any]) -> Callable[..., Any]:
    def call(*args: Any, **options: Any) -> Any:
        with np.errstate(all="ignore"):  # a GPU doesn't warn
            return _wrap(function(*map(_unwrap, args), **{k: _unwrap(v) for k, v in options.items()}))

    return call


class _Mirror(ModuleType):
    """A module of CuPy made from the NumPy (or SciPy) module of the same name."""

    def __init__(self, name: str, host: ModuleType, absent: frozenset[str] = frozenset()) -> None:
        super().__init__(name)
        self.__dict__.update(_mirrored=host, _absent=absent)

    def __getattr__(self, name: str) -> Any:
        if name in self._absent or name.startswith("__"):
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        value = getattr(self._mirrored, name)
        if isinstance(value, type) or not callable(value):
            return _wrap(value) if isinstance(value, np.ndarray) else value
        return _on_device(value)


class RawKernel:
    """``cupy.RawKernel``: compiled when first launched, and only ``extern "C"`` kernels, which it can find by name."""

    options: tuple[str, ...]

    def __init__(self, code: str, name: str, options: tuple[str, ...] = (), **_: Any) -> None:
        self.code, self.name, self.options = code, name, tuple(options)
        self._kernel: Kernel | None = None

    def __call__(
        self, grid: tuple[int, ...], block: tuple[int, ...], args: tuple[Any, ...], *, shared_mem: int = 0
    ) -> None:
        self._kernel = self._kernel or Kernel(self.code, self.name, self.options, sanitize=SANITIZE[0])
        for p, value in zip(self._kernel.parameters, args, strict=False):
            if p.is_array and not isinstance(value, ndarray):
                raise TypeError(
                    f"{self.name}: argument {p.name} is {type(value).__name__}; a kernel needs a device array"
                )
        self._kernel(grid, block, [_unwrap(a) for a in args], shared_mem)


class RawModule:
    """``cupy.RawModule``: several kernels in one source, templates too if they are listed in `name_expressions`."""

    def __init__(
        self, *, code: str, options: tuple[str, ...] = (), name_expressions: tuple[str, ...] = (), **_: Any
    ) -> None:
        self.code, self.options = code, options

    def get_function(self, name: str) -> RawKernel:
        return RawKernel(self.code, name, self.options)


#: what kernels are checked for while they run: None, "memory" or "races"
SANITIZE: list[Any] = [False]


def _modules() -> dict[str, ModuleType]:
    cupy = _Mirror("cupy", np, ABSENT)
    cuda = ModuleType("cupy.cuda")
    device = SimpleNamespace(id=0, synchronize=lambda: None, compute_capability="90", use=lambda: None)
    cuda.__dict__.update(
        is_available=lambda: True,
        Device=lambda *_: device,
        runtime=SimpleNamespace(getDeviceCount=lambda: 1, deviceSynchronize=lambda: None),
        Stream=SimpleNamespace(null=SimpleNamespace(synchronize=lambda: None)),
    )

    def asarray(value: Any, dtype: Any = None, **options: Any) -> ndarray:
        copy = not isinstance(value, ndarray)
        host = value._host if isinstance(value, ndarray) else value
        return ndarray(np.array(host, dtype=dtype, **options) if copy else np.asarray(host, dtype=dtype, **options))

    def array(value: Any, dtype: Any = None, **options: Any) -> ndarray:
        if isinstance(value, (list, tuple)):
            value = [v._host if isinstance(v, ndarray) else v for v in value]
        return ndarray(np.array(value._host if isinstance(value, ndarray) else value, dtype=dtype, **options))

    cupy.__dict__.update(
        __version__="fake",
        __path__=[],
        ndarray=ndarray,
        RawKernel=RawKernel,
        RawModule=RawModule,
        cuda=cuda,
        asarray=asarray,
        array=array,
        asnumpy=lambda value: value.get() if isinstance(value, ndarray) else np.asarray(value),
        isscalar=np.isscalar,
        dtype=np.dtype,
        finfo=np.finfo,
        iinfo=np.iinfo,
        result_type=lambda *values: np.result_type(*(v.dtype if isinstance(v, ndarray) else v for v in values)),
    )
    modules: dict[str, ModuleType] = {"cupy": cupy, "cupy.cuda": cuda}
    for name in ("linalg", "fft", "random"):
        modules[f"cupy.{name}"] = cupy.__dict__[name] = _Mirror(f"cupy.{name}", getattr(np, name))
    for name in ("cupyx", "cupyx.scipy"):
        modules[name] = ModuleType(name)
    modules["cupyx.scipy.special"] = _Mirror("cupyx.scipy.special", scipy.special)
    return modules


def _forget(names: set[str]) -> None:
    """Drop the modules that hold the fake, and what vidlearn remembers of CuPy's absence."""
    for name in names:
        sys.modules.pop(name, None)
        package, _, last = name.rpartition(".")
        if package in sys.modules:
            sys.modules[package].__dict__.pop(last, None)
    importlib.import_module("vidlearn.arrays")._reason.cache_clear()


@contextlib.contextmanager
def installed(sanitize: str | bool = False) -> Iterator[ModuleType]:
    """Make ``import cupy`` give the fake inside the block; `sanitize` checks each kernel as it runs.

    Examples
    --------
    >>> with installed() as cp:
    ...     (cp.asarray([1.0, 2.0]) * 2).get()
    array([2., 4.])
    """
    bound = {n for n in sys.modules if n.startswith("vidlearn.") and n.endswith((".fast_cupy", ".fast"))}
    before = {n: sys.modules.pop(n) for n in list(sys.modules) if n.split(".")[0] in ("cupy", "cupyx")}
    _forget(bound)
    SANITIZE[0] = sanitize
    modules = _modules()
    sys.modules.update(modules)
    try:
        yield modules["cupy"]
    finally:
        SANITIZE[0] = False
        _forget(
            {n for n in sys.modules if n.startswith("vidlearn.") and n.endswith((".fast_cupy", ".fast"))} | set(modules)
        )
        sys.modules.update(before)
