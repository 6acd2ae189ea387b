"""A frame scrubber for notebooks and pages: stills, a slider and a play button, with no server and no network."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from .files import VideoError, missing_package, replacing

__all__ = ["Scrubber", "scrubber"]

# Handlers live on the elements and find their own figure: no ids, no shared names, so that any number of scrubbers,
# even copies of one, work on one page. With scripts switched off the first still is shown.
SHOW = """\
const f=this.closest('figure'),k=+this.value;
f.querySelectorAll('img').forEach((e,i)=>{e.style.display=i===k?'block':'none'});
const t=f.querySelectorAll('img')[k].dataset.label;
f.querySelector('output').textContent=t;this.setAttribute('aria-valuetext',t)"""
PLAY = """\
const b=this,f=b.closest('figure'),r=f.querySelector('input');
const stop=()=>{clearInterval(f.timer);f.timer=0;b.textContent='Play'};
if(f.timer){stop()}else{b.textContent='Pause';f.timer=setInterval(()=>{
if(!f.isConnected)return stop();
r.value=(+r.value+1)%(+r.max+1);r.dispatchEvent(new Event('input'))},+f.dataset.ms)}"""


class Scrubber:
    """What `scrubber` returns: shows itself in a notebook; `html` is the fragment for a page; `save` writes a page."""

    def __init__(self, fragment: str, title: str):
        self.html = fragment
        self.title = title

    def _repr_html_(self) -> str:
        return self.html

    def __repr__(self) -> str:
        return f"Scrubber({self.title!r}, {len(self.html) // 1024} KB)"

    def save(self, path: str | Path) -> Path:
        """Write a page of its own, that opens anywhere, offline."""
        page = (
            f'<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
            f"<title>{html.escape(self.title)}</title>{self.html}</html>\n"
        )
        with replacing(path) as temporary:
            temporary.write_text(page, encoding="utf-8")
        return Path(path)


def scrubber(
    images: Iterable[np.ndarray],
    *,
    labels: Sequence[str] | None = None,
    alt: str,
    fps: float = 8.0,
    quality: int = 80,
) -> Scrubber:
    """Show frames with a slider to drag, arrow keys to step, and a button to play.

    Parameters
    ----------
    images
        (H, W) or (H, W, 3), all of one size; uint8, or float in [0, 1].
    labels
        A caption for each image; by default "1 of 24", "2 of 24", …
    alt
        What the pictures show, in words, for those who can't see them.
    fps
        Speed of playing.
    quality
        Of the WebP stills, 1 to 100; 100 is lossless.

    Returns
    -------
    Scrubber
        Self-contained HTML: no script, style, font or picture from elsewhere.

    Raises
    ------
    VideoError
        If there is no image, an image has another size or type, the labels are too few or too many, or Pillow is
        missing.

    Examples
    --------
    >>> import numpy as np
    >>> scrubber([np.full((4, 4), t / 4) for t in range(4)], alt="a grey square that brightens").html.count("<img")
    4
    """
    try:
        from PIL import Image
    except ImportError:
        raise missing_package("the scrubber", "Pillow") from None
    if not isinstance(alt, str) or not alt.strip():
        raise VideoError(f"alt must say in words what the pictures show, got {alt!r}")
    if not 0 < fps <= 1000:
        raise VideoError(f"fps must be above 0, got {fps!r}")
    stills: list[str] = []
    size: tuple[int, ...] = ()
    for index, image in enumerate(images):
        image = _eight_bit(np.asarray(image), index)
        size = size or image.shape[:2]
        if image.shape[:2] != size:
            raise VideoError(f"image {index} has shape {image.shape}, the first {size}; all need one height and width")
        buffer = io.BytesIO()
        Image.fromarray(image).save(buffer, "WEBP", quality=quality, lossless=quality == 100, method=4)
        stills.append(base64.b64encode(buffer.getvalue()).decode("ascii"))
    if not stills:
        raise VideoError("images is empty; there is nothing to show")
    labels = [f"{k + 1} of {len(stills)}" for k in range(len(stills))] if labels is None else [str(t) for t in labels]
    if len(labels) != len(stills):
        raise VideoError(f"labels must be one for each of the {len(stills)} images, got {len(labels)}")

    alt, labels = html.escape(alt), [html.escape(label) for label in labels]
    height, width = size
    pictures = "".join(
        f'<img src="data:image/webp;base64,{still}" alt="{alt}: {label}" data-label="{label}" '
        f'width="{width}" height="{height}" style="width:100%;height:auto;display:{"none" if k else "block"}">'
        for k, (still, label) in enumerate(zip(stills, labels, strict=True))
    )
    controls = (
        f'<div style="display:flex;gap:.6em;align-items:center">'
        f'<button type="button" onclick="{_attribute(PLAY)}">Play</button>'
        f'<input type="range" min="0" max="{len(stills) - 1}" value="0" autocomplete="off" '
        f'aria-label="frame of: {alt}" aria-valuetext="{labels[0]}" oninput="{_attribute(SHOW)}" '
        f'style="flex:1"><output>{labels[0]}</output></div>'
    )
    fragment = (
        f'<figure class="vl-scrubber" data-ms="{round(1000 / fps)}" style="margin:0;max-width:{max(width, 320)}px">'
        f"{pictures}{controls if len(stills) > 1 else ''}</figure>"
    )
    return Scrubber(fragment, html.unescape(alt))


def _attribute(script: str) -> str:
    return html.escape(" ".join(script.splitlines()))


def _eight_bit(image: np.ndarray, index: int) -> np.ndarray:
    if not (image.ndim == 2 or (image.ndim == 3 and image.shape[2] == 3)) or 0 in image.shape:
        raise VideoError(f"image {index} must have shape (H, W) or (H, W, 3), got {image.shape}")
    if np.issubdtype(image.dtype, np.floating):
        # NaN would be undefined as a byte; show it black, as flow_to_color shows the unknown.
        image = np.round(255 * np.clip(np.nan_to_num(image), 0, 1)).astype(np.uint8)
    if image.dtype != np.uint8:
        raise VideoError(f"image {index} must be uint8, or float in [0, 1], got {image.dtype}")
    return np.ascontiguousarray(image)
