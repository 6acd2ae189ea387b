"""Tables as spreadsheets and course systems have them: written so that no cell acts, read so that no byte is lost.

The `csv` module does neither: it quotes for one separator only, and it does not say where in the file a cell stood.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from vidlearn.grade.intake import printable

__all__ = ["Cell", "Sheet", "harmless", "read", "table"]


def table(rows: Iterable[Iterable[str]]) -> str:
    r"""Lines of comma-separated cells; one that holds what separates cells in another country too stands in quotes.

    Examples
    --------
    >>> table([["ada", "1;2"]])
    'ada,"1;2"\n'
    """

    def quoted(cell: str) -> str:
        return '"' + cell.replace('"', '""') + '"' if re.search(r'[,;|"\t\r\n]', cell) else cell

    return "".join(",".join(map(quoted, row)) + "\n" for row in rows)


def harmless(text: str) -> str:
    """Text without a formula in it, also where a spreadsheet cuts it into cells at a semicolon.

    Examples
    --------
    >>> harmless("=1+1"), harmless("Doe;@now"), harmless("Ada")
    ("'=1+1", "Doe;'@now", 'Ada')
    """
    return ";".join(map(_no_formula, printable(str(text)).split(";")))


def _no_formula(text: str) -> str:
    # some programs skip white space, and take the wide forms of East Asian keyboards too
    first = unicodedata.normalize("NFKC", text).lstrip(" \ufffd\u200b\ufeff'\"")[:1]
    return "'" + text if first and first in "=+-@|%" else text


@dataclass
class Cell:
    """What a cell says, and where in the text it stands, its quotation marks included."""

    value: str
    start: int
    end: int


@dataclass
class Sheet:
    """A CSV file as spans of its text: what is not replaced stays as it is, byte for byte."""

    text: str
    encoding: str
    delimiter: str
    rows: list[list[Cell]]

    def value(self, row: list[Cell], column: int | None) -> str:
        """What stands in a column, or an empty string where there is none."""
        return row[column].value.strip() if column is not None and column < len(row) else ""

    @property
    def decimal(self) -> str:
        """The decimal mark that the file itself uses."""
        cells = [cell.value.strip() for row in self.rows[1:] for cell in row]
        comma = any(re.fullmatch(r"-?\d+,\d{1,2}", value) for value in cells)
        point = any(re.fullmatch(r"-?\d+\.\d+", value) for value in cells)
        return "," if comma and not point else "."

    def replace(self, changes: dict[int, tuple[Cell, str]]) -> bytes:
        """The file with some cells replaced; a cell that was quoted stays so."""
        parts, at = [], 0
        for start in sorted(changes):
            cell, value = changes[start]
            quoted = self.text[start : start + 1] == '"' or self.delimiter in value
            parts += [self.text[at:start], f'"{value}"' if quoted else value]
            at = cell.end
        return "".join([*parts, self.text[at:]]).encode(self.encoding)


def read(raw: bytes, recognized: Callable[[list[str]], bool], expected: str) -> Sheet:
    """The file with the encoding and the separator by which its first row is recognized.

    Raises
    ------
    ValueError
        If there are none, with what was `expected`, or if a quotation mark is never closed.

    Examples
    --------
    >>> sheet = read(b"Name;Grade\\r\\nAda;\\r\\n", lambda header: "Grade" in header, "a table with grades")
    >>> cell = sheet.rows[1][1]
    >>> sheet.delimiter, sheet.replace({cell.start: (cell, "3.00")})
    (';', b'Name;Grade\\r\\nAda;3.00\\r\\n')
    """
    encoding = next((code for bom, code in _BOMS.items() if raw.startswith(bom)), "")
    for code in [encoding] if encoding else ["utf-8", "cp1252"]:
        try:
            text = raw.decode(code)
        except UnicodeDecodeError:
            continue
        for delimiter in ",;\t":
            rows = _rows(text, delimiter)
            try:
                header = next(rows, [])
            except ValueError:  # with another separator, quotation marks mean something else
                continue
            if header and recognized([cell.value.strip() for cell in header]):
                return Sheet(text, code, delimiter, [header, *rows])
    raise ValueError(f"into: this is not such a file; expected {expected}")


_BOMS = {b"\xff\xfe": "utf-16-le", b"\xfe\xff": "utf-16-be"}  # the mark itself stays in the text; so does UTF-8's


def _rows(text: str, delimiter: str) -> Iterator[list[Cell]]:
    """Split text into cells that know where they stand, row by row as they are asked for."""
    part = re.escape(delimiter)
    pattern = re.compile(rf'("(?:[^"]|"")*")?([^{part}\r\n]*)({part}|\r\n?|\n|\Z)')
    row: list[Cell] = []
    at, end = int(text.startswith("\ufeff")), delimiter
    while end:
        match = pattern.match(text, at)
        assert match is not None
        quoted, plain, end = match.groups(default="")
        if not quoted and plain.startswith('"'):
            raise ValueError(f"into: a quotation mark in line {text.count(chr(10), 0, at) + 1} is never closed")
        row.append(Cell(quoted[1:-1].replace('""', '"') + plain, at, match.end(2)))
        at = match.end()
        if end != delimiter:
            if len(row) > 1 or row[0].value:
                yield row
            row = []
