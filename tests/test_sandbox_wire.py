"""The wire between grader and worker: what goes in comes out, and no bytes at all can do more than raise WireError."""

import contextlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from vidlearn.sandbox import wire

scalars = (
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False) | st.text(max_size=50)
)
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.lists(inner, max_size=4).map(tuple), max_leaves=20
)
dtypes = st.sampled_from([np.dtype(d) for d in wire.DTYPES])
shapes = hnp.array_shapes(min_dims=0, max_dims=5, min_side=0, max_side=4)


@given(st.lists(values, max_size=4))
def test_plain_values_return_as_they_went(items):
    back = wire.decode(wire.encode(*items))
    assert back == items
    assert repr(back) == repr(items)  # True is not 1, and a tuple is not a list


@given(dtypes.flatmap(lambda d: hnp.arrays(d, shapes)))
def test_an_array_returns_bit_for_bit(array):
    (back,) = wire.decode(wire.encode(array))
    assert type(back) is np.ndarray and back.dtype == array.dtype and back.shape == array.shape
    assert back.tobytes() == array.tobytes()


@given(dtypes.flatmap(lambda d: hnp.arrays(d, shapes)), st.sampled_from(["C", "F", "gaps", "read-only"]))
def test_layout_and_read_only_mark_reach_the_student(array, kind):
    if kind == "F":
        array = np.asfortranarray(array)
    elif kind == "gaps":
        array = np.repeat(array, 2, axis=-1)[..., ::2] if array.ndim else array
    elif kind == "read-only":
        array.flags.writeable = False
    (back,) = wire.decode(wire.encode(array), layout=True)
    assert back.tobytes() == array.tobytes()
    for flag in ("c_contiguous", "f_contiguous", "writeable"):
        if array.size:
            assert back.flags[flag.upper()] == array.flags[flag.upper()]


def test_big_endian_arrays_arrive_as_the_same_numbers():
    array = np.arange(6, dtype=">f8").reshape(2, 3)
    np.testing.assert_array_equal(wire.decode(wire.encode(array))[0], array)


def test_a_numpy_scalar_stays_a_numpy_scalar():
    (back,) = wire.decode(wire.encode(np.float32(0.5)))
    assert type(back) is np.float32 and back == 0.5


class AlwaysEqual:
    def __eq__(self, other):
        return True


class Subclass(np.ndarray):
    pass


@pytest.mark.parametrize(
    "value",
    [
        AlwaysEqual(),
        np.array([AlwaysEqual()]),
        2**70,
        {"a": 1},
        np.zeros(2).view(Subclass),
        np.zeros(3, "U4"),
        [0] * 5000,
    ],
    ids=["object", "object array", "huge integer", "dict", "ndarray subclass", "text array", "long list"],
)
def test_what_cannot_travel_is_refused(value):
    with pytest.raises(wire.WireError):
        wire.encode(value)


@given(st.binary(max_size=400))
def test_arbitrary_bytes_only_ever_raise_wire_error(raw):
    for read in (lambda: wire.decode(raw), lambda: wire.decode(raw, layout=True), lambda: wire.open_header(raw)):
        with contextlib.suppress(wire.WireError):
            read()


@given(st.lists(values, min_size=1, max_size=3), hnp.arrays("<f8", (2, 3)), st.data())
def test_a_damaged_frame_only_ever_raises_wire_error(items, array, data):
    raw = bytearray(wire.encode(*items, array))
    at = data.draw(st.integers(0, len(raw) - 1))
    raw[at] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(raw)))
    with contextlib.suppress(wire.WireError):
        wire.decode(bytes(raw[:cut]))


def test_sizes_are_bounded_before_anything_is_read():
    with pytest.raises(wire.WireError, match="at most"):
        wire.open_header(wire.header(1, 0, 1 << 60))
    claim = bytes([9, 11, 1, 2]) + (1 << 40).to_bytes(8, "little") * 2  # an array of 2^83 bytes, with none behind it
    with pytest.raises(wire.WireError, match="too large"):
        wire.decode(claim)
    with pytest.raises(wire.WireError, match="too many"):
        wire.decode(bytes([7]) + (1 << 31).to_bytes(4, "little"))


def test_a_bool_is_true_or_false():
    raw = wire.encode(np.array([True, False]))
    assert wire.decode(raw)[0].tolist() == [True, False]
    with pytest.raises(wire.WireError, match="neither true nor false"):
        wire.decode(raw[:-1] + b"\x02")


def test_a_scalar_has_no_axes():
    array = bytearray(wire.encode(np.zeros(2)))
    scalar = wire.encode(np.float64(0))
    array[0] = scalar[0]
    with pytest.raises(wire.WireError, match="not an array of ours"):
        wire.decode(bytes(array))


def test_a_foreign_value_is_no_array_and_equals_nothing_else():
    (back,) = wire.decode(wire.encode(wire.Foreign.of("AlwaysEqual")))
    assert type(back).__name__ == "AlwaysEqual" and back != np.zeros(1) and not hasattr(back, "__array__")
