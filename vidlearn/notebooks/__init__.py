"""From the hand-written percent scripts to notebooks, exercises and pages.

Only two kinds of file are written by hand: ``lectures/NN_name.py`` and ``solutions/NN_name.py``, both jupytext
percent scripts, which are ordinary Python, so they diff, lint and run. Everything else is generated::

    python -m vidlearn.notebooks build      lectures/*.ipynb, solutions/*.ipynb, exercises/*.ipynb  (committed)
    python -m vidlearn.notebooks check      says which of those are out of date
    python -m vidlearn.notebooks site       docs/lectures/*.md and docs/exercises/*.md for mkdocs   (not committed)
"""
