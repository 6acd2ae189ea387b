"""Links of the site: in the repository they lead to notebooks, on the site to the pages made of these."""

from __future__ import annotations

import re
from typing import Any

__all__ = ["on_page_markdown"]

NOTEBOOK = re.compile(r"(?<=\]\()(\.\./)?((?:lectures/|exercises/)?\d\w+)\.ipynb(?!\)\{)")  # but for the download


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Lead to a notebook's page instead; MkDocs calls this for each page."""
    top = "/" not in page.file.src_uri  # of docs/, which in the repository lies beside lectures/ and exercises/
    return NOTEBOOK.sub(r"\2.md" if top else r"\1\2.md", markdown)
