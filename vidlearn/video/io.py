"""Films in and out, one frame at a time.

``frames`` is the one way in: a film (PyAV, else OpenCV), a folder of images, or an array of frames in a
``.npz`` or ``.npy`` file, all as ``(H, W, 3)`` uint8 RGB. At no time is more than one frame held.

**Damaged films.** What can be decoded is always yielded. Then a `VideoWarning` says how many frames were read and why
no more came; with ``damaged="raise"`` a `VideoError` says so instead. A film of which nothing can be decoded is
always an error. Frame counts in containers are claims, not counts: a film that ends a frame or two short of its claim
is whole; one that ends far short of it (by more than 10 % and more than two frames) is damaged.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import re
import warnings
import zipfile
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import IO, Any

import numpy as np

from .files import VideoError, VideoWarning, existing_file, missing_package, replacing

__all__ = ["Info", "frames", "info", "read", "write"]

BACKENDS = ("pyav", "opencv")
IMAGES = {".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp", ".ppm", ".pgm"}
ARRAYS = {".npz", ".npy"}
KIND = "a film, a folder of images, or an .npz file of frames"

# A source yields one thunk a frame: skipping a frame then costs its decoding, but not its conversion to RGB.
Source = Generator[Callable[[], np.ndarray], None, None]


class _Damage(Exception):
    """A source can go no further; what it yielded so far is good."""


@dataclass(frozen=True)
class Info:
    """What a container says about its film; only `frames_counted` is a fact.

    `height` and `width` are those of the frames as `frames` yields them, after `rotation` (degrees clockwise).
    `fps`, `frames_claimed` are None where nothing is claimed; `frames_counted` is None until asked for.
    """

    path: Path
    height: int
    width: int
    fps: float | None
    codec: str
    rotation: int
    frames_claimed: int | None
    frames_counted: int | None
    backend: str

    @property
    def size(self) -> tuple[int, int]:
        """(height, width), in pixels."""
        return self.height, self.width


def frames(
    path: str | os.PathLike,
    *,
    start: int = 0,
    stop: int | None = None,
    step: int = 1,
    backend: str | None = None,
    damaged: str = "warn",
) -> Iterator[np.ndarray]:
    """Iterate over a film's frames without ever holding the film.

    Parameters
    ----------
    path
        A film in any format FFmpeg reads; a folder of images, taken in natural order (2 before 10); or an
        ``.npz``/``.npy`` file with an array (T, H, W, 3) of uint8 (in an ``.npz``, the one named ``frames``, or the
        only one).
    start, stop, step
        Which frames, as in a slice, counted from the first decoded frame. Decoding always begins at the film's
        start: slower than seeking, and exact in every container.
    backend
        ``"pyav"`` or ``"opencv"``; by default the first of them that is installed.
    damaged
        ``"warn"`` or ``"raise"``: what to do after the last good frame of a damaged film.

    Yields
    ------
    numpy.ndarray
        (H, W, 3) uint8, RGB, turned upright where the film carries a rotation flag.

    Raises
    ------
    VideoError
        If the file is missing, empty, not a film, has no video stream, or has no decodable frame; if no decoder is
        installed.

    Examples
    --------
    >>> from vidlearn.video import clip_path, frames
    >>> [frame.shape for frame in frames(clip_path(), stop=5, step=2)]
    [(180, 320, 3), (180, 320, 3), (180, 320, 3)]
    """
    for name, value, least in (("start", start, 0), ("stop", stop, 0), ("step", step, 1)):
        if value is None and name == "stop":
            continue
        if not isinstance(value, int | np.integer) or isinstance(value, bool) or value < least:
            raise VideoError(f"{name} must be a whole number from {least} up, got {value!r}; frames are counted from 0")
    if damaged not in ("warn", "raise"):
        raise VideoError(f"damaged must be 'warn' or 'raise', got {damaged!r}")
    return _pick(Path(path), _source(path, backend), start, stop, step, damaged)


def _pick(path: Path, source: Source, start: int, stop: int | None, step: int, damaged: str) -> Iterator[np.ndarray]:
    if stop is not None and stop <= start:
        return
    decoded, shape = 0, ()
    with contextlib.closing(source):
        try:
            for index, picture in enumerate(source):
                decoded = index + 1
                if index >= start and (index - start) % step == 0:
                    frame = picture()
                    shape = shape or frame.shape
                    if frame.shape != shape:
                        raise VideoError(
                            f"{path}: frame {index} is {_size(frame.shape)}, the ones before it {_size(shape)} "
                            "(width x height); all frames of one clip need one size"
                        )
                    yield frame
                if decoded == stop:
                    return
            reason = "it holds none"
        except _Damage as damage:
            reason = str(damage)
            if decoded:
                message = f"{path}: {_frames(decoded)} read and kept, then no more: {reason}"
                if damaged == "raise":
                    raise VideoError(message) from damage.__cause__
                warnings.warn(message, VideoWarning, stacklevel=3)
    if not decoded:
        raise VideoError(f"{path}: not one frame could be read: {reason}")


def read(path: str | os.PathLike, **which) -> np.ndarray:
    """Read a film, or the part of it that ``start``, ``stop`` and ``step`` name, into one array.

    Takes the arguments of `frames`, which see. Mind the size: a minute of 1080p is 9 GB; `frames` holds one frame.

    Returns
    -------
    numpy.ndarray
        (T, H, W, 3) uint8, RGB.

    Raises
    ------
    VideoError
        As `frames` does, and if no frame is chosen.

    Examples
    --------
    >>> from vidlearn.video import clip_path, read
    >>> read(clip_path(), start=10, stop=14).shape
    (4, 180, 320, 3)
    """
    clip = list(frames(path, **which))
    if not clip:
        chosen = ", ".join(f"{name}={value}" for name, value in which.items() if name in ("start", "stop", "step"))
        raise VideoError(f"{path}: no frame lies in {chosen}; info(path, count=True) counts the frames there are")
    return np.stack(clip)


def info(path: str | os.PathLike, *, count: bool = False, backend: str | None = None) -> Info:
    """Say what a film is: size, frame rate, codec, rotation, and how many frames it claims.

    Parameters
    ----------
    path
        As in `frames`.
    count
        Decode the whole film to count its frames. Containers claim too many, too few, or none at all.

    Raises
    ------
    VideoError
        As `frames` does.

    Examples
    --------
    >>> from vidlearn.video import clip_path, info
    >>> city = info(clip_path(), count=True)
    >>> city.size, city.codec, city.fps, city.frames_claimed, city.frames_counted
    ((180, 320), 'h264', 12.5, 48, 48)
    """
    describe, used = _inspector(path, backend)
    facts = describe(Path(path))
    # The first frame as it will come, rotated: the container's width and height are those before rotation.
    height, width = next(frames(path, backend=backend)).shape[:2]
    counted = None
    if count:
        counted = _count(_source(path, backend))
    return Info(path=Path(path), height=height, width=width, frames_counted=counted, backend=used, **facts)


def _count(source: Source) -> int:
    """Count without converting: every frame is decoded, none becomes an array."""
    count = 0
    with contextlib.closing(source), contextlib.suppress(_Damage):
        for _ in source:
            count += 1
    return count


def write(
    path: str | os.PathLike,
    frames: Iterable[np.ndarray],
    fps: float = 25.0,
    *,
    codec: str | None = None,
    quality: int = 20,
) -> Path:
    """Write frames, from any iterable, as a film; the file appears under its name only when it is whole.

    Parameters
    ----------
    path
        The suffix picks the container: ``.mp4``, ``.mkv``, ``.mov``, ``.avi`` (H.264) or ``.webm`` (VP9).
    frames
        (H, W, 3) or grey (H, W), uint8, all of one size. A generator is consumed frame by frame.
    fps
        Frames per second.
    codec
        An FFmpeg encoder instead of the default one, e.g. ``"ffv1"`` (lossless, in ``.mkv``).
    quality
        The encoder's constant rate factor, 0 (best, largest) to 51.

    Returns
    -------
    Path
        The file written.

    Raises
    ------
    VideoError
        If there are no frames, a frame has another size or type, the container or codec is unknown, or PyAV is missing.

    Notes
    -----
    Chroma is stored at half resolution (4:2:0, what every player reads), so colours are not exact. 4:2:0 needs an even
    height and width; a film with an odd side is stored as 4:4:4 instead, and comes back in the size it had. (Some
    browsers refuse 4:4:4: for the web, crop to even sides.)

    Examples
    --------
    >>> import numpy as np, pathlib, tempfile
    >>> from vidlearn.video import read, write
    >>> folder = pathlib.Path(tempfile.mkdtemp())
    >>> film = write(folder / "grey.mp4", (np.full((31, 41), 8 * t, np.uint8) for t in range(5)), fps=10)
    >>> read(film).shape
    (5, 31, 41, 3)
    """
    av = _pyav()
    if av is None:
        raise missing_package("writing a film", "PyAV (av)")
    path = Path(path)
    if path.suffix.lower() not in (".mp4", ".mkv", ".mov", ".avi", ".webm"):
        raise VideoError(f"{path}: the suffix must be .mp4, .mkv, .mov, .avi or .webm, got {path.suffix!r}")
    if isinstance(fps, bool) or not isinstance(fps, int | float | Fraction | np.number) or not 0 < fps <= 10_000:
        raise VideoError(f"fps must be a number of frames per second above 0, got {fps!r}")
    rate = Fraction(float(fps)).limit_denominator(1001)  # containers want a fraction of small numbers
    codec = codec or ("libvpx-vp9" if path.suffix.lower() == ".webm" else "libx264")
    incoming = iter(frames)
    first = next(incoming, None)
    if first is None:
        raise VideoError(f"{path}: there is no frame to write; frames is empty")
    height, width = _checked(first, 0, None).shape[:2]
    chroma = "yuv420p" if height % 2 == 0 and width % 2 == 0 else "yuv444p"
    with replacing(path) as temporary:
        try:
            # The index goes to the front, so that a browser plays at once, and a copy that was cut off still begins.
            front = {"movflags": "faststart"} if path.suffix.lower() in (".mp4", ".mov") else {}
            with av.open(f"file:{temporary}", "w", options=front) as container:
                options = {"crf": str(quality)} | ({"b": "0"} if codec == "libvpx-vp9" else {})
                stream = container.add_stream(codec, rate=rate, options=options)
                stream.width, stream.height = width, height
                stream.pix_fmt = "bgr0" if codec == "ffv1" else chroma
                for index, frame in enumerate(itertools.chain([first], incoming)):
                    frame = _checked(frame, index, (height, width))
                    layout = "rgb24" if frame.ndim == 3 else "gray"
                    container.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format=layout)))
                container.mux(stream.encode())
        except (av.FFmpegError, av.codec.codec.UnknownCodecError) as error:
            raise VideoError(f"{path}: {codec} in {path.suffix} could not be written: {error}") from error
    return path


def _checked(frame: np.ndarray, index: int, size: tuple[int, int] | None) -> np.ndarray:
    shape: tuple[int, ...] = getattr(frame, "shape", ())
    dtype = getattr(frame, "dtype", None)
    if not isinstance(frame, np.ndarray) or not (frame.ndim == 2 or (frame.ndim == 3 and shape[2] == 3)) or 0 in shape:
        got = f"{type(frame).__name__} {shape or ''}".strip()
        raise VideoError(f"frame {index} must be a NumPy array (H, W, 3) or (H, W), got {got}")
    if dtype != np.uint8:
        raise VideoError(
            f"frame {index} must be uint8, got {dtype}; "
            "convert floats in [0, 1] with (255 * frame).round().astype(numpy.uint8)"
        )
    if size and shape[:2] != size:
        raise VideoError(f"frame {index} is {_size(shape)} (width x height), the first is {_size(size)}; give one size")
    return frame


def _size(shape: tuple[int, ...]) -> str:
    return f"{shape[1]}x{shape[0]}"


def _frames(count: int) -> str:
    return f"{count} frame" + "s" * (count != 1)


# Where the frames come from: each source is one generator of thunks, and one function that describes it.


def _source(path: str | os.PathLike, backend: str | None) -> Source:
    path = Path(path)
    if path.is_dir():
        return _from_folder(path, backend)
    existing_file(path, KIND)
    if path.suffix.lower() in ARRAYS:
        return _from_array(path)
    return (_from_pyav if _decoder(backend) == "pyav" else _from_opencv)(path)


def _inspector(path: str | os.PathLike, backend: str | None) -> tuple[Callable[[Path], dict], str]:
    path = Path(path)
    if path.is_dir():
        return _describe_folder, "folder"
    existing_file(path, KIND)
    if path.suffix.lower() in ARRAYS:
        return _describe_array, "numpy"
    name = _decoder(backend)
    return (_describe_pyav if name == "pyav" else _describe_opencv), name


def _pyav() -> Any:
    try:
        import av
    except ImportError:
        return None
    return av


def _opencv() -> Any:
    try:
        import cv2
    except ImportError:
        return None
    return cv2


def _decoder(backend: str | None) -> str:
    if backend not in (None, *BACKENDS):
        raise VideoError(f"backend must be None, 'pyav' or 'opencv', got {backend!r}")
    here = {"pyav": _pyav, "opencv": _opencv}
    for name in [backend] if backend else BACKENDS:
        if here[name]() is not None:
            return name
    needed = {"pyav": "PyAV (av)", "opencv": "OpenCV", None: "PyAV (av) or OpenCV"}
    raise missing_package("decoding a film", needed[backend])


def _ended_early(decoded: int, claimed: int | None) -> None:
    if claimed and claimed - decoded > max(2, 0.1 * claimed):
        raise _Damage(f"the film ends there, though it claims {_frames(claimed)}; it was probably cut off")


@contextlib.contextmanager
def _opened_by_pyav(path: Path) -> Iterator[tuple]:
    av = _pyav()
    try:
        container = av.open(f"file:{path}")  # "file:" so that no name is taken for a network address or a pattern
    except av.FFmpegError as error:
        raise VideoError(f"{path} is not a film, or its beginning or its index is missing: {error.strerror}") from error
    with container:
        pictures = av.stream.Disposition.attached_pic  # the cover of a song is no film
        stream = next((s for s in container.streams.video if not s.disposition & pictures), None)
        if stream is None:
            kinds = ", ".join(sorted({s.type for s in container.streams})) or "nothing"
            raise VideoError(f"{path} has no video stream; it holds {kinds}")
        stream.thread_type = "AUTO"
        yield container, stream


def _upright(image: np.ndarray, rotation: int) -> np.ndarray:
    """Turn by `rotation` degrees clockwise, a multiple of 90."""
    return np.ascontiguousarray(np.rot90(image, -rotation // 90)) if rotation else image


def _clockwise(frame) -> int:
    # FFmpeg's display matrix counts counter-clockwise. Cameras turn by quarters; any other angle is left alone.
    angle = -getattr(frame, "rotation", 0) % 360
    return angle if angle % 90 == 0 else 0


def _from_pyav(path: Path) -> Source:
    av = _pyav()
    with _opened_by_pyav(path) as (container, stream):
        decoded = 0
        try:
            for frame in container.decode(stream):
                decoded += 1
                yield partial(_rgb, frame)
        except av.FFmpegError as error:
            raise _Damage(error.strerror) from error
        _ended_early(decoded, stream.frames or _implied(stream))


def _implied(stream) -> int:
    """How many frames Matroska, which counts none, implies by the stream's duration; 0 where it gives none."""
    clock = re.fullmatch(r"(\d+):(\d+):(\d+(?:\.\d+)?)", stream.metadata.get("DURATION", ""))
    if not clock or not stream.average_rate:
        return 0
    hours, minutes, seconds = (float(part) for part in clock.groups())
    return round((3600 * hours + 60 * minutes + seconds) * stream.average_rate)


