"""Photographs of searches: the query, and beside it its hits."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mtsccd_jax.report.pictures import photos
from mtsccd_jax.report.pictures.chart_style import INK, MUTED, VERMILION

# Hits that stand side by side; more go on below.
HITS_ACROSS = 10


@dataclass(frozen=True)
class Seen:
    """A query or a hit: its image (h, w, 3) uint8, its name or labels in words, its distance, whether it is relevant.

    A query has no distance; what is relevant to a query without labels is not known.
    """

    image: np.ndarray
    caption: str
    distance: float | None = None
    relevant: bool | None = None


@dataclass(frozen=True)
class Search:
    """A query and its hits, the nearest first."""

    query: Seen
    hits: tuple[Seen, ...]


def search_sheet(searches: Sequence[Search]) -> bytes:
    """Return the PNG of searches: each query with its hits, their labels and distances; wrong ones in red."""
    thumb, margin, gap, text_height = photos.THUMB, photos.MARGIN, photos.GAP, photos.TEXT
    across = min(HITS_ACROSS, max((len(search.hits) for search in searches), default=0))
    apart, line = 4 * gap, thumb + 3 * text_height + gap
    lines_of = [max(1, -(-len(search.hits) // HITS_ACROSS)) for search in searches]
    width = 2 * margin + thumb + apart + across * (thumb + gap)
    sheet, draw, font = photos.canvas(width, 2 * margin + sum(lines_of) * line)
    for row, search in enumerate(searches):
        top = margin + sum(lines_of[:row]) * line
        rule = margin + thumb + apart // 2
        draw.line([(rule, top), (rule, top + lines_of[row] * line - 3 * text_height - gap)], fill=MUTED)
        for place, seen in enumerate((search.query, *search.hits)):
            down, column = divmod(place - 1, HITS_ACROSS) if place else (0, -1)
            x, y = margin + (column + 1) * (thumb + gap) + (apart - gap) * (place > 0), top + down * line
            sheet.paste(photos.photo(seen.image), (x, y))
            ink = VERMILION if seen.relevant is False else INK
            below = "query" if seen.distance is None else f"{seen.distance:.3f}"
            lines = [(words, ink) for words in photos.on_two_lines(seen.caption, draw, font)]
            for number, (words, color) in enumerate([*lines, (below, MUTED)]):
                draw.text((x, y + thumb + 2 + number * text_height), words, fill=color, font=font)
    return photos.png(sheet)
