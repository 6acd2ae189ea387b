"""The decks' figures: each comes out by its convention, a slip is explained, and nothing is copied from the slide."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from vidlearn import slides
from vidlearn.cli import main
from vidlearn.slides import VERDICTS, Figure

FIGURES = slides.figures()


@pytest.mark.parametrize("figure", FIGURES, ids=lambda f: f"{f.deck}-{f.item}")
def test_each_figure_comes_out_as_expected_and_is_explained(figure):
    result = figure.recompute()
    assert result.verdict == figure.expected, result
    assert result.verdict in VERDICTS
    assert result.convention
    assert result.verdict == "matches" or result.explanation


@pytest.mark.parametrize("figure", FIGURES, ids=lambda f: f"{f.deck}-{f.item}")
def test_no_figure_is_computed_from_what_the_slide_prints(figure):
    other = (
        "12345.678"
        if figure.slide_value.lstrip("~")[0].isdigit() and " " not in figure.slide_value
        else "something else"
    )
    assert replace(figure, slide_value=other).compute() == figure.compute()
    assert replace(figure, slide_value=other).recompute().verdict != "matches"


def test_all_decks_have_figures_and_no_figure_stands_twice():
    assert {f.deck for f in FIGURES} == set(slides.DECKS)
    places = [(f.deck, f.slide, f.item) for f in FIGURES]
    assert len(places) == len(set(places))


def figure(printed="2.0", value=2.04, **more):
    return Figure("L9", "a slide", "an item", printed, lambda: value, convention="counted", **more)


@pytest.mark.parametrize(
    ("given", "verdict"),
    [
        (figure(), "matches"),
        (figure(value=2.06), "not reproduced"),
        (figure(value=2.06, other=("otherwise", lambda: 1.96)), "matches under another convention"),
        (figure(value=2.06, slip=lambda: 2.0), "slide is wrong"),
        (figure(value=2.06, slip=lambda: 3.0), "not reproduced"),
        (figure(value=2.06, derived=True), "slide is wrong"),
        (figure("2 x 3", "2 x 3"), "matches"),
        (figure("2 x 3", "2 x 4"), "slide is wrong"),
        (figure("2", 2), "matches"),
    ],
)
def test_a_verdict_follows_from_what_is_computed(given, verdict):
    assert given.recompute().verdict == verdict


def test_a_printed_value_that_is_no_number_is_refused_where_a_number_is_computed():
    with pytest.raises(ValueError, match="slide_value"):
        figure("about two").recompute()


def test_the_command_prints_and_checks(capsys, monkeypatch):
    assert main(["tables", "--check"]) == 0
    printed = capsys.readouterr().out
    assert "slide is wrong" in printed
    assert f"{len(FIGURES)} figures" in printed
    assert main(["tables", "--json", "--deck", "L9"]) == 0
    found = json.loads(capsys.readouterr().out)
    keys = {"deck", "slide", "item", "slide_value", "computed", "unit", "convention", "verdict", "explanation"}
    assert {frozenset(f) for f in found} == {frozenset(keys)}
    assert {f["deck"] for f in found} == {"L9"}
    monkeypatch.setattr(slides, "figures", lambda deck=None: [figure(value=9.0)])
    assert main(["tables", "--check"]) == 1
    assert "expected 'matches', computed 'not reproduced'" in capsys.readouterr().err
    assert main(["tables"]) == 0


def test_an_unknown_deck_is_named(capsys):
    assert main(["tables", "--deck", "L8"]) == 2
    assert "expected one of CS231n" in capsys.readouterr().err
