"""Executed notebooks as Markdown pages.

Plain Markdown and figure files, and no plugin: cross-references, admonitions and search work as on any other page, and
any generator that reads Markdown can build the site.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import nbformat
from nbclient import NotebookClient

from vidlearn.notebooks.build import exercise, lecture

if TYPE_CHECKING:
    from nbformat import NotebookNode

TERMINAL_COLORS = re.compile(r"\x1b\[[0-9;]*m")
FIGURES = {"image/svg+xml": "svg", "image/png": "png", "image/gif": "gif"}

__all__ = ["build_site", "execute", "render"]


def build_site(root: Path, only: str = "") -> Iterator[Path]:
    """Execute every lecture and write its page; write every exercise's page as the student gets it.

    Yields
    ------
    Path
        Each page, when it has been written.
    """
    for source in sorted((root / "lectures").glob("[0-9]*.py")):
        if only in source.stem:
            notebook = lecture(source)
            execute(notebook, root)
            yield render(notebook, source.stem, root / "docs" / "lectures")
    for source in sorted((root / "solutions").glob("[0-9]*.py")):
        if only in source.stem:
            yield render(exercise(source), source.stem, root / "docs" / "exercises")


def execute(notebook: NotebookNode, folder: Path) -> None:
    """Run all cells in a fresh kernel, in `folder`; a cell that raises ends the run with its traceback."""
    NotebookClient(
        notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": str(folder)}}
    ).execute()


def render(notebook: NotebookNode, stem: str, folder: Path) -> Path:
    """Write ``<stem>.md``, its figures in ``<stem>_files/`` and the notebook to download; return the page."""
    files = folder / f"{stem}_files"
    files.mkdir(parents=True, exist_ok=True)
    for old in files.iterdir():
        old.unlink()
    blocks: list[str] = []
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            blocks.append(cell.source)
        elif cell.cell_type == "code":
            blocks.append(_fenced(cell.source, "python"))
            blocks += [_output(output, cell, files) for output in _joined(cell.get("outputs", []))]
    blocks.insert(1, f"[:material-download: This page as a notebook]({stem}.ipynb){{ .md-button download }}")
    download = nbformat.from_dict(notebook)
    for cell in download.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
            cell.metadata.pop("execution", None)
    nbformat.write(download, folder / f"{stem}.ipynb")
    page = folder / f"{stem}.md"
    page.write_text("\n\n".join(blocks) + "\n", encoding="utf-8")
    return page


def _joined(outputs: list[NotebookNode]) -> Iterator[NotebookNode]:
    """Join what was printed in several goes, and put pictures after it; what went to stderr is left out."""
    printed = "".join(output.text for output in outputs if output.output_type == "stream" and output.name == "stdout")
    if printed:
        yield nbformat.v4.new_output("stream", text=printed)
    yield from (output for output in outputs if output.output_type != "stream")


def _fenced(text: str, language: str) -> str:
    return f"```{language}\n{TERMINAL_COLORS.sub('', text).rstrip()}\n```"


def _output(output: NotebookNode, cell: NotebookNode, files: Path) -> str:
    if output.output_type == "stream":
        return _fenced(output.text, "text")
    if output.output_type == "error":
        return _fenced("\n".join(output.traceback), "text")
    data = output.data
    if "text/html" in data:
        html = "\n".join(line for line in data["text/html"].splitlines() if line.strip())  # a blank line ends raw HTML
        return f'<div class="nb-output">\n{html}\n</div>'
    for kind, suffix in FIGURES.items():
        if kind in data:
            alt = cell.metadata.get("alt")
            if not alt:
                raise ValueError(
                    f'a cell draws a figure and has no description: "# %% alt=…" is missing at {cell.source!r}'
                )
            name = cell.metadata.get("figure", f"figure_{len(list(files.iterdir())) + 1}")
            figure = files / f"{name}.{suffix}"
            content = data[kind]
            figure.write_bytes(content.encode() if suffix == "svg" else base64.b64decode(content))
            return f"![{alt}]({files.name}/{figure.name})"
    if "text/markdown" in data:
        return data["text/markdown"]
    return _fenced(data.get("text/plain", ""), "text")