def _rgb(frame) -> np.ndarray:
    return _upright(frame.to_ndarray(format="rgb24"), _clockwise(frame))


def _describe_pyav(path: Path) -> dict:
    av = _pyav()
    with _opened_by_pyav(path) as (container, stream):
        try:
            rotation = next((_clockwise(frame) for frame in container.decode(stream)), 0)
        except av.FFmpegError:
            rotation = 0
        rate = stream.average_rate or stream.guessed_rate
        return {
            "fps": float(rate) if rate else None,
            "codec": stream.codec.canonical_name,
            "rotation": rotation,
            "frames_claimed": stream.frames or None,
        }


@contextlib.contextmanager
def _opened_by_opencv(path: Path) -> Iterator[tuple]:
    cv2 = _opencv()
    # "file:" and FFmpeg alone, for the reason given above. OpenCV turns frames upright by itself.
    capture = cv2.VideoCapture(f"file:{path}", cv2.CAP_FFMPEG)
    try:
        if not capture.isOpened():
            raise VideoError(f"{path} is not a film, has no video stream, or its beginning or its index is missing")
        yield cv2, capture
    finally:
        capture.release()


def _from_opencv(path: Path) -> Source:
    with _opened_by_opencv(path) as (cv2, capture):
        decoded, claimed = 0, int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
        while capture.grab():
            decoded += 1
            yield lambda: cv2.cvtColor(capture.retrieve()[1], cv2.COLOR_BGR2RGB)
        _ended_early(decoded, claimed)


