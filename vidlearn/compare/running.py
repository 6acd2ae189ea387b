"""``compare``: judge, measure and time every implementation that can run here."""

from __future__ import annotations

import importlib.util
import inspect
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

import vidlearn as vl
from vidlearn import arrays
from vidlearn.compare.comparison import Comparison, Line
from vidlearn.compare.measure import Machine, busy, seconds
from vidlearn.judge import Bank, judge
from vidlearn.judge.bank import Case, rounded
from vidlearn.judge.candidate import Outcome, Runner
from vidlearn.judge.comparing import form_problem
from vidlearn.operation import Operation
from vidlearn.signature import ArraySpec
from vidlearn.spec import Cost

__all__ = ["compare"]

#: bytes of one value, and one ulp at 1 as the specs' tolerances count it
_DTYPES = {"float64": (8, 2.0**-52), "float32": (4, 2.0**-23), "float16": (2, 2.0**-10), "bfloat16": (2, 2.0**-7)}


def compare(
    names: list[str] | None = None,
    *,
    backends: list[str] | None = None,
    device: str | None = None,
    dtype: str = "float32",
    size: tuple[int, int] = (480, 640),
    mine: str | Callable[..., Any] | None = None,
    seed: int = 0,
    repeats: int = 5,
    examples: int = 25,
    progress: Callable[[str], None] | None = None,
) -> Comparison:
    """Compare fast paths, or a function of your own, with the reference.

    Parameters
    ----------
    names
        Operations; all if none is named.
    backends, device
        Only these; otherwise everything that is here. What is not here is listed with the reason.
    dtype
        ``float64``, ``float32``, ``float16`` or ``bfloat16``.
    size
        (H, W) of the timed input.
    mine
        Your function, or ``"FILE:FUNCTION"``, for the one operation named; it takes arrays of the one backend named,
        NumPy's if none is, so that a function of tensors needs ``["torch"]``. A CUDA kernel takes part as a Python function that calls it: on a CPU through
        :class:`vidlearn.cuda_on_cpu.Kernel`, on a GPU through ``cupy.RawKernel``.
    seed, repeats, examples
        Which inputs are drawn, how many runs are timed, how many inputs of each family are judged.
    progress
        Called with a line before each step.

    Returns
    -------
    Comparison

    Raises
    ------
    ValueError
        If a name, a backend, a dtype, a file or a function can't be found, a number is out of range, `mine` comes
        with other than one operation, or needs another backend's arrays.

    Examples
    --------
    >>> comparison = compare(["normal_flow"], backends=["numpy"], size=(24, 32), mine=vl.flow.normal_flow.reference)
    >>> [(line.operation, line.verdict.status) for line in comparison.lines]
    [('flow.normal_flow', 'right')]
    """
    for backend in backends or ():
        if backend not in arrays.BACKENDS:
            raise ValueError(f"backends: expected some of {', '.join(arrays.BACKENDS)}, got {backend!r}")
    if dtype not in _DTYPES:
        raise ValueError(f"dtype: expected one of {', '.join(_DTYPES)}, got {dtype!r}")
    for what, least in (("repeats", repeats), ("examples", examples), ("size", min(size))):
        if least < 1:
            raise ValueError(f"{what}: expected at least 1, got {size if what == 'size' else least}")
    operations = [vl.operation(name) for name in names] if names else [*vl.operations().values()]
    if mine is not None and len(operations) != 1:
        raise ValueError(
            f"mine: expected one operation beside it, got {len(operations)}: vidlearn compare warp --mine FILE:FUNCTION"
        )
    warning = busy()  # before this run is itself the work
    lines: list[Line] = []
    not_run: list[str] = []
    machines: dict[tuple[str, str], Machine] = {}
    own = _load(mine) if isinstance(mine, str) else mine
    if own and not backends:
        _check_library(own, operations[0], dtype, size, seed)
    for backend, place in _places(backends or (["numpy"] if own else [*arrays.BACKENDS]), device, not_run):
        for op in operations:
            if own is None and backend not in op.fast:
                if backend != "numpy" or backends:  # unasked, the reference is not held against itself
                    only = "but the reference itself" if backend == "numpy" else "of its own"
                    not_run.append(f"{op.name} on {backend}: it has no implementation {only}")
                continue
            if progress:
                progress(f"{op.name} on {backend} {place}")
            key = (backend, place)
            if key not in machines:
                machines[key] = Machine.measure(backend, place, dtype)
            lines.append(
                _line(
                    op, own or op.on(backend), backend, place, dtype, size, seed, repeats, examples, machines[key], own
                )
            )
    lines.sort(key=lambda line: [op.name for op in operations].index(line.operation))
    return Comparison(dtype, lines, not_run, [str(m) for m in machines.values()], warning)


