"""How charts are drawn: the house style, the same chart as SVG and PNG, and the SVG for use inside a page.

Colours are written as the literal values of the light theme. `inline` turns them into CSS variables, so that a chart
inside the page follows the reader's light or dark setting, while the same chart as a file of its own stays as drawn.
"""

import contextlib
import html
import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# The light theme. Blue, vermilion and green are told apart by readers with any of the common colour deficiencies
# (Okabe and Ito), and every series differs in line style or marker as well.
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

# More points than this on a line are invisible at the size of a page and only make the file longer.
MAX_POINTS = 200

# Dots an inch of the PNG.
DPI = 144

_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "mtsccd-jax",
    "font.family": ["DejaVu Sans"],
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
    """One chart: its SVG as text, and the same as PNG bytes."""

    svg: str
    png: bytes


def inline(svg: str, prefix: str) -> str:
    """The chart for use inside an HTML page: themed colours, ids of its own, no XML prolog, as wide as its container.

    Args:
        svg: Of a `Chart`.
        prefix: Unique on the page; put before every id.
    """
    body = svg[svg.index("<svg") :]
    body = re.sub(r"<metadata>.*?</metadata>", "", body, flags=re.DOTALL)
    end = body.index(">")
    body = re.sub(r'\s(?:xmlns|xmlns:xlink|version|width|height)="[^"]*"', "", body[:end]) + body[end:]
    body = body.replace("xlink:href", "href")
    body = re.sub(r'\bid="', f'id="{prefix}-', body)
    body = body.replace('href="#', f'href="#{prefix}-').replace("url(#", f"url(#{prefix}-")
    for color, variable in CSS_VARIABLES.items():
        body = body.replace(color, f"var({variable})")
    return _shortened(body)


def _shortened(svg: str) -> str:
    """The same chart in about a third of the characters, at a tenth of a unit; with the page's fonts."""
    svg = re.sub(r"<!--.*?-->", "", svg, flags=re.DOTALL)
    svg = re.sub(r" font-family: [^;\"]*;?", "", svg)
    svg = re.sub(r"font: (\d[\d.]*px) [^;\"]*", r"font-size: \1", svg)
    svg = re.sub(r"\btransform=\"rotate\(-0 [^)]*\)\"", "", svg)
    used = set(re.findall(r"(?:href=\"|url\()#([^\")]*)", svg))
    svg = re.sub(r"\sid=\"([^\"]*)\"", lambda match: match.group(0) if match.group(1) in used else "", svg)
    svg = re.sub(r'(?<= )(d|x|y|transform|height|width)="([^"]*)"', _short_attribute, svg)
    svg = re.sub(r">\s+<", "><", re.sub(r"\s+", " ", svg))
    shorter = ""
    while shorter != svg:  # groups that hold nothing, or one thing and no attribute of their own
        svg, shorter = re.sub(r"<g>((?:<(?:path|use)[^>]*/>|<text[^>]*>[^<]*</text>)?)</g>|<g/>", r"\1", svg), svg
    return svg.strip()


def _short_attribute(match: re.Match[str]) -> str:
    """An attribute whose numbers have one decimal, without spaces where a path needs none."""

    def number(found: re.Match[str]) -> str:
        return f"{float(found.group()):.1f}".removesuffix(".0")

    value = re.sub(r"-?\d+\.\d+", number, " ".join(match.group(2).split()))
    value = re.sub(r" ?([MLQCz]) ?", r"\1", value)
    return f'{match.group(1)}="{value}"'


@contextlib.contextmanager
def figure(width_in: float, height_in: float, *, panels: int = 1, heights: tuple[float, ...] = ()) -> Iterator[Any]:
    """(figure, axes, ...) of that many stacked panels on one x axis, drawn and saved in the house style."""
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
    """The figure as SVG, with system fonts and its description as accessible name, and PNG; the same every time."""
    text = io.StringIO()
    figure.savefig(text, format="svg", metadata={"Date": None, "Creator": None})
    svg = text.getvalue().replace("'DejaVu Sans'", FONTS)
    svg = svg.replace("<svg ", f'<svg role="img" aria-label="{html.escape(alt)}" ', 1)
    figure.set_layout_engine("none")  # the places are found; finding them again takes as long as drawing
    pixels = io.BytesIO()
    figure.savefig(pixels, format="png", dpi=DPI, metadata={"Software": None, "Description": alt})
    return Chart(svg, pixels.getvalue())


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
    """Nothing; draws one marker at every (x, y) whose x is known, and the label only if there is one."""
    known = [(x, y) for x, y in places if x is not None]
    if known:
        x, y = zip(*known, strict=True)
        face = SURFACE if hollow else color
        axes.plot(x, y, marker, color=color, markerfacecolor=face, markersize=size, markeredgewidth=1.6, label=label)


def threshold_line(axes: "Axes", threshold: float, text: str) -> None:
    """Nothing; draws the chosen threshold as a vertical line with its value written at its top."""
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
    """Nothing; puts the legend under the axes, where it covers no data."""
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower left", ncols=columns, columnspacing=1.4, borderaxespad=0.2)


def wrapped(text: str, length: int, lines: int) -> str:
    """The text on lines of at most `length` characters, broken at spaces, else at underscores.

    What does not fit on so many lines is cut out of its middle: names differ at their ends.
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
    """At most `MAX_POINTS` of the points, evenly spaced in rank, first and last included, where both are finite."""
    x_n, y_n = np.asarray(x_n, dtype=np.float64), np.asarray(y_n, dtype=np.float64)
    finite = np.flatnonzero(np.isfinite(x_n) & np.isfinite(y_n))
    if len(finite) > MAX_POINTS:
        finite = finite[np.linspace(0, len(finite) - 1, MAX_POINTS).round().astype(np.int64)]
    return x_n[finite], y_n[finite]


def running_mean(y_n: np.ndarray, window: int) -> np.ndarray:
    """The mean of each value and up to window - 1 before it."""
    total = np.concatenate([[0.0], np.cumsum(np.asarray(y_n, dtype=np.float64))])
    end = np.arange(1, len(total))
    start = np.maximum(end - window, 0)
    return (total[end] - total[start]) / (end - start)