def _describe_opencv(path: Path) -> dict:
    with _opened_by_opencv(path) as (cv2, capture):
        code, claimed = int(capture.get(cv2.CAP_PROP_FOURCC)), int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
        return {
            "fps": capture.get(cv2.CAP_PROP_FPS) or None,
            "codec": code.to_bytes(4, "little").decode("ascii", "replace").strip("\0 "),
            "rotation": int(capture.get(cv2.CAP_PROP_ORIENTATION_META)) % 360,
            "frames_claimed": claimed if claimed > 0 else None,
        }


def _images(folder: Path) -> list[Path]:
    def natural(path: Path) -> list:
        return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", path.name)]

    found = [p for p in folder.iterdir() if p.suffix.lower() in IMAGES and not p.name.startswith(".")]
    if not found:
        raise VideoError(f"{folder} holds no image; expected files ending in {', '.join(sorted(IMAGES))}")
    return sorted(found, key=natural)


def _from_folder(folder: Path, backend: str | None) -> Source:
    for image in _images(folder):  # an image is a film of one frame
        with contextlib.closing(_source(image, backend)) as source:
            try:
                yield from source
            except (_Damage, VideoError) as error:
                raise _Damage(f"{image.name}: {error}") from error


def _describe_folder(folder: Path) -> dict:
    images = _images(folder)
    return {"fps": None, "codec": images[0].suffix[1:].lower(), "rotation": 0, "frames_claimed": len(images)}


