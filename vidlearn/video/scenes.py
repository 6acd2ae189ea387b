"""Pairs of frames whose flow is known exactly: by construction, not by warping.

Each scene begins with the second frame as a *function* of the plane, f(x, y), and a flow (u, v) on the first frame's
grid. Then

    I1(x, y) = f(x, y)    and    I0(x, y) = f(x + u, y + v)

so that I1(x + u, y + v) = I0(x, y) holds to the last bit of the arithmetic, at any sub-pixel displacement. No image
is resampled from another one; f is a formula, or a photograph made into a smooth function (blurred, and
interpolated by cubics), which is then sampled twice.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np

__all__ = [
    "Scene",
    "affine",
    "aliased_stripes",
    "barber_pole",
    "flat_patch",
    "moving_corner",
    "moving_edge",
    "projective",
    "rotation3d",
    "scene_from_flow",
    "translation",
]

Surface = Callable[[np.ndarray, np.ndarray], np.ndarray]

LIGHT, DARK = np.array([0.95, 0.85, 0.55]), np.array([0.10, 0.15, 0.35])  # the two colours of an RGB pattern


@dataclass(frozen=True, eq=False)
class Scene:
    """Two frames and the truth about their motion.

    Attributes
    ----------
    I0, I1 : numpy.ndarray
        (H, W) or (H, W, 3), float64 in [0, 1].
    flow : numpy.ndarray
        (H, W, 2), (u, v) in pixels per frame: I1(x + u, y + v) = I0(x, y).
    valid : numpy.ndarray
        (H, W) bool: the pixel is still seen in I1, and its flow is known.
    name : str
    second : callable or None
        I1 as a function of the plane, ``second(x, y)``, where there is one.
    """

    I0: np.ndarray
    I1: np.ndarray
    flow: np.ndarray
    valid: np.ndarray
    name: str
    second: Surface | None = field(default=None, repr=False)


def scene_from_flow(
    flow: np.ndarray,
    image: np.ndarray | None = None,
    *,
    scale: float = 2.0,
    seed: int = 0,
    name: str = "scene",
) -> Scene:
    """Build the pair of frames that moves by a given flow, whatever it is.

    Parameters
    ----------
    flow
        (H, W, 2), floating point, (u, v) in pixels per frame. It sets the size of the frames.
    image
        What is seen: a photograph (H', W') or (H', W', 3), float in [0, 1], mirrored beyond its border. By default a
        smooth grey texture drawn from `seed`: a sum of sine waves, so exact with no interpolation at all.
    scale
        Pixels of `image` per pixel of the frames. At 2 or more the frames are nearly free of aliasing; at 1 they keep
        the photograph's noise.
    seed
        Draws the texture when `image` is None.
    name
        The scene's name.

    Returns
    -------
    Scene

    Raises
    ------
    ValueError, TypeError
        If an argument has another shape, type or range.

    Examples
    --------
    >>> import numpy as np
    >>> swirl = np.stack(np.meshgrid(np.linspace(-1, 1, 48), np.linspace(-1, 1, 32)), -1)[..., ::-1] * [1, -1]
    >>> scene = scene_from_flow(swirl)
    >>> scene.I0.shape, scene.I1.shape
    ((32, 48), (32, 48))
    """
    flow = np.asarray(flow)
    if flow.ndim != 3 or flow.shape[2] != 2 or 0 in flow.shape:
        raise ValueError(f"flow must have shape (H, W, 2), got {flow.shape}")
    if not np.issubdtype(flow.dtype, np.floating) or not np.isfinite(flow).all():
        raise ValueError(f"flow must be finite and floating point, got {flow.dtype}; e.g. flow.astype(float)")
    surface = Texture(seed) if image is None else Photograph(image, scale, flow.shape[:2])
    return _scene(surface, flow.astype(np.float64), name)


def translation(
    image: np.ndarray | None = None,
    displacement: tuple[float, float] = (1.5, -0.75),
    *,
    size: tuple[int, int] | None = None,
    scale: float = 2.0,
    seed: int = 0,
) -> Scene:
    """A plane that slides: the same (u, v) everywhere.

    Parameters
    ----------
    image, scale, seed
        What is seen; see `scene_from_flow`.
    displacement
        (u, v) in pixels per frame; sub-pixel and large ones alike.
    size
        (height, width) of the frames; by default what the whole image gives at `scale`, or (96, 128).

    Returns
    -------
    Scene

    Notes
    -----
    L9 · Motion models.

    Examples
    --------
    >>> scene = translation(displacement=(3, 0), size=(16, 24))
    >>> bool(abs(scene.I1[:, 3:] - scene.I0[:, :-3]).max() < 1e-12)
    True
    """
    return _polynomial(image, _numbers("displacement", displacement, 2), size, scale, seed, "translation")


def affine(
    image: np.ndarray | None = None,
    parameters: Sequence[float] = (0.5, 0.02, -0.03, -0.25, 0.03, 0.01),
    *,
    size: tuple[int, int] | None = None,
    scale: float = 2.0,
    seed: int = 0,
) -> Scene:
    """A plane that slides, turns, stretches and shears: u = a1 + a2 x + a3 y, v = a4 + a5 x + a6 y.

    `parameters` are a1 … a6, with x to the right and y down, in pixels from the image's center. The rest as in
    `translation`.

    Examples
    --------
    >>> scene = affine(parameters=(0, 0.1, 0, 0, 0, 0.1), size=(5, 5))  # growing by a tenth
    >>> [round(float(u), 6) for u in scene.flow[2, :, 0]]
    [-0.2, -0.1, 0.0, 0.1, 0.2]
    """
    return _polynomial(image, _numbers("parameters", parameters, 6), size, scale, seed, "affine")


def projective(
    image: np.ndarray | None = None,
    parameters: Sequence[float] = (0.5, 0.02, -0.03, -0.25, 0.03, 0.01, 2e-4, -1e-4),
    *,
    size: tuple[int, int] | None = None,
    scale: float = 2.0,
    seed: int = 0,
) -> Scene:
    """A plane in perspective, the eight-parameter model: `affine` and u += a7 x² + a8 x y, v += a7 x y + a8 y².

    `parameters` are a1 … a8, as in `affine`; this is the instantaneous motion of a rigid plane, quadratic in x and y.

    Examples
    --------
    >>> projective(size=(16, 24)).flow.shape
    (16, 24, 2)
    """
    return _polynomial(image, _numbers("parameters", parameters, 8), size, scale, seed, "projective")


def rotation3d(
    image: np.ndarray | None = None,
    rotation: tuple[float, float, float] = (0.01, -0.02, 0.03),
    *,
    focal: float | None = None,
    size: tuple[int, int] | None = None,
    scale: float = 2.0,
    seed: int = 0,
) -> Scene:
    """A camera that turns on the spot: the flow knows nothing of depth.

    The exact finite rotation: a viewing ray (x, y, f) is turned by −`rotation` and projected again. To first order
    u = ωx xy/f − ωy (f + x²/f) + ωz y,  v = ωx (f + y²/f) − ωy xy/f − ωz x.

    Parameters
    ----------
    rotation
        (ωx, ωy, ωz), the camera's turn about its right, down and forward axes, in radians per frame.
    focal
        Focal length in pixels; by default the longer side of the frames.
    image, size, scale, seed
        As in `translation`.

    Raises
    ------
    ValueError
        If the turn takes a pixel's ray behind the camera.

    Examples
    --------
    >>> scene = rotation3d(rotation=(0, 0.01, 0), size=(5, 5), focal=100)  # it pans right: the picture goes left
    >>> [round(float(c), 3) + 0.0 for c in scene.flow[2, 2]]
    [-1.0, 0.0]
    """
    omega = _numbers("rotation", rotation, 3)
    size = _size(size, image, scale)
    x, y = _centered(size)
    f = float(max(size) if focal is None else focal)
    if not 0 < f < np.inf:
        raise ValueError(f"focal must be a length in pixels above 0, got {focal!r}")
    ray = np.stack([x, y, np.full_like(x, f)], axis=-1) @ _rotation(-omega).T
    if (ray[..., 2] <= 0).any():
        raise ValueError(f"rotation {rotation!r} turns part of the picture behind the camera; use smaller angles")
    flow = f * ray[..., :2] / ray[..., 2:] - np.stack([x, y], axis=-1)
    return scene_from_flow(flow, image, scale=scale, seed=seed, name="rotation3d")


def moving_edge(
    velocity: tuple[float, float] = (1.0, 0.5),
    *,
    angle: float = 0.0,
    softness: float = 1.5,
    size: tuple[int, int] = (64, 64),
    rgb: bool = False,
) -> Scene:
    """One straight edge, moving: of its motion only the part across the edge can be seen (the aperture problem).

    Parameters
    ----------
    velocity
        (u, v) in pixels per frame.
    angle
        Direction of the brightness gradient, in degrees from the x axis toward the y axis: 0 is an upright edge.
    softness
        Half-width of the edge, in pixels: brightness is (1 + tanh(d / softness)) / 2 at distance d.
    size
        (height, width).
    rgb
        Paint it in two colours instead of grey. That adds no gradient direction.

    Notes
    -----
    L9 · Aperture problem. `flow` is the true motion; what a local method can find is its part along the gradient.

    Examples
    --------
    >>> moving_edge(size=(8, 8)).I0[0].round(2)
    array([0.01, 0.03, 0.12, 0.34, 0.66, 0.88, 0.97, 0.99])
    """
    surface = partial(_edge, angle=np.deg2rad(angle), softness=_positive("softness", softness))
    return _pattern(surface, velocity, size, rgb, "moving_edge")


def moving_corner(
    velocity: tuple[float, float] = (1.0, 0.5),
    *,
    angle: float = 0.0,
    softness: float = 1.5,
    size: tuple[int, int] = (64, 64),
    rgb: bool = False,
) -> Scene:
    """Two edges that cross: at the corner the whole motion can be seen. Arguments as in `moving_edge`.

    Examples
    --------
    >>> scene = moving_corner(size=(8, 8))
    >>> bool(scene.I0[-1, -1] > 0.9), bool(scene.I0[0, -1] < 0.1)
    (True, True)
    """
    surface = partial(_corner, angle=np.deg2rad(angle), softness=_positive("softness", softness))
    return _pattern(surface, velocity, size, rgb, "moving_corner")


def flat_patch(
    velocity: tuple[float, float] = (1.0, 0.5),
    *,
    level: float = 0.5,
    size: tuple[int, int] = (64, 64),
    rgb: bool = False,
) -> Scene:
    """Nothing to see: one brightness everywhere, moving all the same. No method can find its flow.

    `level` is the brightness, in [0, 1]; the other arguments as in `moving_edge`.

    Examples
    --------
    >>> scene = flat_patch(size=(4, 4))
    >>> bool((scene.I0 == scene.I1).all()), scene.flow[0, 0]
    (True, array([1. , 0.5]))
    """
    if not 0 <= level <= 1:
        raise ValueError(f"level must lie in [0, 1], got {level!r}")
    return _pattern(partial(_flat, level=float(level)), velocity, size, rgb, "flat_patch")


def aliased_stripes(
    displacement: float = 6.0,
    *,
    wavelength: float = 8.0,
    angle: float = 0.0,
    size: tuple[int, int] = (64, 64),
    rgb: bool = False,
) -> Scene:
    """Stripes that move by more than half their wavelength, and so seem to run backwards (the wagon wheel).

    Parameters
    ----------
    displacement
        Pixels per frame across the stripes. What is seen is the displacement wrapped to (−λ/2, λ/2]: 6 of 8 looks
        like −2.
    wavelength
        λ in pixels.
    angle, size, rgb
        As in `moving_edge`.

    Notes
    -----
    L9 · Temporal aliasing. `flow` is the true motion.

    Examples
    --------
    >>> forth, back = aliased_stripes(6, wavelength=8), aliased_stripes(-2, wavelength=8)
    >>> bool(abs(forth.I1 - back.I1).max() < 1e-12)
    True
    """
    radians = np.deg2rad(angle)
    surface = partial(_stripes, angle=radians, wavelength=_positive("wavelength", wavelength))
    distance = _numbers("displacement", [displacement], 1)[0]
    velocity = (distance * np.cos(radians), distance * np.sin(radians))
    return _pattern(surface, velocity, size, rgb, "aliased_stripes")


def barber_pole(
    speed: float = 1.0,
    *,
    wavelength: float = 12.0,
    angle: float = 45.0,
    width: int = 24,
    size: tuple[int, int] = (96, 64),
    rgb: bool = False,
) -> Scene:
    """A striped pole that turns: everything on it moves sideways, yet the stripes seem to climb.

    The pole is unrolled: a window `width` pixels wide, in which slanted stripes move by (`speed`, 0), on a grey ground
    at rest. Inside the window the normal flow is slanted, and along its sides the stripes' ends move straight up or
    down.

    Parameters
    ----------
    speed
        Pixels per frame to the right.
    wavelength
        Distance between stripes, across them, in pixels.
    angle
        Direction across the stripes, in degrees from the x axis toward the y axis.
    width
        Of the pole, in pixels.
    size, rgb
        As in `moving_edge`.

    Notes
    -----
    L9 · Aperture problem. `flow` is the true motion: (speed, 0) on the pole, 0 beside it. `valid` is false where the
    stripes pass under the pole's side.

    Examples
    --------
    >>> scene = barber_pole(2.0)
    >>> scene.flow[48, 32], scene.flow[48, 2]
    (array([2., 0.]), array([0., 0.]))
    """
    size = _size(size, None, 1)
    if isinstance(width, bool) or not isinstance(width, int | np.integer) or not 0 < width <= size[1]:
        raise ValueError(f"width must be a whole number of pixels from 1 to the frame's width {size[1]}, got {width!r}")
    speed = _numbers("speed", [speed], 1)[0]
    stripes = partial(_stripes, angle=np.deg2rad(angle), wavelength=_positive("wavelength", wavelength))
    x, y = _centered(size)
    left = (size[1] - width) // 2
    pole = np.zeros(size, bool)
    pole[:, left : left + width] = True

    def frame(time: float) -> np.ndarray:
        return _painted(np.where(pole, stripes(x - time * speed, y), 0.5), rgb)

    flow = np.zeros((*size, 2))
    flow[pole, 0] = speed
    column = np.arange(size[1]) + flow[..., 0]
    valid = ~pole | ((column >= left) & (column <= left + width - 1))
    return Scene(frame(0), frame(1), flow, valid, "barber_pole")


# What can be seen, as functions of the plane. x, y count pixels of the frames, from their center.


class Texture:
    """A smooth grey texture in [0, 1]: sine waves of random direction and phase, each longer than 6 pixels."""

    def __init__(self, seed: int, waves: int = 24, shortest: float = 6.0, longest: float = 40.0):
        rng = np.random.default_rng(seed)
        length = np.exp(rng.uniform(np.log(shortest), np.log(longest), waves))
        angle = rng.uniform(0, 2 * np.pi, waves)
        self.kx, self.ky = 2 * np.pi * np.cos(angle) / length, 2 * np.pi * np.sin(angle) / length
        self.phase = rng.uniform(0, 2 * np.pi, waves)
        amplitude = length**0.5  # as in nature: the longer, the stronger
        self.amplitude = amplitude / amplitude.sum()

    def __call__(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        total = np.zeros(np.broadcast_shapes(np.shape(x), np.shape(y)))
        for kx, ky, phase, amplitude in zip(self.kx, self.ky, self.phase, self.amplitude, strict=True):
            total += amplitude * np.sin(kx * x + ky * y + phase)
        # The waves seldom agree: their sum stays near 0, so tanh spreads it over [0, 1] and keeps it smooth.
        return 0.5 + 0.5 * np.tanh(2.5 * total)


class Photograph:
    """A photograph as a smooth function: blurred to what the frames' grid can hold, then cubic (Keys) interpolation."""

    def __init__(self, image: np.ndarray, scale: float, size: tuple[int, int]):
        image = _image(image)
        self.scale = _positive("scale", scale)
        self.image = _blurred(image, 0.7 * scale) if scale > 1 else image
        self.center = (image.shape[1] - 1) / 2, (image.shape[0] - 1) / 2

    def __call__(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        height, width = self.image.shape[:2]
        column, row = self.scale * x + self.center[0], self.scale * y + self.center[1]
        left, top = np.floor(column).astype(int), np.floor(row).astype(int)
        across, down = _keys(column - left), _keys(row - top)
        total = np.zeros((*np.shape(column), *self.image.shape[2:]))
        for j in range(4):
            for i in range(4):
                weight = down[j] * across[i]
                pixel = self.image[_mirrored(top + j - 1, height), _mirrored(left + i - 1, width)]
                total += (weight[..., None] if self.image.ndim == 3 else weight) * pixel
        # Cubics overshoot a little beside sharp edges. Cutting that off is part of f, so the truth stays exact.
        return np.clip(total, 0, 1)


def _edge(x, y, angle, softness):
    return 0.5 + 0.5 * np.tanh((x * np.cos(angle) + y * np.sin(angle)) / softness)


def _corner(x, y, angle, softness):
    return _edge(x, y, angle, softness) * _edge(x, y, angle + np.pi / 2, softness)


def _flat(x, y, level):
    return np.full(np.broadcast_shapes(np.shape(x), np.shape(y)), level)


def _stripes(x, y, angle, wavelength):
    return 0.5 + 0.5 * np.cos(2 * np.pi * (x * np.cos(angle) + y * np.sin(angle)) / wavelength)


# How a scene is put together.


def _scene(surface: Surface, flow: np.ndarray, name: str) -> Scene:
    height, width = flow.shape[:2]
    x, y = _centered((height, width))
    to_x, to_y = x + flow[..., 0], y + flow[..., 1]
    valid = (abs(to_x) <= (width - 1) / 2) & (abs(to_y) <= (height - 1) / 2)
    return Scene(surface(to_x, to_y), surface(x, y), flow, valid, name, partial(_from_corner, surface, (height, width)))


def _from_corner(surface: Surface, size: tuple[int, int], x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return surface(x - (size[1] - 1) / 2, y - (size[0] - 1) / 2)


def _pattern(pattern: Surface, velocity: Sequence[float], size: tuple[int, int], rgb: bool, name: str) -> Scene:
    u, v = _numbers("velocity", velocity, 2)
    flow = np.broadcast_to([u, v], (*_size(size, None, 1), 2)).copy()
    # f is the second frame: the pattern, moved once. I0 then shows it centered.
    return _scene(partial(_moved, pattern, u, v, rgb), flow, name)


def _moved(pattern, u, v, rgb, x, y):
    return _painted(pattern(x - u, y - v), rgb)


def _painted(brightness: np.ndarray, rgb: bool) -> np.ndarray:
    return DARK + brightness[..., None] * (LIGHT - DARK) if rgb else brightness


def _polynomial(image, parameters, size, scale, seed, name) -> Scene:
    size = _size(size, image, scale)
    x, y = _centered(size)
    a = np.zeros(8)
    if len(parameters) == 2:
        a[[0, 3]] = parameters
    else:
        a[: len(parameters)] = parameters
    bend = a[6] * x + a[7] * y
    flow = np.stack([a[0] + a[1] * x + a[2] * y + x * bend, a[3] + a[4] * x + a[5] * y + y * bend], axis=-1)
    return scene_from_flow(flow, image, scale=scale, seed=seed, name=name)


def _centered(size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    height, width = size
    x, y = np.meshgrid(np.arange(width) - (width - 1) / 2, np.arange(height) - (height - 1) / 2)
    return x, y


def _rotation(omega: np.ndarray) -> np.ndarray:
    """Rodrigues: the matrix that turns about `omega` by its length."""
    angle = np.linalg.norm(omega)
    if angle == 0:
        return np.eye(3)
    a, b, c = omega / angle
    cross = np.array([[0, -c, b], [c, 0, -a], [-b, a, 0]])
    return np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross


def _blurred(image: np.ndarray, sigma: float) -> np.ndarray:
    """Gaussian blur, the image mirrored at its border."""
    radius = int(np.ceil(4 * sigma))
    taps = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
    taps /= taps.sum()
    for axis in (0, 1):
        n = image.shape[axis]
        shifted = (np.take(image, _mirrored(np.arange(n) + k - radius, n), axis=axis) for k in range(len(taps)))
        image = sum(tap * pixels for tap, pixels in zip(taps, shifted, strict=True))
    return image


def _mirrored(index: np.ndarray, n: int) -> np.ndarray:
    """… 2 1 0 1 2 … n−2 n−1 n−2 …"""
    if n == 1:
        return np.zeros_like(index)
    index = np.abs(index) % (2 * n - 2)
    return np.minimum(index, 2 * n - 2 - index)


def _keys(t: np.ndarray) -> list[np.ndarray]:
    """The four weights of cubic convolution at t in [0, 1) (R. Keys, 1981)."""
    return [
        ((-t + 2) * t - 1) * t / 2,
        ((3 * t - 5) * t * t + 2) / 2,
        ((-3 * t + 4) * t + 1) * t / 2,
        (t - 1) * t * t / 2,
    ]


# What is asked, checked.


def _numbers(name: str, values: Sequence[float], count: int) -> np.ndarray:
    array = np.asarray(values)
    if array.shape != (count,) or not np.issubdtype(array.dtype, np.number) or np.iscomplexobj(array):
        raise ValueError(f"{name} must be {count} number{'s' * (count > 1)}, got {values!r}")
    if not np.isfinite(array).all():
        raise ValueError(f"{name} must be finite, got {values!r}")
    return array.astype(np.float64)


def _positive(name: str, value: float) -> float:
    if not np.isscalar(value) or isinstance(value, str) or not 0 < value < np.inf:
        raise ValueError(f"{name} must be a number above 0, got {value!r}")
    return float(value)


def _image(image: np.ndarray) -> np.ndarray:
    image = np.asarray(image)
    if not (image.ndim == 2 or (image.ndim == 3 and image.shape[2] == 3)) or 0 in image.shape:
        raise ValueError(f"image must have shape (H, W) or (H, W, 3), got {image.shape}")
    if not np.issubdtype(image.dtype, np.floating):
        raise TypeError(f"image must be floating point in [0, 1], got {image.dtype}; convert uint8 with image / 255")
    if not (np.isfinite(image).all() and image.min() >= 0 and image.max() <= 1):
        raise ValueError(f"image must lie in [0, 1], got {image.min():.3g} … {image.max():.3g}")
    return image.astype(np.float64)


def _size(size: tuple[int, int] | None, image: np.ndarray | None, scale: float) -> tuple[int, int]:
    if size is None:
        if image is None:
            return 96, 128
        height, width = _image(image).shape[:2]
        scale = _positive("scale", scale)
        return max(1, round(height / scale)), max(1, round(width / scale))
    pair = np.asarray(size)
    if pair.shape != (2,) or not np.issubdtype(pair.dtype, np.integer) or (pair < 1).any():
        raise ValueError(f"size must be (height, width), whole numbers of pixels from 1 up, got {size!r}")
    return int(pair[0]), int(pair[1])
