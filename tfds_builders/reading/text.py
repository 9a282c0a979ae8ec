"""Read lists and tables of text as people's programs write them: one place for encodings, line ends and quotes.

Excel saves UTF-8 with a byte-order mark and CRLF, or semicolons where the comma is the decimal mark; PowerShell saves
UTF-16; pandas puts an index in front and a header on top; all of them may quote a cell.
"""

import codecs
import csv
import io
import json
from collections.abc import Iterator
from typing import Any

from tfds_builders.reading.archive import ArchiveError

# The longer marks first: that of UTF-32 begins with that of UTF-16.
_MARKS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
_SEPARATORS = ",;\t"
# What pandas and R call the column of row numbers that they put in front.
_INDEX_NAMES = ("", "Unnamed: 0", "index")


def decoded(data: bytes, where: object, *, lenient: bool = False) -> str:
    """Return the content of a text file, in UTF-8 or with the byte-order mark of another Unicode encoding.

    `lenient` replaces what is neither, for files of which only some are lists.

    Raises:
        ArchiveError: it is in another encoding, or no text; the message begins with `where` and names the line.
    """
    encoding = next((name for mark, name in _MARKS.items() if data.startswith(mark)), "utf-8")
    if encoding == "utf-16" and len(data) % 2:
        data = data.removesuffix(b"\n")  # appended by a program that took it for bytes
    try:
        text = data.decode(encoding, "replace" if lenient else "strict")
    except UnicodeDecodeError as error:
        raise _no_text(where, data[: error.start].count(b"\n"), error.reason) from error
    if "\0" in text and not lenient:
        raise _no_text(where, text.partition("\0")[0].count("\n"), "a zero byte")
    return text


def parsed_json(text: str | bytes) -> Any:
    """Return the value of a JSON text; raise ValueError where it is none, or nested deeper than Python can follow."""
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("nested too deep") from None


def _no_text(where: object, lines_before: int, reason: str) -> ArchiveError:
    return ArchiveError(f"{where}: not a text file in UTF-8 (line {lines_before + 1}: {reason}); save it as UTF-8")


def text_rows(data: bytes, where: object) -> Iterator[tuple[int, list[str]]]:
    """Yield (line number, cells) of every line of a list that is not empty; cells lose quotes and outer spaces.

    Cells are separated by commas, or else by the semicolons or tabs of the first line.

    Raises:
        ArchiveError: as `decoded`, or a quote is not closed.
    """
    lines = io.StringIO(decoded(data, where), newline=None)
    first = next((line for line in lines if line.strip()), "")
    lines.seek(0)
    reader = csv.reader(lines, delimiter=max(_SEPARATORS, key=first.count), skipinitialspace=True, strict=True)
    try:
        for row in reader:
            cells = [cell.strip() for cell in row]
            if any(cells):
                yield reader.line_num, cells
    except csv.Error as error:
        raise ArchiveError(f"{where}, line {reader.line_num}: {error}; close or remove the quotes") from error


def table_rows(data: bytes, where: object) -> Iterator[tuple[int, list[str]]]:
    """Yield the rows of a list whose first line is a header, as `text_rows`, without a column of row numbers."""
    first = None
    for number, cells in text_rows(data, where):
        first = cells[0] in _INDEX_NAMES if first is None else first
        yield number, (cells[1:] or [""]) if first else cells
