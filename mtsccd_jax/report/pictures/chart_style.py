"""The style of charts: one chart as SVG and as PNG, and the SVG for use inside a page.

Charts are drawn in the literal colours of the light theme. `inline` replaces these by CSS variables, so that a chart
inside the page follows the reader's light or dark setting, while the same chart as a file stays as drawn.
"""

import contextlib
import html
import io
import re
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import numpy as np

from mtsccd_jax.errors import printable
from mtsccd_jax.report.pictures import fonts

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# The light theme. Readers with the common colour deficiencies can tell blue, vermilion and green apart (Okabe and Ito),
# and every series differs in line style or marker as well.
INK = "#1d2127"
MUTED = "#5a6370"
RULE = "#e2e5e9"
SURFACE = "#fefefd"
BLUE = "#0072b2"
VERMILION = "#d05a00"
GREEN = "#00876a"

CSS_VARIABLES: dict[str, str] = {
    INK: "--ink",
    MUTED: "--muted",
    RULE: "--rule",
    SURFACE: "--surface",
    BLUE: "--blue",
    VERMILION: "--vermilion",
    GREEN: "--green",
}

FONTS = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"

# Inches. At 72 units an inch a chart is about as wide as a phone's screen, so that 10-unit text stays legible there.
WIDTH_IN = 4.9
HEIGHT_IN = 3.1

# More points than this on a line cannot be seen at the size of a page and only make the file longer.
MAX_POINTS = 200

# Dots an inch of the PNG.
DPI = 144

# By figure, the letters that symbols stand for.
_LETTER_OF: WeakKeyDictionary["Figure", dict[int, str]] = WeakKeyDictionary()

# Attributes of SVG elements with coordinates in them, and a number in one.
_COORDINATES = frozenset({"d", "x", "y", "width", "height", "transform"})
_DECIMAL = re.compile(r"-?\d+\.\d+")

_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "mtsccd-jax",
    "font.family": [fonts.FAMILY],
    "font.size": 11.0,
    "axes.labelsize": 10.5,
    "axes.titlesize": 10.0,
    "axes.titlelocation": "left",
    "axes.labelcolor": INK,
    "axes.edgecolor": MUTED,
    "axes.linewidth": 0.7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.facecolor": SURFACE,
    "figure.facecolor": SURFACE,
    "grid.color": RULE,
    "grid.linewidth": 0.7,
    "text.color": INK,
    "text.parse_math": False,  # a dollar sign in a name is one
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelsize": 10.0,
    "ytick.labelsize": 10.0,
    "xtick.major.width": 0.7,
    "ytick.major.width": 0.7,
    "legend.frameon": False,
    "legend.fontsize": 10.0,
    "legend.handlelength": 1.8,
    "lines.linewidth": 1.6,
    "lines.solid_capstyle": "round",
}


@dataclass(frozen=True)
class Chart:
    """One chart as SVG text and as PNG bytes."""

    svg: str
    png: bytes


def inline(svg: str, prefix: str) -> str:
    """Return an SVG for use inside an HTML page, in the page's colours and fonts, as wide as its container.

    Coordinates are rounded to a tenth of a unit, less than a pixel. `prefix` makes ids unique on the page.
    """
    root = ET.fromstring(svg)
    for metadata in root.findall("{*}metadata"):
        root.remove(metadata)
    for name in ("version", "width", "height"):
        root.attrib.pop(name)
    for element in root.iter():
        element.tag = element.tag.rpartition("}")[2]
        element.tail = None
        if element.text and not element.text.strip():
            element.text = None
        if f"#{element.get('id')}" not in svg:  # nothing refers to it
            element.attrib.pop("id", None)
        attributes = {name.rpartition("}")[2]: value for name, value in element.attrib.items()}
        element.attrib = {name: _inline_value(name, value, prefix) for name, value in attributes.items()}
    body = ET.tostring(root, encoding="unicode").replace(f"font-family: {FONTS}; ", "")
    for color, variable in CSS_VARIABLES.items():
        body = body.replace(color, f"var({variable})")
    return body


