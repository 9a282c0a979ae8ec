"""Reads a page of the report: its tags, ids and visible text."""

from html.parser import HTMLParser

# Elements that HTML never closes, and those of the charts that close themselves.
VOID = {"meta", "link", "img", "br", "hr", "input"}


class Reader(HTMLParser):
    """Checks that tags are balanced; collects tags, ids and visible text."""

    def __init__(self):
        super().__init__()
        self.open, self.tags, self.ids, self.words, self.errors = [], [], [], [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self.ids += [value for name, value in attrs if name == "id"]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self.ids += [value for name, value in attrs if name == "id"]

    def handle_endtag(self, tag):
        if tag in VOID or not self.open or self.open.pop() != tag:
            self.errors.append(f"</{tag}> at {self.getpos()}")

    def handle_data(self, data):
        if self.open and self.open[-1] != "style":
            self.words.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.words).split())


def read(index):
    """The page, its tags balanced, its ids unique, its links to them, and its images described."""
    reader = Reader()
    reader.feed(index.read_text(encoding="utf-8"))
    reader.close()
    assert not reader.errors
    assert reader.open == []
    assert len(reader.ids) == len(set(reader.ids))
    assert {attrs["href"][1:] for tag, attrs in reader.tags if tag == "a"} <= set(reader.ids)
    assert all(attrs.get("alt") for tag, attrs in reader.tags if tag == "img")
    return reader
