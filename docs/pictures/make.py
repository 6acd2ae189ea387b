"""Draw the picture at the top of the README: `python docs/pictures/make.py`."""

from __future__ import annotations

from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np

import vidlearn as vl
from vidlearn.video import color_wheel_key, flow_to_color, real_pair


def normal_flow(Ix, Iy, It):  # a student's answer, with a mistake in it
    squared = Ix**2 + Iy**2
    speed = It / np.where(squared == 0, 1, squared)
    return np.stack([Ix, Iy], axis=-1) * speed[..., None]


pair = real_pair()
flow = vl.flow.dense(pair.I0, pair.I1, quality="high")
top = float(np.hypot(flow[..., 0], flow[..., 1]).max())

figure = plt.figure(figsize=(10, 5.2), dpi=110, facecolor="white")
grid = figure.add_gridspec(
    2, 2, height_ratios=[1.35, 1], hspace=0.12, wspace=0.03, left=0.01, right=0.99, top=0.94, bottom=0.02
)
for column, (picture, title) in enumerate(
    ((pair.I0, "the first of two real views"), (flow_to_color(flow, top), f"their flow, {top:.0f} px at full color"))
):
    axes = figure.add_subplot(grid[0, column])
    axes.imshow(picture)
    axes.set_title(title, fontsize=10)
    axes.axis("off")
key = axes.inset_axes([0.87, 0.03, 0.12, 0.24])
key.imshow(color_wheel_key(101))
key.axis("off")
words = figure.add_subplot(grid[1, :])
words.axis("off")
words.text(
    0.0, 1.0, ">>> vl.check(normal_flow)\n" + vl.check(normal_flow).text(), family="monospace", fontsize=8.3, va="top"
)
figure.savefig(Path(__file__).with_name("vidlearn.png"), pil_kwargs={"optimize": True})
