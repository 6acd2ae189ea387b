"""Films in and out: what is written comes back, and whatever is wrong with a file is said in one sentence."""

import os
import pathlib
import subprocess
import sys
import tracemalloc
import warnings
import weakref
from fractions import Fraction

import numpy as np
import pytest

from vidlearn.video import VideoError, VideoWarning, clip_path, frames, info, read, write

av = pytest.importorskip("av", reason="not run, because PyAV is not installed: pip install 'vidlearn[video]'")
cv2 = pytest.importorskip("cv2", reason="not run, because OpenCV is not installed: pip install 'vidlearn[video]'")

REAL = os.environ.get("VIDLEARN_REAL_DATA")
needs_real_data = pytest.mark.skipif(not REAL, reason="not run, because VIDLEARN_REAL_DATA is not set")
# name: (frames that decode, height, width, rotation), as its collection's README gives them
FILMS = {
    "v_SoccerJuggling_g23_c01.avi": (240, 240, 320, 0),
    "TrumanShow_wave_f_nm_np1_fr_med_26.avi": (48, 240, 432, 0),
    "SOX5yA1l24A.mp4": (332, 256, 340, 0),
    "torchcodec_nasa_13013.mp4": (325, 180, 320, 0),
    "flipping_a_pancake.mkv": (310, 240, 426, 0),
    "corrupted.mp4": (28, 720, 1280, 0),
    "video_90.mov": (3, 568, 320, 90),
}
BACKENDS = ["pyav", "opencv"]


