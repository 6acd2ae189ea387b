"""``compare``: judge, measure and time every implementation that can run here."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

import vidlearn as vl
from vidlearn import arrays
from vidlearn.compare.comparison import Comparison, Line
from vidlearn.compare.measure import Machine, seconds
from vidlearn.judge import judge
from vidlearn.judge.bank import rounded
from vidlearn.operation import Operation
from vidlearn.spec import Cost

__all__ = ["compare"]


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
        NumPy's if none is. Wrap a CUDA kernel in a function (see :mod:`vidlearn.cuda_on_cpu`).
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
        If a name, a file or a function can't be found, or `mine` comes with other than one operation.

    Examples
    --------
    >>> comparison = compare(["normal_flow"], backends=["numpy"], size=(24, 32), mine=vl.flow.normal_flow.reference)
    >>> [(line.operation, line.verdict.status) for line in comparison.lines]
    [('flow.normal_flow', 'right')]
    """
    operations = [vl.operation(name) for name in names] if names else [*vl.operations().values()]
    if mine is not None and len(operations) != 1:
        raise ValueError(
            f"mine: expected one operation beside it, got {len(operations)}: vidlearn compare warp --mine FILE:FUNCTION"
        )
    lines: list[Line] = []
    not_run: list[str] = []
    machines: dict[tuple[str, str], Machine] = {}
    own = _load(mine) if isinstance(mine, str) else mine
    for backend, place in _places(backends or (["numpy"] if own else [*arrays.BACKENDS]), device, not_run):
        for op in operations:
            if own is None and (backend not in op.fast):
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
    return Comparison(dtype, lines, not_run, [str(m) for m in machines.values()])


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
    verdict = judge(
        judged, op, backend=backend, device=device, dtype=dtype, strict=own is None, seed=seed, examples=examples,
        shrink=True,
    )  # fmt: skip
    inputs = rounded(op.spec.large(size, np.random.default_rng(seed)), dtype)
    given = {n: arrays.from_numpy(v, backend, device, dtype) for n, v in inputs.items()}
    positional, keywords = op.signature.order(given)
    plain = {
        n: v.astype("float32" if half else dtype) if isinstance(v, np.ndarray) and v.dtype.kind == "f" else v
        for n, v in inputs.items()
    }
    reference_time, runs = seconds(lambda: op.reference(**plain), "numpy", repeats)
    note = f"the reference was timed in {runs} run{'s' if runs > 1 else ''}" if runs < repeats else ""
    sizes = op.signature.sizes(inputs)
    defaults = {n: p.default for n, p in op.signature.python.parameters.items() if p.default is not p.empty}
    scalars = {n: v for n, v in {**defaults, **inputs}.items() if not isinstance(v, np.ndarray)}
    s = Cost.sizes(sizes, {"float64": 8, "float32": 4}.get(dtype, 2), scalars)
    floor = machine.floor(op.spec.cost.flops(s), op.spec.cost.bytes(s))
    label = f"{size[0]}x{size[1]}"
    tolerance = f"{op.spec.tolerance.ulps:g} ulp: {op.spec.tolerance.why}"
    try:
        answer = judged(*positional, **keywords)
        time, _ = seconds(lambda: judged(*positional, **keywords), backend, repeats)
        absolute, relative, ulps, heatmap = _errors(op, answer, inputs, dtype)
    except Exception as error:  # a function of one's own may fail on a size that the judge did not try
        if own is None:
            raise
        note = f"on the timed input it raises {type(error).__name__}: {error}"
        time, absolute, relative, ulps, heatmap = float("nan"), float("nan"), float("nan"), (float("nan"),) * 3, None
    return Line(
        op.name, backend, device, verdict, label, 1e3 * time, 1e3 * reference_time, runs, absolute, relative, ulps,
        tolerance, 1e3 * floor, note, heatmap,
    )  # fmt: skip


def _errors(
    op: Operation, answer: Any, inputs: dict[str, Any], dtype: str
) -> tuple[float, float, tuple[float, float, float], Any]:
    """Measure the error on one input against the reference in float64."""
    several = op.signature.returns_tuple or op.signature.returns_list
    expected = op.reference(**inputs)
    worst, relative, ulps, heatmap = 0.0, 0.0, [np.zeros(1)], None
    eps = 2.0**-8 if dtype == "bfloat16" else float(np.finfo(dtype).eps)
    mask = op.spec.defined(expected, **inputs) if op.spec.defined else None
    for got, want in zip(answer if several else [answer], expected if several else [expected], strict=True):
        got, want = np.asarray(arrays.to_numpy(got), float), np.asarray(want, float)
        with np.errstate(invalid="ignore"):
            error = np.where((got == want) | (np.isnan(got) & np.isnan(want)), 0, np.abs(got - want))
        if mask is not None and want.ndim:
            error = np.where(np.reshape(mask, np.shape(mask) + (1,) * (error.ndim - np.ndim(mask))), error, 0)
        finite = np.abs(want[np.isfinite(want)])
        scale = finite.max() if finite.size and finite.max() > 0 else 1.0
        worst, relative = max(worst, float(error.max())), max(relative, float(error.max() / scale))
        ulps.append((error / (eps * scale)).ravel())
        if heatmap is None and error.ndim >= 2:
            flat = (
                error
                if error.ndim == 2
                else error.max(axis=0)
                if op.name.endswith("volume")
                else error.reshape(*error.shape[:2], -1).max(-1)
            )
            heatmap = flat
    q = np.quantile(np.concatenate(ulps), [0.5, 0.99, 1.0])
    return worst, relative, (float(q[0]), float(q[1]), float(q[2])), heatmap


def _load(text: str) -> Callable[..., Any]:
    """Import FILE:FUNCTION."""
    file, _, name = text.rpartition(":")
    path = Path(file)
    if not file or not name:
        raise ValueError(f"mine: expected FILE:FUNCTION, such as fast.py:warp, got {text!r}")
    if path.suffix != ".py" or not path.is_file():
        raise ValueError(f"mine: {file} is not a Python file that is there")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise ValueError(f"mine: {file} can't be imported: {type(error).__name__}: {error}") from None
    function = getattr(module, name, None)
    if not callable(function):
        near = [n for n, v in vars(module).items() if callable(v) and not n.startswith("_")]
        raise ValueError(f"mine: {file} has no function {name}; it has {', '.join(near) or 'none'}")
    return function
