"""What makes an implementation of each flow operation right: its cases, its laws and the mistakes people make.

Values lie on a grid of quarters, so that a shrunk counterexample can be checked by hand and is exact in every dtype.
Each operation's spec is preceded by the functions that it names.
"""

from __future__ import annotations

from typing import Any

import hypothesis.strategies as st
import numpy as np
from hypothesis.extra import numpy as hnp

from vidlearn.spec import Cost, Law, Mistake, Spec, Tolerance

# ------------------------------------------------------------------ drawing

quarters = st.integers(-8, 8).map(lambda k: k / 4)
unit = st.integers(0, 4).map(lambda k: k / 4)
ZERO_OR_ONE = st.sampled_from([0.0, 0.0, 1.0])


def sizes(most: int = 5, least: int = 1) -> st.SearchStrategy[tuple[int, int]]:
    """(H, W), with sizes of one row, one column and one pixel among them."""
    return st.tuples(st.integers(least, most), st.integers(least, most))


def fields(
    names: str, elements: st.SearchStrategy[float] = quarters, most: int = 5, least: int = 1, **more: Any
) -> st.SearchStrategy[dict[str, Any]]:
    """Arrays of one common (H, W), by name; `more` adds further arguments, each a strategy."""

    def of_shape(shape: tuple[int, int]) -> st.SearchStrategy[dict[str, Any]]:
        arrays = {name: hnp.arrays(np.float64, shape, elements=elements, fill=st.nothing()) for name in names.split()}
        return st.fixed_dictionaries({**arrays, **more})

    return sizes(most, least).flatmap(of_shape)


def rng_fields(names: str) -> Any:
    """Normal random fields of a realistic size, for timing."""

    def large(size: tuple[int, int], rng: np.random.Generator) -> dict[str, Any]:
        return {name: rng.normal(size=size) for name in names.split()}

    return large


# ------------------------------------------------------------------ normal_flow


def constraint_holds(f: Any, Ix: Any, Iy: Any, It: Any) -> Any:
    d = f(Ix, Iy, It)
    return Ix * d[..., 0] + Iy * d[..., 1], -It, Ix**2 + Iy**2 > 0


def along_the_gradient(f: Any, Ix: Any, Iy: Any, It: Any) -> Any:
    d = f(Ix, Iy, It)
    return Iy * d[..., 0] - Ix * d[..., 1], np.zeros_like(Ix)


def contrast_invariant(f: Any, Ix: Any, Iy: Any, It: Any) -> Any:
    return f(2 * Ix, 2 * Iy, 2 * It), f(Ix, Iy, It)


normal_flow = Spec(
    cases={
        "where there is a gradient": fields("Ix Iy It").filter(lambda a: bool((np.hypot(a["Ix"], a["Iy"]) > 0).all())),
        "gradient vanishes": fields("Ix Iy It", elements=ZERO_OR_ONE),
    },
    laws=[
        Law("satisfies the flow constraint wherever the gradient is not zero", constraint_holds),
        Law("points along the gradient", along_the_gradient),
        Law("doubling the contrast of both frames changes nothing", contrast_invariant),
    ],
    mistakes=[
        Mistake(
            "sign of I_t",
            lambda right, Ix, Iy, It: right(Ix, Iy, -It),
            [
                "Write the constraint I_x u + I_y v + I_t = 0, then move I_t to the other side.",
                "The answer is minus I_t ∇I / |∇I|².",
            ],
        ),
        Mistake(
            "u and v swapped",
            lambda right, Ix, Iy, It: right(Ix, Iy, It)[..., ::-1],
            ["The last axis is (u, v): right first, then down.", "u goes with I_x, v with I_y."],
        ),
        Mistake(
            "divides by the gradient's length, not its square",
            lambda right, Ix, Iy, It: right(Ix, Iy, It) * np.hypot(Ix, Iy)[..., None],
            [
                "Check the units: the answer is in pixels per frame.",
                "∇I / |∇I| is the direction; the speed is −I_t / |∇I|.",
            ],
        ),
        Mistake(
            "nothing done where the gradient vanishes",
            lambda right, Ix, Iy, It: -It[..., None] * np.stack([Ix, Iy], -1) / (Ix**2 + Iy**2)[..., None],
            ["What is 0 / 0?", "Answer 0 where I_x and I_y are both 0."],
        ),
    ],
    accepted=[
        lambda Ix, Iy, It: -It[..., None] * np.stack([Ix, Iy], -1) / (Ix**2 + Iy**2 + 1e-9)[..., None],
        lambda Ix, Iy, It: np.einsum("ijk,ij->ijk", np.stack([Ix, Iy], -1), -It / np.maximum(Ix**2 + Iy**2, 1e-12)),
    ],
    tolerance=Tolerance(ulps=16, why="three products, one sum and one division per component"),
    cost=Cost(flops=lambda s: 8 * s.pixels, bytes=lambda s: 5 * s.pixels * s.itemsize),
    components=("u", "v"),
    large=rng_fields("Ix Iy It"),
)
