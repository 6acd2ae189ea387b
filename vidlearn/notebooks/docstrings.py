"""Docstrings for the site: numpydoc writes equations in reStructuredText, the pages are Markdown."""

from __future__ import annotations

import re
from typing import Any

from griffe import Extension

__all__ = ["Equations", "to_markdown"]

BLOCK = re.compile(r"^\.\. math::[ \t]*(.*(?:\n(?:[ \t]*\n)?[ \t]+\S.*)*)", re.MULTILINE)
INLINE = re.compile(r":math:`([^`]*)`")
ROLE = re.compile(r":(?:func|class|meth|mod|data|attr):`[.~]*([^`]*)`")
# "residual" alone is a name whose type stands in the signature; the parser would take it for the type
RETURNED = re.compile(
    r"^(Returns\n-+\n(?!(?:str|int|bool|float|list|dict|tuple)\n)[a-z]\w*)(?=\n[ \t]+\S)", re.MULTILINE
)
SEVERAL = re.compile(r"^(Returns\n-+\n)\w+, [\w, ]+(?=\n[ \t]+\S)", re.MULTILINE)
CITATION = re.compile(r"^\.\. \[(\w+)\] ", re.MULTILINE)
CITED = re.compile(r"\[(\w+)\]_(?!\w)")


def to_markdown(text: str) -> str:
    r"""Turn the few reStructuredText marks of a numpydoc docstring into Markdown.

    Examples
    --------
    >>> print(to_markdown("Solve :math:`a x = b` with :func:`solve`."))
    Solve $a x = b$ with `solve`.
    >>> print(to_markdown(".. math::\n\n    a &= b\n\n    c = d\n\nthen"))
    $$
    \begin{aligned}
    a &= b
    \end{aligned}
    $$
    <BLANKLINE>
    $$
    c = d
    $$
    <BLANKLINE>
    then
    """
    text = BLOCK.sub(_displayed, text)
    text = INLINE.sub(r"$\1$", text)
    text = ROLE.sub(lambda m: f"`{m[1]}`", text)
    text = SEVERAL.sub(r"\1:", RETURNED.sub(r"\1 :", text))
    text = CITED.sub(r"[\1]", CITATION.sub(r"- [\1] ", text))
    return text.replace("``", "`")


def _displayed(block: re.Match[str]) -> str:
    """Show each equation of a block by itself; a blank line stands between two, and "&" where lines are aligned."""

    def shown(equation: str) -> str:
        lines = "\n".join(map(str.strip, equation.splitlines()))
        if "&" in lines and "\\begin" not in lines:
            lines = f"\\begin{{aligned}}\n{lines}\n\\end{{aligned}}"
        return f"$$\n{lines}\n$$"

    return "\n\n".join(map(shown, re.split(r"\n[ \t]*\n", block[1].strip())))


class Equations(Extension):
    """Lets mkdocstrings show the equations."""

    def on_instance(self, *, obj: Any, **_: Any) -> None:
        """Rewrite a docstring as soon as it has been read."""
        if obj.docstring and not obj.is_alias:
            obj.docstring.value = to_markdown(obj.docstring.value)