def _places(backends: list[str], device: str | None, not_run: list[str]) -> Iterator[tuple[str, str]]:
    """Each backend and device that is here; the others go to `not_run`."""
    for backend in backends:
        reason = arrays.available()[backend]
        here = arrays.devices(backend)
        if reason:
            not_run.append(reason)
            continue
        wanted = [d for d in here if device in (None, d)]
        if not wanted:
            not_run.append(f"{backend} has no device {device!r} here; it has {', '.join(here)}")
        if backend == "torch" and device is None and "cuda" not in here:
            not_run.append("torch on cuda: there is no usable NVIDIA GPU")
        for place in wanted:
            yield backend, place


def _line(
    op: Operation, function: Callable[..., Any], backend: str, device: str, dtype: str, size: tuple[int, int], seed: int,
    repeats: int, examples: int, machine: Machine, own: Any,
) -> Line:  # fmt: skip
    half = dtype in ("float16", "bfloat16")
    judged = function if own or not half else op  # half precision is computed in float32 by the operation
    strict = own is None
    bank = Bank.draw(op, seed, examples, dtype)
    verdict = judge(judged, op, backend=backend, device=device, strict=strict, examples=examples, bank=bank)

    inputs = rounded(op.spec.large(size, np.random.default_rng(seed)), dtype)
    case = bank.case(inputs)
    outcome = Runner(judged, op.signature, backend, device, dtype, strict)(inputs)
    problem = form_problem(outcome, case.expected, dtype, strict)

    plain = {n: arrays.from_numpy(v, "numpy", dtype="float32" if half else dtype) for n, v in inputs.items()}
    reference_time, runs = seconds(lambda: op.reference(**plain), "numpy", repeats)
    notes = [f"the reference was timed in {runs} run{'s' if runs > 1 else ''}"] if runs < repeats else []
    notes += ["the reference was timed in float32"] if half else []
    time, absolute, relative, ulps, heatmap = _NAN, _NAN, _NAN, (_NAN, _NAN, _NAN), None
    if problem:  # the judge's inputs are small; a function of one's own may fail on this one alone
        notes.append(f"not timed: on the timed input it {problem}")
    else:
        absolute, relative, ulps, heatmap = _errors(outcome, case, op.signature.returns, _DTYPES[dtype][1])
        given = {n: arrays.from_numpy(v, backend, device, dtype) for n, v in inputs.items()}
        positional, keywords = op.signature.order(given)
        time, _ = seconds(lambda: judged(*positional, **keywords), backend, repeats)

    defaults = {n: p.default for n, p in op.signature.python.parameters.items() if p.default is not p.empty}
    scalars = {n: v for n, v in {**defaults, **inputs}.items() if not isinstance(v, np.ndarray)}
    s = Cost.sizes(op.signature.sizes(inputs), _DTYPES[dtype][0], scalars)
    floor = machine.floor(op.spec.cost.flops(s), op.spec.cost.bytes(s))
    tolerance = f"{op.spec.tolerance.ulps:g} ulp: {op.spec.tolerance.why}"
    if own:
        tolerance = f"{op.spec.tolerance.loose:g} of that value, for a function of one's own; for ours {tolerance}"
    return Line(
        op.name, backend, device, verdict, f"{size[0]}x{size[1]}", 1e3 * time, 1e3 * reference_time, runs, absolute,
        relative, ulps, tolerance, 1e3 * floor, "; ".join(notes), heatmap,
    )  # fmt: skip


_NAN = float("nan")


