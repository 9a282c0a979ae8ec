"""What the report page is made of: sections of blocks, and what a task hands the page to show its rows."""

import enum
import functools
import importlib.resources
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from mtsccd_jax.report.meaning.definitions import Definitions
from mtsccd_jax.report.rows import Row
from mtsccd_jax.report.runs import Run

if TYPE_CHECKING:
    import jinja2

    from mtsccd_jax.report.writer import Writer


# Kinds of block with text ("missing" says what is not shown) and with a list ("long tables" are folded away where they
# are long, "columns" are small tables side by side, "details" are folded away).
TextKind = Literal["heading", "subheading", "prose", "note", "missing", "html"]
ListKind = Literal["sentences", "figures", "tables", "long tables", "columns", "details"]


class Place(enum.IntEnum):
    """The places on the page, from top to bottom; sections of one place stand in the order of their tasks."""

    SUMMARY = enum.auto()
    BESIDE_PUBLISHED = enum.auto()
    SPEED = enum.auto()
    DIFFERENCES = enum.auto()
    RESULTS = enum.auto()
    SHIFT = enum.auto()
    IMAGES = enum.auto()
    TRAINING = enum.auto()
    PUBLISHED = enum.auto()
    MEANING = enum.auto()
    PROVENANCE = enum.auto()


class Figure(NamedTuple):
    """A chart on the page; where there is nothing to draw, `svg` is empty and `missing` says why."""

    title: str
    caption: str = ""
    svg: str = ""
    missing: str = ""
    wide: bool = False


class Block(NamedTuple):
    """A block of a section."""

    kind: TextKind | ListKind  # how `page.html` lays it out
    content: Any  # text, HTML, sentences, tables, `Figure`s or `Fold`s
    style: str = ""  # CSS classes of tables; "large" for charts; "first open" where the first fold stands open


class Fold(NamedTuple):
    """Blocks that are folded away under a title."""

    title: str
    blocks: Sequence[Block]

    @property
    def charts(self) -> int:
        """The number of its charts."""
        return sum(len(block.content) for block in self.blocks if block.kind == "figures")


@dataclass(frozen=True)
class Section:
    """A section of the page. Tasks may each give a part of one: parts with one `id` are put together."""

    id: str
    title: str
    place: Place
    blocks: Sequence[Block]
    nav: str = ""  # its name in the navigation
    notes: Sequence[str] = ()  # what to know before the content; of sections put together, all notes come first
    footer: Sequence[str] = ()  # sentences for the foot of the page


@dataclass(frozen=True)
class Protocol:
    """One way to make a result, as the page names it."""

    name: str  # `Row.protocol`
    title: str  # name on the page
    tile: str  # title of its large number at the top
    metric: str  # the first metric of its rows
    sentence: Callable[[Sequence[Row]], str]  # says what repetitions of one row show
    images: int = 1  # of one example
    row_settings: str = ""  # section of the recipe that rows of one run may have differently


@dataclass(frozen=True)
class TaskReport:
    """What a task hands the page."""

    subject: str  # such as "Land use"
    topics: tuple[str, ...]  # for the title of the page, such as ("scenes", "change")
    protocols: tuple[Protocol, ...]
    sections: tuple[Callable[["Writer", Sequence[Run]], Iterable[Section]], ...]  # each is called once
    definitions: Definitions  # of the metrics of its rows
    # Protocol of rows that sum up others -> protocol of these, which are then not shown one by one.
    sums_up: Mapping[str, str] = field(default_factory=dict)


def fragment(package: str, template: str, **values: Any) -> Block:
    """Render a template of a package with these values; all text in it is escaped."""
    source = importlib.resources.files(package).joinpath(template).read_text(encoding="utf-8")
    return Block("html", environment().from_string(source).render(**values))


@functools.cache
def environment() -> "jinja2.Environment":
    """Return the environment of all templates of the page."""
    import jinja2

    from mtsccd_jax.report import text
    from mtsccd_jax.report.pictures import photos

    made = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    made.globals.update(data_uri=photos.data_uri, number=text.number)
    return made