def film(count, height=48, width=64, seed=0):
    """Blocks of random colours: no two frames alike, and kind to an encoder."""
    rng = np.random.default_rng(seed)
    for _ in range(count):
        small = rng.integers(0, 256, (-(-height // 8), -(-width // 8), 3), dtype=np.uint8)
        yield small.repeat(8, 0).repeat(8, 1)[:height, :width]


def cut(path, part):
    """Keep the first `part` of a file's bytes."""
    data = path.read_bytes()
    short = path.with_name("cut" + path.suffix)
    short.write_bytes(data[: int(part * len(data))])
    return short


@pytest.fixture(scope="module")
def lossless(tmp_path_factory):
    """12 numbered frames in a format that changes no bit: frame t is all t."""
    clip = [np.full((16, 24, 3), t, np.uint8) for t in range(12)]
    return write(tmp_path_factory.mktemp("film") / "numbers.mkv", clip, fps=10, codec="ffv1")


# What comes in


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("chosen", [(0, None, 1), (3, None, 1), (0, 7, 2), (2, 100, 5), (4, 5, 1), (11, 12, 3)])
def test_start_stop_and_step_choose_as_a_slice_does(lossless, backend, chosen):
    start, stop, step = chosen
    got = read(lossless, start=start, stop=stop, step=step, backend=backend)
    assert got.dtype == np.uint8
    assert got[:, 0, 0, 0].tolist() == list(range(12))[start:stop:step]


@pytest.mark.parametrize("stop", [0, 3])
def test_an_empty_slice_is_an_empty_iterator_and_for_read_an_error(lossless, stop):
    assert list(frames(lossless, start=3, stop=stop)) == []
    with pytest.raises(VideoError, match="no frame lies in start=3"):
        read(lossless, start=3, stop=stop)


def test_both_decoders_give_the_same_frames():
    np.testing.assert_allclose(
        read(clip_path(), backend="pyav").astype(int), read(clip_path(), backend="opencv").astype(int), atol=2
    )


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("quarter_turns", [0, 1, 2, 3])
def test_rotation_flags_are_honoured(tmp_path, backend, quarter_turns):
    path = write(tmp_path / "phone.mp4", film(2), quality=1)
    upright = read(path, backend=backend)
    # The display matrix of the track header, 16.16 fixed point: a, b, u, c, d, v, x, y, w.
    one, matrix = 1 << 16, {0: (1, 0, 0, 1), 1: (0, 1, -1, 0), 2: (-1, 0, 0, -1), 3: (0, -1, 1, 0)}[quarter_turns]
    data = bytearray(path.read_bytes())
    at = data.index(b"tkhd") + 4 + 40
    a, b, c, d = (one * value for value in matrix)
    data[at : at + 36] = np.array([a, b, 0, c, d, 0, 0, 0, 1 << 30], ">i4").tobytes()
    path.write_bytes(data)
    turned = read(path, backend=backend)
    np.testing.assert_array_equal(turned, np.rot90(upright, -quarter_turns, axes=(1, 2)))
    facts = info(path, backend=backend)
    assert facts.rotation == 90 * quarter_turns
    assert facts.size == turned.shape[1:3]


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_folder_of_images_is_a_film_in_natural_order(tmp_path, backend):
    for t in (0, 1, 2, 10):
        cv2.imwrite(str(tmp_path / f"frame{t}.png"), np.full((8, 9, 3), (t, 20, 30), np.uint8))  # BGR
    (tmp_path / "notes.txt").write_text("not an image")
    clip = read(tmp_path, backend=backend)
    assert clip.shape == (4, 8, 9, 3)
    assert clip[:, 0, 0].tolist() == [[30, 20, t] for t in (0, 1, 2, 10)]
    assert info(tmp_path, count=True).frames_counted == 4


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_an_npz_file_of_frames_is_a_film(tmp_path, save):
    clip = np.stack(list(film(5)))
    save(tmp_path / "one.npz", clip)
    save(tmp_path / "two.npz", frames=clip, labels=np.arange(5))
    for name in ("one.npz", "two.npz"):
        np.testing.assert_array_equal(read(tmp_path / name), clip)
    assert info(tmp_path / "two.npz", count=True).frames_counted == 5
    np.save(tmp_path / "three.npy", clip)
    np.testing.assert_array_equal(read(tmp_path / "three.npy", start=1, step=2), clip[1::2])


def peak_in_frames(path, size):
    tracemalloc.start()
    count = sum(1 for _ in frames(path))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return count, peak / size


@pytest.mark.parametrize("kind", ["mp4", "npz", "npy"])
def test_reading_never_holds_a_whole_film(tmp_path, kind):
    path, size = tmp_path / f"long.{kind}", 120 * 160 * 3
    if kind == "mp4":
        write(path, film(100, 120, 160))
    elif kind == "npz":
        np.savez_compressed(path, np.stack(list(film(100, 120, 160))))
    else:
        np.save(path, np.stack(list(film(100, 120, 160))))
    count, peak = peak_in_frames(path, size)
    assert count == 100
    assert peak < 12


class Frame(np.ndarray):
    """An array that can be watched."""


def test_writing_never_holds_a_whole_film(tmp_path):
    watched, most = [], 0

    def tracked():
        nonlocal most
        for frame in film(60):
            frame = frame.copy().view(Frame)
            watched.append(weakref.ref(frame))
            most = max(most, sum(ref() is not None for ref in watched))
            yield frame

    write(tmp_path / "a.mp4", tracked())
    assert len(watched) == 60
    assert most <= 6


def test_a_film_left_in_the_middle_is_closed(tmp_path):
    path = write(tmp_path / "a.mp4", film(5))
    reading = frames(path)
    next(reading)
    reading.close()
    with pytest.raises(StopIteration):
        next(reading)


def test_importing_the_package_imports_numpy_only():
    heavy = "{'av','cv2','skimage','scipy','PIL','torch','cupy','matplotlib','hypothesis','imageio'}"
    code = f"import sys, vidlearn.video; print(sorted({heavy} & set(sys.modules)))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


# What goes out


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".mov", ".avi", ".webm"])
@pytest.mark.parametrize("size", [(48, 64), (47, 64), (48, 63), (31, 33)])
def test_what_is_written_comes_back_in_size_number_and_nearly_in_colour(tmp_path, suffix, size):
    clip = [np.full((*size, 3), (40 * t, 100, 250 - 40 * t), np.uint8) for t in range(6)]
    got = read(write(tmp_path / f"a{suffix}", clip, fps=12.5, quality=5))
    assert got.shape == (6, *size, 3)
    assert abs(got.astype(int) - np.stack(clip)).mean() < 6
    assert info(tmp_path / f"a{suffix}").fps == pytest.approx(12.5)


def test_a_lossless_codec_gives_every_bit_back(tmp_path):
    clip = np.stack(list(film(4, 33, 47)))
    np.testing.assert_array_equal(read(write(tmp_path / "a.mkv", clip, codec="ffv1")), clip)


def test_grey_frames_are_written_as_grey(tmp_path):
    grey = [frame[..., 0] for frame in film(3)]
    got = read(write(tmp_path / "a.mkv", grey, codec="ffv1"))
    np.testing.assert_array_equal(got, np.repeat(np.stack(grey)[..., None], 3, axis=3))


@pytest.mark.parametrize("fps", [25, 29.97, 0.5, Fraction(30000, 1001), np.float32(12)])
def test_frame_rates_come_back(tmp_path, fps):
    assert info(write(tmp_path / "a.mp4", film(3), fps)).fps == pytest.approx(float(fps), rel=1e-4)


def test_a_failure_while_writing_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "a.mp4"
    path.write_bytes(b"the old one")

    def breaks():
        yield from film(3)
        raise RuntimeError("the camera fell")

    with pytest.raises(RuntimeError, match="the camera fell"):
        write(path, breaks())
    assert [p.name for p in tmp_path.iterdir()] == ["a.mp4"]
    assert path.read_bytes() == b"the old one"


@pytest.mark.parametrize(
    ("clip", "said"),
    [
        ([], "there is no frame to write"),
        ([np.zeros((4, 4, 3))], r"must be uint8, got float64; convert"),
        ([np.zeros((4, 4, 2), np.uint8)], r"must be a NumPy array \(H, W, 3\) or \(H, W\), got ndarray \(4, 4, 2\)"),
        ([np.zeros((0, 4, 3), np.uint8)], r"got ndarray \(0, 4, 3\)"),
        (["frame.png"], "got str"),
        ([np.zeros((4, 4), np.uint8), np.zeros((4, 6), np.uint8)], r"frame 1 is 6x4 .*, the first is 4x4"),
    ],
)
def test_frames_that_cannot_be_written_are_refused_and_leave_nothing(tmp_path, clip, said):
    with pytest.raises(VideoError, match=said):
        write(tmp_path / "a.mp4", clip)
    assert list(tmp_path.iterdir()) == []


def test_other_arguments_of_write_are_checked(tmp_path):
    for name, keywords, said in (
        ("a.txt", {}, r"suffix must be .mp4.*got '.txt'"),
        ("a.mp4", {"fps": 0}, "fps must be a number of frames per second above 0, got 0"),
        ("a.mp4", {"fps": float("nan")}, "fps must be"),
        ("a.mp4", {"codec": "no_such_codec"}, "no_such_codec"),
        ("none/a.mp4", {}, "the folder .*none does not exist"),
    ):
        with pytest.raises(VideoError, match=said):
            write(tmp_path / name, film(2), **keywords)
    assert list(tmp_path.iterdir()) == []


# What is wrong with a file


@pytest.mark.parametrize("reader", [lambda p: next(frames(p)), read, info])
def test_every_reader_says_what_is_wrong_with_a_path(tmp_path, reader):
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "text.mp4").write_text("I am no film.\n" * 50)
    (tmp_path / "noise.avi").write_bytes(np.random.default_rng(0).bytes(5000))
    (tmp_path / "folder").mkdir()
    (tmp_path / "noise.npz").write_bytes(np.random.default_rng(0).bytes(500))
    np.savez(tmp_path / "floats.npz", np.zeros((2, 4, 4, 3)))
    np.savez(tmp_path / "many.npz", a=np.zeros(3), b=np.zeros(3))
    np.savez(tmp_path / "object.npz", np.array([{}], dtype=object))
    np.savez(tmp_path / "nothing.npz", np.zeros((0, 4, 4, 3), np.uint8))
    for name, said in {
        "missing.mp4": "there is no such file",
        "empty.mp4": r"is empty \(0 bytes\)",
        "text.mp4": "is not a film",
        "noise.avi": "is not a film",
        "folder": "holds no image",
        "noise.npz": "is no NumPy file, or is damaged",
        "floats.npz": r"holds float64 of shape \(2, 4, 4, 3\); expected frames \(T, H, W, 3\) of uint8",
        "many.npz": "holds a, b; expected an array named 'frames'",
        "object.npz": "holds object",
        "nothing.npz": "not one frame",
    }.items():
        with pytest.raises(VideoError, match=said) as caught:
            reader(tmp_path / name)
        assert name in str(caught.value)


