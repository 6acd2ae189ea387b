"""Bad input to any public operation is refused with a sentence that names the argument; odd input has a defined answer."""

from __future__ import annotations

import warnings

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings

import vidlearn as vl
from vidlearn.judge.drawing import draw

OPERATIONS = vl.operations()
operations = pytest.mark.parametrize("op", [pytest.param(o, id=o.name) for o in OPERATIONS.values()])

JUNK = {
    "a list": [[1.0, 2.0]],
    "text": "image.png",
    "nothing": None,
    "a number": 3.5,
    "a boolean": True,
    "an object": object(),
    "bytes": b"\0\1",
    "integers": np.arange(6).reshape(2, 3),
    "8-bit integers": np.zeros((4, 4), np.uint8),
    "complex numbers": np.zeros((4, 4), complex),
    "objects in an array": np.full((4, 4), None),
    "dates": np.zeros((4, 4), "datetime64[s]"),
    "an empty array": np.zeros((0, 4)),
    "no axes": np.array(1.0),
    "seven axes": np.zeros((1,) * 7),
    "a masked array": np.ma.zeros((4, 4)),
    "a negative number": -3,
    "zero": 0,
    "an even number": 4,
    "NaN": float("nan"),
    "infinity": float("inf"),
    "a huge number": 10**30,
}


#: annotations of arguments that say how large something is
SIZES = ("OddInt", "PositiveInt", "Count", "PositiveInts", "Counts")


def example(op, size=(6, 7)):
    return op.spec.large(size, np.random.default_rng(0))


@operations
@pytest.mark.parametrize("junk", JUNK.values(), ids=JUNK)
def test_junk_in_any_place_is_refused_by_name_or_answered(op, junk):
    good = example(op)
    for name in op.signature.python.parameters:
        if isinstance(junk, int) and junk == 10**30 and op.signature.notes[name] in SIZES:
            continue  # any size is a size; the machine's memory says what is too large
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                op(**{**good, name: junk})
        except (TypeError, ValueError) as error:
            assert name in str(error), f"{op.name}({name}=…): {error}"


@operations
def test_arrays_of_other_sizes_are_refused_by_name(op):
    good = example(op)
    arrays = [n for n, v in good.items() if isinstance(v, np.ndarray)]
    for name in arrays:
        shorter = good[name][:-1] if good[name].shape[0] > 1 else np.concatenate([good[name]] * 2)
        try:
            op(**{**good, name: shorter})
        except (TypeError, ValueError) as error:
            text = str(error)
            assert any(other in text for other in arrays), text
            assert "expected" in text and ("got" in text or "shape" in text), text


@operations
def test_missing_and_unknown_arguments_are_refused_by_name(op):
    good = example(op)
    required = [n for n, p in op.signature.python.parameters.items() if p.default is p.empty]
    for name in required:
        with pytest.raises(TypeError, match=name):
            op(**{n: v for n, v in good.items() if n != name})
    with pytest.raises(TypeError, match="surprise"):
        op(**good, surprise=1)


@operations
def test_mixed_precision_is_refused(op):
    good = example(op)
    floats = [n for n, v in good.items() if isinstance(v, np.ndarray) and v.dtype.kind == "f"]
    if len(floats) > 1:
        with pytest.raises(TypeError, match=floats[-1]):
            op(**{**good, floats[-1]: good[floats[-1]].astype(np.float32)})


@operations
def test_read_only_and_strided_arrays_are_as_good_as_others(op):
    good = example(op)
    want = op(**good)

    def locked(value):
        if not isinstance(value, np.ndarray):
            return value
        wide = np.zeros((*value.shape, 2), value.dtype)
        wide[..., 0] = value
        wide.flags.writeable = False
        return wide[..., 0]

    got = op(**{n: locked(v) for n, v in good.items()})
    several = isinstance(want, tuple | list)
    for g, w in zip(got if several else [got], want if several else [want], strict=True):
        np.testing.assert_allclose(g, w, rtol=1e-9, atol=1e-9)


@operations
def test_a_single_nan_raises_nothing(op):
    good = example(op)
    for name, value in good.items():
        if isinstance(value, np.ndarray) and value.dtype.kind == "f":
            spoiled = value.copy()
            spoiled.flat[spoiled.size // 2] = np.nan
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                try:
                    op(**{**good, name: spoiled})
                except (TypeError, ValueError) as error:
                    assert name in str(error)


@operations
def test_every_case_of_the_spec_is_accepted_by_the_public_function(op):
    for strategy in op.spec.cases.values():
        for inputs in draw(strategy, 3, 0):
            op(**inputs)


@pytest.mark.parametrize(
    "op", [pytest.param(o, id=o.name) for o in OPERATIONS.values() if o.short not in ("dense", "coarse_to_fine")]
)
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_fuzzed_shapes_raise_only_sentences_that_name_an_argument(op, data):
    good = example(op)
    shapes = st.lists(st.integers(0, 3), min_size=0, max_size=4).map(tuple)
    spoiled = {n: np.ones(data.draw(shapes), v.dtype) if isinstance(v, np.ndarray) else v for n, v in good.items()}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            op(**spoiled)
    except (TypeError, ValueError) as error:
        assert any(n in str(error) for n in op.signature.python.parameters), str(error)


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda: vl.flow.structure_tensor(np.ones((3, 3)), np.ones((3, 3)), window=4), "window"),
        (lambda: vl.flow.structure_tensor(np.ones((3, 3)), np.ones((3, 3)), window=3.0), "window"),
        (lambda: vl.flow.motion_field(np.ones(6), 0, 3), "height"),
        (lambda: vl.flow.motion_field(np.ones(5), 3, 3), "parameters"),
        (lambda: vl.flow.motion_field(np.ones(6), 3, 3, model="warp"), "model"),
        (lambda: vl.flow.upsample_flow(np.ones((3, 3, 2)), 9, 6), "height"),
        (lambda: vl.flow.apparent_displacement(np.ones(2), 0.0), "wavelength"),
        (lambda: vl.flow.warp(np.ones((4, 4, 3, 1)), np.ones((4, 4, 2))), "image"),
        (lambda: vl.flow.warp(np.ones((4, 5)), np.ones((5, 4, 2))), "flow"),
        (lambda: vl.flow.dense(np.ones((4, 4)), np.ones((4, 4)), quality="best"), "quality"),
        (lambda: vl.flow.endpoint_error(np.ones((2, 2)), np.ones((2, 2)), np.ones(2)), "valid"),
        (lambda: vl.flow.correlation_volume(np.ones((1, 2, 2)), np.ones((1, 2, 2)), -1), "max_displacement"),
    ],
)
def test_impossible_values_are_refused_by_name(call, name):
    with pytest.raises((TypeError, ValueError), match=name):
        call()


def test_the_message_for_8_bit_images_says_how_to_convert():
    with pytest.raises(TypeError, match=r"I0: expected floating-point values, got uint8; convert with I0 / 255\.0"):
        vl.flow.spatiotemporal_gradients(np.zeros((4, 4), np.uint8), np.zeros((4, 4), np.uint8))
