"""Every backward pass against numerical differentiation, and against PyTorch's autograd."""

from __future__ import annotations

import functools

import numpy as np
import pytest

from vidlearn import layers

RNG = np.random.default_rng(0)
STEP = 1e-6


def normal(*shape):
    return RNG.normal(size=shape)


def apart(*shape):
    """Values at least 0.1 from one another and from 0: no largest value changes within the step of a difference."""
    count = int(np.prod(shape))
    return (0.1 * RNG.permutation(np.arange(1, count + 1)) - 0.05 * count + 0.025).reshape(shape)


def convolution(name, x, w, **geometry):
    """A row for a convolution with a bias, whose gradient needs no bias."""
    return name, {"x": x, "w": w, "b": normal(len(w))}, geometry, ("x", "w"), ("x", "w", "b")


def pool(name, x, **geometry):
    return name, {"x": x}, geometry, ("x",), ("x",)


#: (operation, arrays, other arguments, the arrays that the backward pass takes, those whose gradients it gives)
ROWS = [
    convolution("conv1d", normal(2, 3, 7), normal(4, 3, 3)),
    convolution("conv1d", normal(2, 4, 9), normal(6, 2, 3), stride=2, padding=2, dilation=2, groups=2),
    convolution("conv2d", normal(2, 2, 4, 5), normal(3, 2, 3, 2)),
    convolution("conv2d", normal(1, 4, 6, 5), normal(4, 1, 2, 3), stride=(2, 1), padding=(1, 2), dilation=(2, 1), groups=4),
    convolution("conv3d", normal(2, 2, 3, 4, 3), normal(3, 2, 2, 3, 2), padding=1),
    convolution(
        "conv3d", normal(1, 4, 4, 3, 5), normal(2, 2, 2, 1, 3), stride=(1, 2, 3), padding=(0, 1, 2), dilation=(2, 1, 2), groups=2
    ),
    pool("max_pool3d", apart(2, 2, 4, 3, 5), kernel=(2, 1, 2)),
    pool("max_pool3d", apart(1, 2, 3, 4, 3), kernel=3, stride=(1, 2, 1), padding=1),
    pool("avg_pool3d", normal(2, 2, 4, 3, 5), kernel=(2, 1, 2)),
    pool("avg_pool3d", normal(1, 2, 3, 4, 3), kernel=3, stride=(1, 2, 1), padding=1),
    ("relu", {"x": apart(2, 3, 4)}, {}, ("x",), ("x",)),
    ("batch_norm_train", {"x": normal(3, 2, 4), "gamma": normal(2), "beta": normal(2)}, {}, ("x", "gamma"), ("x", "gamma", "beta")),
    ("linear", {"x": normal(2, 3, 4), "w": normal(5, 4), "b": normal(5)}, {}, ("x", "w"), ("x", "w", "b")),
    (
        "lstm_cell",
        {"x": normal(2, 3), "h": normal(2, 2), "c": normal(2, 2), "Wx": normal(8, 3), "Wh": normal(8, 2), "b": normal(8)},
        {}, ("x", "h", "c", "Wx", "Wh", "b"), ("x", "h", "c", "Wx", "Wh", "b"),
    ),
    (
        "conv_gru_cell",
        {"x": normal(2, 2, 3, 4), "h": normal(2, 1, 3, 4), "Wx": normal(3, 2, 3, 3), "Wh": normal(3, 1, 3, 3), "b": normal(3)},
        {}, ("x", "h", "Wx", "Wh", "b"), ("x", "h", "Wx", "Wh", "b"),
    ),
    ("cross_entropy", {"logits": normal(3, 4), "labels": np.array([0, 3, 1])}, {}, ("logits", "labels"), ("logits",)),
]  # fmt: skip

rows = pytest.mark.parametrize(
    ("name", "arrays", "other", "taken", "given"),
    [pytest.param(*row, id=f"{row[0]}-{i}") for i, row in enumerate(ROWS)],
)


def first(answer):
    """Of several answers (an LSTM's h and c, a norm's statistics), those that a loss may be made of."""
    return answer if isinstance(answer, tuple) else (answer,)


def loss(name, errors, arrays, other):
    """⟨errors, answers⟩, whose gradient by the answers is `errors`; the answer itself where it is the loss."""
    answers = first(getattr(layers, name)(**arrays, **other))
    if not errors:
        return float(answers[0])
    answers = answers[: len(errors)]
    return sum(float((e * a).sum()) for e, a in zip(errors, answers, strict=True))


