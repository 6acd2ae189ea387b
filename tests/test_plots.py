"""Every picture draws what it was given, says its units, and refuses what it can't draw."""

from __future__ import annotations

import numpy as np
import pytest

matplotlib = pytest.importorskip(
    "matplotlib", reason="not run, because Matplotlib is not installed: pip install 'vidlearn[notebooks]'"
)
matplotlib.use("Agg")

import matplotlib.pyplot as plt  # noqa: E402  after the backend is chosen

from vidlearn.flow import plots  # noqa: E402


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


def swirl(height=20, width=30):
    y, x = np.mgrid[:height, :width]
    return np.stack([-(y - height / 2), x - width / 2], axis=-1) * 0.1


GREY = np.linspace(0, 1, 600).reshape(20, 30)
COLOR = np.stack([GREY, GREY[::-1], GREY[:, ::-1]], axis=-1)
EIGENVALUES = np.stack([GREY + 0.01, GREY / 3], axis=-1)
DRAWN = {
    "image": lambda: plots.image(COLOR, "a title"),
    "images": lambda: plots.images({"one": GREY, "two": COLOR}),
    "signed": lambda: plots.signed(GREY - 0.5),
    "quiver": lambda: plots.quiver(GREY, swirl()),
    "flow_color": lambda: plots.flow_color(swirl()),
    "constraint_lines": lambda: plots.constraint_lines(0.5, 0.25, -0.5, flow=(1.0, 0.0)),
    "through_aperture": lambda: plots.through_aperture(GREY, (15, 10), 5),
    "eigenvalue_plane": lambda: plots.eigenvalue_plane(EIGENVALUES, points={"here": (1.0, 0.5)}),
    "structure_labels": lambda: plots.structure_labels(COLOR, np.arange(600).reshape(20, 30) % 3),
    "patches": lambda: plots.patches({"p": GREY}, {"p": np.gradient(GREY)[::-1]}),
    "pyramid": lambda: plots.pyramid([GREY, GREY[::2, ::2], GREY[::4, ::4]]),
    "error_heatmap": lambda: plots.error_heatmap(swirl(), swirl() + 1),
    "refinement": lambda: plots.refinement(GREY[0], GREY[1], 10, [0.0, 1.0]),
    "correlation": lambda: plots.correlation(np.arange(9.0 * 4).reshape(9, 2, 2), (1, 1), truth=(1, 1)),
}


def test_there_is_a_test_for_every_picture():
    assert set(DRAWN) == set(plots.__all__)


@pytest.mark.parametrize("name", DRAWN)
def test_a_picture_can_be_rendered_and_is_not_blank(name):
    drawn = DRAWN[name]()
    figure = drawn if hasattr(drawn, "savefig") else drawn.figure
    figure.canvas.draw()
    assert np.ptp(np.asarray(figure.canvas.buffer_rgba())[..., :3]) > 0


@pytest.mark.parametrize("name", sorted(set(DRAWN) - {"images", "pyramid", "through_aperture"}))
def test_the_axes_say_what_is_on_them(name):
    drawn = DRAWN[name]()
    axes = drawn.axes if hasattr(drawn, "savefig") else [drawn]
    labels = [ax.get_xlabel() + ax.get_ylabel() for ax in axes]
    assert any("px" in label or "eigenvalue" in label for label in labels), labels


def test_a_picture_is_drawn_where_it_is_told():
    _, ax = plt.subplots()
    assert plots.quiver(GREY, swirl(), ax=ax) is ax


def test_the_constraint_line_holds_all_motions_that_fit():
    ax = plots.constraint_lines(0.5, 0.25, -0.5)
    (line,) = [drawn for drawn in ax.lines if len(drawn.get_xdata()) == 2 and drawn.get_color() == plots.BLUE]
    u, v = np.asarray(line.get_data(), float)
    np.testing.assert_allclose(0.5 * u + 0.25 * v - 0.5, 0, atol=1e-9)
    (point,) = [drawn for drawn in ax.lines if drawn.get_label() == "normal flow"]
    np.testing.assert_allclose(np.ravel(point.get_data()), [0.8, 0.4])


def test_arrows_point_where_the_flow_goes():
    flow = np.broadcast_to([1.0, -0.5], (20, 30, 2))
    arrows = plots.quiver(GREY, flow, step=5, gain=3).collections[0]
    np.testing.assert_allclose(arrows.U, 3.0)
    np.testing.assert_allclose(arrows.V, -1.5)


def test_one_arrow_gone_astray_does_not_shrink_the_others():
    flow = np.tile([1.0, 0.0], (100, 100, 1))
    before = plots.quiver(np.zeros((100, 100)), flow).collections[0].U.max()
    flow[2, 2] = 1e6
    after = np.median(plots.quiver(np.zeros((100, 100)), flow).collections[0].U)
    assert after == before


def test_unknown_flow_draws_no_arrow_and_no_warning(recwarn):
    plots.quiver(GREY, np.full((20, 30, 2), np.nan)).figure.canvas.draw()
    assert not recwarn.list


def test_the_error_counts_only_what_is_known():
    truth = swirl()
    valid = np.ones((20, 30), bool)
    valid[:10] = False
    truth[:10] = np.nan
    ax = plots.error_heatmap(swirl() + np.array([3.0, 4.0]), truth, valid)
    assert ax.get_title() == "mean 5 px, median 5 px"


def test_the_legend_of_the_classes_gives_their_shares():
    labels = np.zeros((10, 10), int)
    labels[:, :3], labels[:, 3:4] = 1, 2
    legend = plots.structure_labels(np.zeros((10, 10)), labels).get_legend()
    assert [text.get_text() for text in legend.get_texts()] == ["flat, 60%", "edge, 30%", "corner, 10%"]


@pytest.mark.parametrize(
    ("draw", "named"),
    [
        (lambda: plots.image(np.zeros(4)), "image"),
        (lambda: plots.images({}), "named"),
        (lambda: plots.quiver(GREY, swirl()[:-1]), "flow"),
        (lambda: plots.flow_color(GREY), "flow"),
        (lambda: plots.constraint_lines([1.0], [1.0, 2.0], [1.0]), "Ix"),
        (lambda: plots.eigenvalue_plane(np.zeros((4, 3))), "eigenvalues"),
        (lambda: plots.structure_labels(GREY, COLOR), "labels"),
        (lambda: plots.patches({"a": GREY}, {}), "gradients"),
        (lambda: plots.pyramid([]), "levels"),
        (lambda: plots.error_heatmap(swirl(), swirl()[1:]), "truth"),
        (lambda: plots.error_heatmap(swirl(), swirl(), np.zeros((20, 30), bool)), "valid"),
        (lambda: plots.correlation(np.zeros((8, 2, 2)), (0, 0)), "volume"),
    ],
)
def test_what_cannot_be_drawn_is_refused_by_name(draw, named):
    with pytest.raises(ValueError, match=f"`{named}`"):
        draw()
