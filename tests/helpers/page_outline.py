"""What a reader of a page sees, in order, one line a block: to compare pages that are made in different ways."""

from html.parser import HTMLParser
from pathlib import Path

# Elements inside a line of text; every other one begins a new line.
INLINE = {"a", "abbr", "b", "i", "small", "span", "strong", "sub", "sup", "td", "th"}
UNSEEN = {"script", "style", "svg", "title"}


class Outline(HTMLParser):
    """Collect the lines of a page: text, names of sections, targets of links, what images show."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = [""]
        self._unseen: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in UNSEEN:
            self._unseen.append(tag)
        if self._unseen:
            return
        if tag not in INLINE:
            self.lines.append("")
        elif tag in ("td", "th"):
            self.lines[-1] += " |"
        values = dict(attrs)
        if tag == "section":
            self.lines[-1] = f"## {values['id']}"
        for name in ("href", "alt", "aria-label"):
            if name in values and values[name] != "data:,":
                self.lines[-1] += f" ({name}: {values[name]})"

    def handle_endtag(self, tag: str) -> None:
        if self._unseen and tag == self._unseen[-1]:
            self._unseen.pop()
        elif not self._unseen and tag not in INLINE:
            self.lines.append("")

    def handle_data(self, data: str) -> None:
        if not self._unseen:
            self.lines[-1] += f" {data}"


def outline(page: Path) -> list[str]:
    """Return the lines of a page, without those that are empty."""
    reader = Outline()
    reader.feed(page.read_text(encoding="utf-8"))
    reader.close()
    return [line for line in (" ".join(text.split()) for text in reader.lines) if line]