def _inline_value(name: str, value: str, prefix: str) -> str:
    """Return the value of an attribute inside a page: ids and links with the prefix, coordinates rounded."""
    if name == "id":
        return f"{prefix}-{value}"
    if name == "href":
        return f"#{prefix}-{value.removeprefix('#')}"
    if name in _COORDINATES:
        short = _DECIMAL.sub(lambda number: f"{float(number.group()):.1f}".removesuffix(".0"), value)
        return " ".join(short.split())
    return value.replace("url(#", f"url(#{prefix}-")


@contextlib.contextmanager
def figure(width_in: float, height_in: float, *, panels: int = 1, heights: tuple[float, ...] = ()) -> Iterator[Any]:
    """Yield (figure, axes, ...) with so many stacked panels on one x axis, in the style of the report."""
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_STYLE)
        figure = Figure(figsize=(width_in, height_in), layout="constrained")
        ratios = heights[:panels] if panels > 1 else None
        axes = figure.subplots(panels, 1, sharex=True, squeeze=False, height_ratios=ratios)
        yield figure, *axes[:, 0]


def chart(figure: "Figure", alt: str) -> Chart:
    """Return the figure as SVG, with system fonts and `alt` as its accessible name, and PNG; the same every time.

    The PNG has numbers for words that no font can write; its description says what they stand for. The canvases draw
    the figure once each; `savefig` would lay out all its texts a second time.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.backends.backend_svg import FigureCanvasSVG

    alt = printable(alt)  # XML holds no control characters
    families, letter_of = make_readable(figure)
    text = io.StringIO()
    FigureCanvasSVG(figure).print_svg(text, metadata={"Date": None, "Creator": None})
    svg = text.getvalue().translate(letter_of)
    for names in (families, families[:1]):
        svg = svg.replace(", ".join(f"'{name}'" for name in names), FONTS)
    svg = svg.replace("<svg ", f'<svg role="img" aria-label="{html.escape(alt)}" ', 1)
    figure.set_layout_engine("none")  # the layout is computed; computing it again takes as long as drawing
    if letter_of:
        words: list[str] = []
        _rewrite(figure, lambda text: fonts.numbered(text, map(chr, letter_of), words))
        alt = f"{alt}; {fonts.said_of(word.translate(letter_of) for word in words)}"
    pixels = io.BytesIO()
    figure.set_dpi(DPI)
    FigureCanvasAgg(figure).print_png(pixels, metadata={"Software": None, "Description": alt})
    return Chart(svg, pixels.getvalue())


def make_readable(figure: "Figure") -> tuple[tuple[str, ...], dict[int, str]]:
    """Give the texts of a figure fonts that have their letters, and return these families.

    Where no font has a letter, a symbol stands for it from here on. The second result maps symbols to letters, for
    `str.translate`. Call it before anything measures the texts; a second call changes nothing.
    """
    from matplotlib.text import Text

    texts: list[str] = []
    _rewrite(figure, lambda text: texts.append(text) or text)  # type: ignore[func-returns-value]
    files, missing = fonts.choose("".join(texts))
    families = tuple(files)
    letter_of = _LETTER_OF.setdefault(figure, {})
    symbol_of = fonts.stand_ins(missing, "".join(texts))
    for letter, symbol in symbol_of.items():
        letter_of[ord(symbol)] = chr(letter) if chr(letter).isprintable() else "\ufffd"
    if symbol_of:
        _rewrite(figure, lambda text: text.translate(symbol_of))
    for text in figure.findobj(Text) if len(families) > 1 else ():
        if len(fonts.choose(text.get_text())[0]) > 1:  # other texts may be bold, which these families may lack
            text.set_fontfamily(list(families))
    return families, letter_of


def _rewrite(figure: "Figure", change: Callable[[str], str]) -> None:
    """Change every text of a figure, names of ticks among them."""
    from matplotlib.text import Text
    from matplotlib.ticker import FixedLocator

    for axis in (axis for axes in figure.axes for axis in (axes.xaxis, axes.yaxis)):
        if isinstance(axis.get_major_locator(), FixedLocator):
            names = [label.get_text() for label in axis.get_ticklabels()]
            if (changed := list(map(change, names))) != names:
                axis.set_ticklabels(changed)
    for text in figure.findobj(Text):
        text.set_text(change(text.get_text()))


def marks(
    axes: "Axes",
    places: Sequence[tuple[float | None, float]],
    marker: str,
    color: str,
    label: str,
    size: float,
    *,
    hollow: bool = False,
) -> None:
    """Draw a marker at every (x, y) whose x is known; the legend names the label only if there is such a marker."""
    known = [(x, y) for x, y in places if x is not None]
    if known:
        x, y = zip(*known, strict=True)
        face = SURFACE if hollow else color
        axes.plot(x, y, marker, color=color, markerfacecolor=face, markersize=size, markeredgewidth=1.6, label=label)


def threshold_line(axes: "Axes", threshold: float, text: str) -> None:
    """Draw the chosen threshold as a vertical line with its value at the top."""
    axes.axvline(threshold, color=INK, linewidth=1.1)
    right = threshold > sum(axes.get_xlim()) / 2
    axes.annotate(
        f"{text}: {threshold:.3g}",
        (threshold, 1.0),
        xycoords=("data", "axes fraction"),
        xytext=(-4 if right else 4, -2),
        textcoords="offset points",
        ha="right" if right else "left",
        va="top",
        fontsize=10.0,
    )


def legend_below(figure: "Figure", axes: "Axes", columns: int) -> None:
    """Put the legend under the axes, where it covers no data."""
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower left", ncols=columns, columnspacing=1.4, borderaxespad=0.2)


def wrapped(text: str, length: int, lines: int) -> str:
    """Break the text into lines of at most `length` characters, at spaces, else at underscores.

    Text that needs more lines loses its middle, because names differ at their ends.
    """
    for kept in range(len(text), 0, -1):
        cut = (
            text
            if kept == len(text)
            else f"{text[: (kept + 1) // 2].rstrip()}…{text[len(text) - kept // 2 :].lstrip()}"
        )
        found = [""]
        for word in re.findall(r"\s*[^\s_]+_*|\s*_+", cut):
            if len(found[-1] + word) > length and found[-1]:
                found.append("")
            word = word if found[-1] else word.lstrip()
            found[-1:] = [(found[-1] + word)[i : i + length] for i in range(0, len(found[-1] + word), length)]
        if len(found) <= lines:
            return "\n".join(found)
    return text


def thinned(x_n: np.ndarray, y_n: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return at most `MAX_POINTS` finite points, evenly spaced in rank, the first and the last among them."""
    x_n, y_n = np.asarray(x_n, dtype=np.float64), np.asarray(y_n, dtype=np.float64)
    finite = np.flatnonzero(np.isfinite(x_n) & np.isfinite(y_n))
    kept = finite[evenly(len(finite))]
    return x_n[kept], y_n[kept]


def evenly(count: int) -> np.ndarray:
    """Return at most `MAX_POINTS` evenly spaced indices below `count`, the first and the last among them."""
    return np.linspace(0, count - 1, min(count, MAX_POINTS)).round().astype(np.int64)


def running_mean(y_n: np.ndarray, window: int) -> np.ndarray:
    """Return the mean of each value and up to window - 1 values before it."""
    total = np.concatenate([[0.0], np.cumsum(np.asarray(y_n, dtype=np.float64))])
    end = np.arange(1, len(total))
    start = np.maximum(end - window, 0)
    mean: np.ndarray = (total[end] - total[start]) / (end - start)
    return mean
