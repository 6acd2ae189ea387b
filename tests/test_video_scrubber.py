"""The frame scrubber: one self-contained fragment, for eyes, keyboards and screen readers."""

import base64
import io
import re
import sys
from html.parser import HTMLParser

import numpy as np
import pytest

from vidlearn.video import VideoError, scrubber

Image = pytest.importorskip("PIL.Image", reason="not run, because Pillow is not installed")


class Tags(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.found = []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.found.append((tag, dict(attributes)))

    def all(self, tag):
        return [attributes for name, attributes in self.found if name == tag]


def stills(text):
    sources = [image["src"] for image in Tags(text).all("img")]
    return [np.asarray(Image.open(io.BytesIO(base64.b64decode(s.split(",")[1]))).convert("RGB")) for s in sources]


def clip(count=5):
    return np.random.default_rng(0).integers(0, 256, (count, 12, 16, 3), dtype=np.uint8)


def test_the_stills_are_the_frames():
    frames = clip()
    np.testing.assert_array_equal(stills(scrubber(frames, alt="noise", quality=100).html), frames)
    np.testing.assert_array_equal(stills(scrubber(frames / 255, alt="noise", quality=100).html), frames)
    grey = scrubber((frame[..., 0] for frame in frames), alt="noise", quality=100)
    np.testing.assert_array_equal(stills(grey.html)[0], frames[0][..., :1].repeat(3, -1))


def test_nothing_is_fetched_and_nothing_is_shared_with_the_rest_of_the_page():
    text = scrubber(clip(), alt="noise")._repr_html_()
    assert not re.search(r"https?:|\bid=|<script|<link|@import|url\(", text)
    assert all(image["src"].startswith("data:image/webp;base64,") for image in Tags(text).all("img"))
    assert "\n\n" not in text  # or Markdown would cut it in two
    assert text == scrubber(clip(), alt="noise")._repr_html_()  # generated pages don't change from build to build


def test_everything_has_a_name_and_the_first_still_shows_without_a_script():
    tags = Tags(scrubber(clip(3), labels=["a", 'b "<&', "c"], alt='tall "houses" & <sky>').html)
    images = tags.all("img")
    assert [image["alt"] for image in images] == [f'tall "houses" & <sky>: {label}' for label in ("a", 'b "<&', "c")]
    assert ["display:none" in image["style"] for image in images] == [False, True, True]
    (slider,) = tags.all("input")
    assert (slider["type"], slider["max"], slider["aria-label"]) == ("range", "2", 'frame of: tall "houses" & <sky>')
    (button,) = tags.all("button")
    assert button["type"] == "button"


def test_one_still_needs_no_slider():
    assert Tags(scrubber(clip(1), alt="one").html).all("input") == []


def test_a_page_of_its_own_is_complete(tmp_path):
    page = scrubber(clip(), alt="noise <1>").save(tmp_path / "a.html").read_text(encoding="utf-8")
    assert page.startswith("<!doctype html>")
    assert "<title>noise &lt;1&gt;</title>" in page
    assert [p.name for p in tmp_path.iterdir()] == ["a.html"]


@pytest.mark.parametrize(
    ("images", "keywords", "said"),
    [
        ([], {}, "images is empty"),
        (clip(), {"alt": " "}, "alt must say in words"),
        (clip(), {"labels": ["a"]}, "labels must be one for each of the 5 images, got 1"),
        (clip(), {"fps": 0}, "fps must be above 0"),
        ([np.zeros((4, 4)), np.zeros((4, 5))], {}, r"image 1 has shape \(4, 5\), the first \(4, 4\)"),
        ([np.zeros((4, 4, 2))], {}, r"image 0 must have shape .* got \(4, 4, 2\)"),
        ([np.zeros((4, 4), int)], {}, "image 0 must be uint8, or float"),
    ],
)
def test_bad_arguments_are_refused_in_a_sentence(images, keywords, said):
    with pytest.raises(VideoError, match=said):
        scrubber(images, **{"alt": "noise"} | keywords)


def test_without_pillow_the_command_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(VideoError, match=r"Pillow.*pip install 'vidlearn\[video\]'"):
        scrubber(clip(), alt="noise")
