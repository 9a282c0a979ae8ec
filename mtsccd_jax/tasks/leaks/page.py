"""The page of an audit: what was found in a few sentences, the counts as tables, and the pairs as pictures."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mtsccd_jax import __version__
from mtsccd_jax.files import utf8
from mtsccd_jax.ops.hashes import layout
from mtsccd_jax.report import text
from mtsccd_jax.report.page import refuse_foreign, render
from mtsccd_jax.report.sections import Block, Place, Section, fragment
from mtsccd_jax.report.tables import Cell, Table
from mtsccd_jax.report.writer import write_file
from mtsccd_jax.tasks.leaks import registration
from mtsccd_jax.tasks.leaks.audit import EXACT, HASH, NEAR, PLACE, Audit, Member, Pair
from mtsccd_jax.tasks.leaks.images import seen
from mtsccd_jax.tasks.leaks.outputs import by_split_pair

# Pairs with pictures on the page; all are in pairs.csv.
SHOWN = 60

_TITLES = {EXACT: "Exact copy", NEAR: "Near copy", HASH: "Almost equal hashes"}


@dataclass(frozen=True)
class Side:
    """One image of a pair on the page; None where a hash list has it."""

    label: str
    name: str
    image: np.ndarray | None


@dataclass(frozen=True)
class Shown:
    """A pair on the page."""

    title: str
    relation: str
    sides: tuple[Side, Side]


def index_of(out: Path) -> Path:
    """Return where the page of an audit is written; InputError where another page is in the way."""
    index = out / "index.html"
    refuse_foreign(index)
    return index


def write(audit: Audit, told: Mapping[str, Any], out: Path) -> Path:
    """Write the page of an audit, given what `outputs.write` returned; return its path."""
    index = index_of(out)
    sections = [
        Section("summary", "What was found", Place.SUMMARY, _summary(audit, told), "Summary"),
        Section("pairs", "The pairs", Place.IMAGES, _pairs(audit), "Pairs"),
        Section("trust", "How far to believe it", Place.PROVENANCE, _trust(audit), "Trust", footer=[_footer()]),
    ]
    labels = list(dict.fromkeys(part.dataset for part in audit.parts))
    subtitle = f"{', '.join(labels)} · {len(audit.images):,} images, {text.plural(len(audit.parts), 'split')}"
    write_file(index, utf8(render("Leaks: copies by content", subtitle, sections)))
    return index


def _summary(audit: Audit, told: Mapping[str, Any]) -> list[Block]:
    return [
        Block("sentences", sentences(audit, told)),
        *([Block("tables", [_split_table(audit)], "dense")] if by_split_pair(audit) else []),
    ]


def sentences(audit: Audit, told: Mapping[str, Any]) -> list[str]:
    """Say what an audit found."""
    kinds, rows = told["kinds"], told["excluded"]
    found = [
        f"{text.plural(told['pairs'], 'pair')} of copies among {told['images']:,} images: {kinds[EXACT]:,} exact, "
        f"{kinds[NEAR]:,} near" + (f", {kinds[HASH]:,} by hashes of a list alone" if audit.lists else "") + "."
        if told["pairs"]
        else f"No copies were found among {told['images']:,} images."
    ]
    if told["pairs"]:
        found.append(
            f"{text.plural(told['leaks'], 'pair')} across splits of different use, so that {text.plural(rows, 'row')} "
            "of validation and test splits show what an earlier split holds; exclude.csv names them."
            if told["leaks"]
            else "None of them joins training with validation or test, so nothing leaks by copies."
        )
    crossing = sum(n for (first, second), n in audit.places.items() if first != second)
    if told["same_place_other_date"]:
        found.append(
            f"{told['same_place_other_date']:,} pairs show one place at two dates, as their names tell; {crossing:,} "
            "of them lie in different splits. They are no copies, but what is learned of a place holds at both dates."
        )
    if told["plain_pairs"]:
        found.append(
            f"{text.plural(told['plain_pairs'], 'pair')} of alike images, such as water and forest, are too plain to "
            "tell whether they are copies; they are not counted as such."
        )
    return found


def _split_table(audit: Audit) -> Table:
    heads = {PLACE: "Same place, other date", "plain": "Too plain to tell"}
    counts = by_split_pair(audit)
    there = {kind for of in counts.values() for kind, n in of.items() if n}
    titles = [kind for kind in (EXACT, NEAR, HASH, PLACE, "plain") if kind in {EXACT, NEAR, *there}]
    rows = [
        [Cell(first if first == second else f"{first} and {second}"), *(Cell(f"{of[kind]:,}") for kind in titles)]
        for (first, second), of in counts.items()
    ]
    columns = (("Splits", False), *((heads.get(kind, kind.capitalize()), True) for kind in titles))
    return Table("splits", "Pairs by the splits of their images.", columns, rows, [])


def _pairs(audit: Audit) -> list[Block]:
    if not audit.pairs:
        return [Block("missing", "There are no pairs to show.")]
    shown = [_shown(audit, pair) for pair in audit.pairs[:SHOWN]]
    some = f"The first {SHOWN} of {len(audit.pairs):,}; pairs.csv has all. " if len(audit.pairs) > SHOWN else ""
    order = "Leaks first, then the most certain ones. On the left is the image that is kept."
    return [Block("prose", some + order), fragment(__package__, "pairs.html", pairs=shown)]


def _shown(audit: Audit, pair: Pair) -> Shown:
    sure = "" if pair.correlation is None else f", correlation {pair.correlation:.3f}"
    title = _TITLES[pair.kind] + (", a leak" if pair.is_leak else "")
    relation = f"{pair.relation}{sure}, {text.plural(pair.bits, 'bit')} of the hash differ"
    return Shown(title, relation, (_side(audit, pair.kept), _side(audit, pair.copy)))


def _side(audit: Audit, member: Member) -> Side:
    image = None
    if member.input < len(audit.parts):
        image = seen(audit.parts[member.input], member.row)[member.view].image
    return Side(member.label, member.name, image)


def _trust(audit: Audit) -> list[Block]:
    rows = [
        [Cell(kind), Cell(f"{n:,}"), Cell(f"{hit:,}"), Cell(text.percent(hit / n, 1) if n else "–")]
        for kind, (hit, n) in audit.planted.items()
    ]
    columns = (("Planted copies", False), ("Planted", True), ("Found", True), ("Share", True))
    caption = "Copies made of some of these very images, and how many of them the same search finds."
    plain = int((audit.images.structure < registration.LEAST_STRUCTURE).sum())
    advice = (
        "A pair is a copy if one image lies on the other, in one of eight turns and flips, whole or as a crop of about "
        f"{layout.CROP:.0%} of the side, with a correlation that different scenes do not reach. Copies that were cut "
        "much smaller, turned by other angles, or drawn upon are not looked for. "
        f"{plain:,} of {len(audit.images):,} images are too plain to be told from others like them; only exact copies "
        "of them are found."
    )
    skipped = [Block("note", f"Left out, since it cannot be read: {line}") for line in audit.skipped[:5]]
    return [Block("prose", advice), Block("tables", [Table("planted", caption, columns, rows, [])], "dense"), *skipped]


def _footer() -> str:
    return f"Made by mtsccd-jax {__version__}, data audit. Counts, thresholds and versions are in audit.json."