def test_an_error_is_a_value_error_too():
    assert issubclass(VideoError, ValueError)


@pytest.mark.parametrize("backend", BACKENDS)
def test_sound_without_pictures_is_no_film(tmp_path, backend):
    path = tmp_path / "sound.wav"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000)
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), format="s16", layout="mono")
        sound.sample_rate = 8000
        container.mux(stream.encode(sound))
        container.mux(stream.encode())
    with pytest.raises(VideoError, match="has no video stream"):
        read(path, backend=backend)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".avi", ".webm"])
def test_of_a_film_cut_off_the_beginning_is_kept_and_the_end_is_missed(tmp_path, suffix, backend):
    short = cut(write(tmp_path / f"a{suffix}", film(60)), 0.6)
    with pytest.warns(VideoWarning, match=r"\d+ frames read and kept, then no more"):
        kept = read(short, backend=backend)
    assert 20 <= len(kept) < 60
    seen = []
    with pytest.raises(VideoError, match=f"{len(kept)} frames read and kept, then no more"):
        for frame in frames(short, backend=backend, damaged="raise"):
            seen.append(frame)
    np.testing.assert_array_equal(np.stack(seen), kept)


def test_of_a_film_cut_off_before_its_first_frame_nothing_can_be_read(tmp_path):
    short = cut(write(tmp_path / "a.mp4", film(60)), 0.03)
    with pytest.raises(VideoError, match=r"is not a film, or its beginning or its index is missing|no video stream"):
        read(short)


