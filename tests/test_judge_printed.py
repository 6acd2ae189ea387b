"""What a student's code prints is cut to its first lines."""

import sys

import pytest

from vidlearn.judge.printed import quietly


@pytest.mark.parametrize(
    ("texts", "shown"),
    [
        ([], ""),
        (["a\n", "b\n"], "a\nb\n"),
        (["a\n", "b\n", "c\n"], "a\nb\n… and 1 more printed line\n"),
        (["a\nb\nc\nd\n"], "a\nb\n… and 2 more printed lines\n"),
        (["a", " ", "b", "\n", "c"], "a b\nc\n"),
        (["a\nb\n", "c", "c"], "a\nb\n… and 1 more printed line\n"),
        (["a\nb", "b\nc", "c\n", "d", ""], "a\nbb\n… and 2 more printed lines\n"),
        (["\n\n\n"], "\n\n… and 1 more printed line\n"),
    ],
)
def test_the_first_lines_are_shown_and_the_others_are_counted(capsys, texts, shown):
    with quietly(lines=2):
        for text in texts:
            print(text, end="")
    assert capsys.readouterr().out == shown


def test_an_exception_comes_through_and_the_stream_is_put_back(capsys):
    before = sys.stdout
    with pytest.raises(KeyError), quietly(lines=0):
        print("lost", flush=True)
        raise KeyError
    assert sys.stdout is before
    assert capsys.readouterr().out == "… and 1 more printed line\n"