@contextlib.contextmanager
def _opened_array(path: Path) -> Iterator[tuple]:
    """Open the array's bytes as a stream, so that a film of any length is read frame by frame, even compressed."""
    with contextlib.ExitStack() as stack:
        try:
            if path.suffix.lower() == ".npy":
                stream: IO[bytes] = stack.enter_context(open(path, "rb"))
            else:
                archive = stack.enter_context(zipfile.ZipFile(path))
                names = archive.namelist()
                name = "frames.npy" if "frames.npy" in names else names[0] if len(names) == 1 else None
                if name is None:
                    held = ", ".join(n.removesuffix(".npy") for n in names) or "nothing"
                    raise VideoError(f"{path} holds {held}; expected an array named 'frames'")
                stream = stack.enter_context(archive.open(name))
            version = np.lib.format.read_magic(stream)
            header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
            shape, fortran, dtype = header(stream)
        except (zipfile.BadZipFile, ValueError, EOFError, OSError) as error:
            if isinstance(error, VideoError):
                raise
            raise VideoError(f"{path} is no NumPy file, or is damaged: {error}") from error
        if len(shape) != 4 or shape[3] != 3 or dtype != np.uint8 or fortran:
            order = " in Fortran order" if fortran else ""
            raise VideoError(f"{path} holds {dtype} of shape {shape}{order}; expected frames (T, H, W, 3) of uint8")
        yield stream, shape


def _from_array(path: Path) -> Source:
    with _opened_array(path) as (stream, (count, *shape)):
        for _ in range(count):
            try:
                data = stream.read(int(np.prod(shape)))
            except (zipfile.BadZipFile, OSError, EOFError, ValueError) as error:
                raise _Damage(str(error)) from error
            if len(data) < np.prod(shape):
                raise _Damage("the file ends inside a frame; it was probably cut off")
            yield partial(lambda data: np.frombuffer(data, np.uint8).reshape(shape).copy(), data)


def _describe_array(path: Path) -> dict:
    with _opened_array(path) as (_, shape):
        return {"fps": None, "codec": path.suffix[1:].lower(), "rotation": 0, "frames_claimed": shape[0]}