def test_of_an_array_cut_off_the_beginning_is_kept(tmp_path):
    np.save(tmp_path / "a.npy", np.stack(list(film(10))))
    with pytest.warns(VideoWarning, match="6 frames read and kept, then no more: the file ends inside a frame"):
        kept = read(cut(tmp_path / "a.npy", 0.65))
    np.testing.assert_array_equal(kept, np.stack(list(film(10)))[:6])


def test_a_bad_image_in_a_folder_ends_the_film_there(tmp_path):
    for t in range(3):
        cv2.imwrite(str(tmp_path / f"{t}.png"), np.full((8, 8, 3), t, np.uint8))
    (tmp_path / "1.png").write_bytes(b"not a picture at all")
    with pytest.warns(VideoWarning, match=r"1 frame read and kept, then no more: 1\.png"):
        assert len(read(tmp_path)) == 1


def test_images_of_two_sizes_are_no_film(tmp_path):
    cv2.imwrite(str(tmp_path / "0.png"), np.zeros((8, 8, 3), np.uint8))
    cv2.imwrite(str(tmp_path / "1.png"), np.zeros((8, 6, 3), np.uint8))
    with pytest.raises(VideoError, match=r"frame 1 is 6x8, the ones before it 8x8"):
        read(tmp_path)


@pytest.mark.parametrize(
    ("keywords", "said"),
    [
        ({"start": -1}, "start must be a whole number from 0 up, got -1"),
        ({"stop": 2.5}, "stop must be a whole number from 0 up, got 2.5"),
        ({"step": 0}, "step must be a whole number from 1 up, got 0"),
        ({"step": True}, "step must be"),
        ({"backend": "decord"}, "backend must be None, 'pyav' or 'opencv', got 'decord'"),
        ({"damaged": "ignore"}, "damaged must be 'warn' or 'raise', got 'ignore'"),
    ],
)
def test_arguments_of_frames_are_checked_at_the_call(keywords, said):
    with pytest.raises(VideoError, match=said):
        frames(clip_path(), **keywords)


def test_without_pyav_opencv_decodes_and_without_both_the_command_is_named(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "av", None)
    assert info(clip_path()).backend == "opencv"
    with pytest.raises(VideoError, match=r"PyAV.*pip install 'vidlearn\[video\]'"):
        write(tmp_path / "a.mp4", film(2))
    with pytest.raises(VideoError, match=r"PyAV.*pip install 'vidlearn\[video\]'"):
        read(clip_path(), backend="pyav")
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(VideoError, match=r"PyAV \(av\) or OpenCV.*pip install 'vidlearn\[video\]'"):
        read(clip_path())


# Films from the world


@needs_real_data
@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", FILMS)
def test_real_films_hold_the_frames_they_hold(name, backend):
    path = pathlib.Path(REAL) / "videos" / name
    count, height, width, rotation = FILMS[name]
    facts = info(path, count=True, backend=backend)
    assert (facts.frames_counted, *facts.size, facts.rotation) == (count, height, width, rotation)
    assert next(frames(path, backend=backend)).shape == (height, width, 3)


@needs_real_data
@pytest.mark.parametrize("name", FILMS)
def test_only_the_corrupted_real_film_is_called_damaged(name):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        count = sum(1 for _ in frames(pathlib.Path(REAL) / "videos" / name))
    assert count == FILMS[name][0]
    said = [str(w.message) for w in caught if w.category is VideoWarning]
    assert len(said) == (name == "corrupted.mp4")
    assert all("28 frames read and kept, then no more: Invalid data" in message for message in said)