def backward(name, errors, arrays, other, taken):
    operation = getattr(layers, f"{name}_backward")
    return first(operation(*errors, *(arrays[n] for n in taken), **other))


def errors_for(name, arrays, other):
    """A random gradient for each answer that the backward pass takes one of: none if the answer is a loss."""
    parameters = list(getattr(layers, f"{name}_backward").signature.python.parameters)
    count = sum(p in ("dy", "dh", "dc") for p in parameters)
    answers = first(getattr(layers, name)(**arrays, **other))
    return [np.random.default_rng(1).normal(size=a.shape) for a in answers[:count]]


@rows
def test_backward_is_the_derivative_of_forward(name, arrays, other, taken, given):
    errors = errors_for(name, arrays, other)
    gradients = backward(name, errors, arrays, other, taken)
    assert len(gradients) == len(given)
    for argument, gradient in zip(given, gradients, strict=True):
        numeric = np.zeros_like(arrays[argument])
        for place in np.ndindex(*numeric.shape):
            ends = []
            for step in (STEP, -STEP):
                moved = arrays[argument].copy()
                moved[place] += step
                ends.append(loss(name, errors, {**arrays, argument: moved}, other))
            numeric[place] = (ends[0] - ends[1]) / (2 * STEP)
        # central differences in float64: h² from the series and eps/h from rounding, each about 1e-9 here
        np.testing.assert_allclose(gradient, numeric, rtol=1e-6, atol=1e-6, err_msg=f"d{argument}")


@rows
def test_backward_agrees_with_autograd(name, arrays, other, taken, given):
    torch = pytest.importorskip(
        "torch", reason="not run, because torch is not installed: pip install 'vidlearn[torch]'"
    )
    errors = errors_for(name, arrays, other)
    leaves = {n: torch.tensor(v, requires_grad=v.dtype.kind == "f") for n, v in arrays.items()}
    answers = first(getattr(layers, name)(**leaves, **other))[: max(1, len(errors))]
    torch.autograd.backward(answers, [torch.tensor(e) for e in errors] or None)
    detached = {n: v.detach() for n, v in leaves.items()}
    on_torch = backward(name, [torch.tensor(e) for e in errors], detached, other, taken)
    by_reference = backward(name, errors, arrays, other, taken)
    for argument, ours, fast in zip(given, by_reference, on_torch, strict=True):
        theirs = leaves[argument].grad.numpy()
        np.testing.assert_allclose(ours, theirs, rtol=1e-12, atol=1e-12, err_msg=f"d{argument}")
        np.testing.assert_allclose(fast, theirs, rtol=1e-12, atol=1e-12, err_msg=f"d{argument} on torch")


def test_every_backward_pass_is_in_the_table():
    written = {n.removesuffix("_backward") for n in vars(layers) if n.endswith("_backward")}
    assert {row[0] for row in ROWS} == written


# ------------------------------------------------------------------ at the size of a lecture


@functools.cache
def clip_and_filters():
    rng = np.random.default_rng(2)
    clip, filters = rng.normal(size=(1, 3, 16, 112, 112)), rng.normal(size=(64, 3, 3, 3, 3))
    return clip.astype(np.float32), filters.astype(np.float32), rng.normal(size=64).astype(np.float32)


def test_the_first_layer_of_c3d_is_as_torch_computes_it():
    torch = pytest.importorskip(
        "torch", reason="not run, because torch is not installed: pip install 'vidlearn[torch]'"
    )
    x, w, b = clip_and_filters()
    want = torch.nn.functional.conv3d(*map(torch.from_numpy, (x, w, b)), padding=1)
    got = layers.conv3d(x, w, b, padding=1)
    assert got.shape == (1, 64, 16, 112, 112) and got.dtype == np.float32
    # 82 float32 roundings on sums of at most a few dozen
    np.testing.assert_allclose(got, want.numpy(), rtol=1e-4, atol=1e-4)


def test_a_constant_clip_through_ones_counts_the_taps_inside():
    """3 channels × 27 taps; in a corner of the clip only 2 × 2 × 2 of the taps are inside."""
    y = layers.conv3d(np.ones((1, 3, 5, 5, 5)), np.ones((1, 3, 3, 3, 3)), padding=1)
    assert y[0, 0, 2, 2, 2] == 81 and y[0, 0, 0, 0, 0] == 24