def _errors(
    outcome: Outcome, case: Case, axes: tuple[ArraySpec, ...], eps: float
) -> tuple[float, float, tuple[float, float, float], Any]:
    """Measure the error of an answer where it is well-defined; a NaN that should not be there is infinitely wrong."""
    worst, relative, ulps, heatmap = 0.0, 0.0, [], None
    for k, (got, want) in enumerate(zip(outcome.answers, case.expected, strict=True)):
        got, want = got.astype(float), want.astype(float)
        with np.errstate(invalid="ignore"):
            error = np.where((got == want) | (np.isnan(got) & np.isnan(want)), 0, np.abs(got - want))
        error[np.isnan(error)] = np.inf
        where = np.ones(error.shape, bool)
        if case.defined is not None and want.ndim:
            where &= case.defined.reshape(case.defined.shape + (1,) * (want.ndim - case.defined.ndim))
        scale = np.max(np.abs(want), where=where & np.isfinite(want), initial=0) or 1.0
        worst = max(worst, float(error[where].max(initial=0)))
        relative = max(relative, float(error[where].max(initial=0) / scale))
        ulps.append(error[where] / (eps * scale))
        if heatmap is None and error.ndim >= 2:
            heatmap = _per_pixel(np.where(where, error, 0), axes[min(k, len(axes) - 1)].axes)
    every = np.concatenate(ulps)
    # quantiles that are errors which occurred: nothing is interpolated, so that infinity is allowed
    q = np.quantile(every, [0.5, 0.99, 1.0], method="inverted_cdf") if every.size else np.zeros(3)
    return worst, relative, (float(q[0]), float(q[1]), float(q[2])), heatmap


def _per_pixel(error: np.ndarray, axes: tuple[str, ...]) -> np.ndarray:
    """Return the largest error over every axis but the two of the image, which come first unless named H and W last."""
    if axes[-2:] == ("H", "W"):
        return error.reshape(-1, *error.shape[-2:]).max(axis=0)
    return error.reshape(*error.shape[:2], -1).max(axis=-1)


def _check_library(own: Callable[..., Any], op: Operation, dtype: str, size: tuple[int, int], seed: int) -> None:
    """`ValueError` where a function that is written with another library can do nothing with NumPy's arrays."""
    values = [*getattr(inspect.unwrap(own), "__globals__", {}).values()]
    names = {str(value.__name__ if inspect.ismodule(value) else getattr(value, "__module__", "")) for value in values}
    used = [library for library in ("torch", "cupy") if any(name.partition(".")[0] == library for name in names)]
    if not used:
        return
    problem = Runner(own, op.signature, "numpy", None, dtype)(
        rounded(op.spec.large(size, np.random.default_rng(seed)), dtype)
    ).problem
    if problem:
        what = {"torch": "tensors"}.get(used[0], f"{used[0]}'s")
        raise ValueError(
            f"mine: it {problem.removesuffix(', but expected one of:')}. It was given NumPy arrays; for {what}: --backend {used[0]}"
        )


def _load(text: str) -> Callable[..., Any]:
    """Import FILE:FUNCTION."""
    file, _, name = text.rpartition(":")
    path = Path(file)
    if not file or not name:
        raise ValueError(f"mine: expected FILE:FUNCTION, such as fast.py:warp, got {text!r}")
    if path.suffix == ".cu":
        raise ValueError(
            f"mine: {file} is CUDA source; name a Python function that calls it through vidlearn.cuda_on_cpu.Kernel, "
            "or through cupy.RawKernel with --backend cupy"
        )
    if path.suffix != ".py" or not path.is_file():
        raise ValueError(f"mine: {file} is not a Python file that is there")
    spec = importlib.util.spec_from_file_location(f"mine_{path.stem}", path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[module.__name__] = module  # where dataclasses look their module up
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        raise ValueError(f"mine: {file} can't be imported: {type(error).__name__}: {error}") from None
    function = getattr(module, name, None)
    if not callable(function):
        near = [n for n, v in vars(module).items() if callable(v) and not n.startswith("_")]
        raise ValueError(f"mine: {file} has no function {name}; it has {', '.join(near) or 'none'}")
    return function
