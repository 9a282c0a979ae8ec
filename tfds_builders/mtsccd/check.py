"""Compare an archive of MtSCCD with the paper's tables, by file names alone."""

import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tfds_builders.mtsccd.archive import Listing, Scene, is_image, list_archive, open_mtsccd, with_archive_cities
from tfds_builders.mtsccd.names import CITIES, CLASSES, SPLITS
from tfds_builders.mtsccd.splits import split_names, split_pairs, split_scenes
from tfds_builders.mtsccd.tables import CHANGED_PAIRS, TABLE_2, TABLE_3, TABLE_4, TABLE_4_PAIRS, TABLE_5
from tfds_builders.reading.archive import is_generated
from tfds_builders.reading.report import ArchiveReport, CountTable

Pair = tuple[Scene, Scene]
_CLASS_ROWS = tuple(f"{entry.number} {entry.abbreviation}" for entry in CLASSES)
_UNKNOWN_CITY = re.compile(r": unknown city '[^']*'")
_PUBLISHED_CITIES = frozenset(city.name for city in CITIES)


@dataclass(frozen=True, kw_only=True)
class MtsccdReport(ArchiveReport):
    """The result of `check_archive`: `images` are those with a readable name (of LUSC where the sub-sets have folders).

    `pairs` are the tiles with both dates.
    """

    COUNTED = "{0.images} images, {0.pairs} pairs"

    pairs: int


def check_archive(path: str | os.PathLike[str], *, progress: Callable[[int, int], None] | None = None) -> MtsccdReport:
    """Return the archive's counts beside Tables 2, 3, 4 and 5 with every difference and every doubtful file.

    Only names are read, no image. Of Table 4 the totals and the test columns are compared: the others depend on which
    pairs the authors drew.

    Args:
        path: the folder, zip or tar file.
        progress: called once, with (images, images).

    Raises:
        ArchiveError: there is no archive at `path`, no image in it, or none with a readable name.
    """
    archive = open_mtsccd(Path(path))
    cities = with_archive_cities(CITIES, archive)
    lusc, lucd = (list_archive(archive, subset, cities) for subset in ("lusc", "lucd"))
    scenes_of_split = split_scenes(lusc, paired=False, seed=0)
    pairs_of_split = split_pairs(lucd, paired=False, seed=0)
    pairs = [pair for split in pairs_of_split.values() for pair in split]
    tables = (
        _table_2(lusc),
        _table_3(scenes_of_split),
        *_table_4(pairs_of_split),
        _table_5(pairs),
        _changed(pairs),
    )
    problems = [f"split '{split}' would be empty" for split in split_names(cities) if not scenes_of_split[split]]
    for listing in (lusc, lucd):
        problems += [*listing.errors, *_one_line_a_city(listing.bad), *listing.warnings]
    problems += [*lucd.unpaired, *_outside(archive.names, lusc, lucd)]
    differences = [line for listing in (lusc, lucd) for line in [*listing.absent, *_other_cities(listing)]]
    if progress is not None:
        progress(len(lusc.scenes), len(lusc.scenes))
    return MtsccdReport(
        path=archive.path,
        images=len(lusc.scenes),
        pairs=len(pairs),
        problems=list(dict.fromkeys(problems)),
        other_differences=differences,
        tables=tables,
        generated=is_generated(archive),
    )


def _one_line_a_city(bad: Iterable[str]) -> list[str]:
    """Return lines about files, those about files of a city that is not listed as one line a city, with the first."""
    lines: dict[str, tuple[str, int]] = {}
    for line in bad:
        city = _UNKNOWN_CITY.search(line)
        first, count = lines.get(city[0] if city else line, (line, 0))
        lines[city[0] if city else line] = first, count + 1
    return [
        first if count == 1 else f"{count} images of one city, the first {first}" for first, count in lines.values()
    ]


def _outside(names: Iterable[str], lusc: Listing, lucd: Listing) -> list[str]:
    """Return a line for every image that lies in neither of two sub-set folders, and so belongs to none."""
    read = {image for listing in (lusc, lucd) for image in listing.images}
    return [f"{name}: outside the folders of both sub-sets" for name in names if is_image(name) and name not in read]


def _other_cities(listing: Listing) -> list[str]:
    """Return a line for every city and every date that Table 2 does not have."""
    count = Counter((scene.name.city, scene.name.date) for scene in listing.scenes)
    known = {(city.name, date) for city in CITIES for date in city.dates}
    return [
        f"{city}, {date}: {images} images that Table 2 does not have"
        for (city, date), images in sorted(count.items())
        if (city, date) not in known
    ]


def _by_class(title: str, columns: Mapping[str, Iterable[Scene]], published: Iterable[Sequence[int]]) -> CountTable:
    """Return a table of scenes by class (rows), from the scenes and the published counts of each column."""
    counts = [Counter(scene.name.label for scene in scenes) for scenes in columns.values()]
    known = list(zip(*published, strict=True))
    rows = {row: ([count[label] for count in counts], known[label]) for label, row in enumerate(_CLASS_ROWS)}
    return CountTable.of_rows(title, tuple(columns), rows)


def _published(scenes: Iterable[Scene]) -> list[Scene]:
    return [scene for scene in scenes if scene.name.city in _PUBLISHED_CITIES]


def _table_2(lusc: Listing) -> CountTable:
    columns: dict[str, list[Scene]] = {f"{city} T{phase}": [] for city, phase in TABLE_2}
    for scene in _published(lusc.scenes):
        columns[f"{scene.name.city} T{scene.phase}"].append(scene)
    return _by_class("Table 2 (images per city and date)", columns, TABLE_2.values())


def _table_3(splits: dict[str, list[Scene]]) -> CountTable:
    columns = {split: _published(splits[split]) for split in SPLITS}
    return _by_class("Table 3 (LUSC images per split)", columns, (TABLE_3[split] for split in SPLITS))


def _table_4(splits: dict[str, list[Pair]]) -> tuple[CountTable, CountTable]:
    published = {split: [pair for pair in splits[split] if pair[0].name.city in _PUBLISHED_CITIES] for split in SPLITS}
    tests = [(split, phase) for split in ("test_a", "test_b") for phase in (1, 2)]
    pairs = ([len(published[split]) for split in SPLITS], [TABLE_4_PAIRS[split] for split in SPLITS])
    columns = {f"{split} T{phase}": [pair[phase - 1] for pair in published[split]] for split, phase in tests}
    return (
        CountTable.of_rows("Table 4 (LUCD pairs per split)", SPLITS, {"pairs": pairs}),
        _by_class("Table 4 (LUCD images of the test cities)", columns, (TABLE_4[column] for column in tests)),
    )


def _table_5(pairs: Sequence[Pair]) -> CountTable:
    count = Counter((t1.name.label, t2.name.label) for t1, t2 in pairs if t1.name.city in _PUBLISHED_CITIES)
    rows = {
        row: ([count[first, second.label] for second in CLASSES], TABLE_5[first])
        for first, row in enumerate(_CLASS_ROWS)
    }
    return CountTable.of_rows("Table 5 (pairs, first date by second)", [entry.abbreviation for entry in CLASSES], rows)


def _changed(pairs: Sequence[Pair]) -> CountTable:
    count = Counter(t1.name.city for t1, t2 in pairs if t1.name.label != t2.name.label)
    row = ([count[city] for city in CHANGED_PAIRS], tuple(CHANGED_PAIRS.values()))
    return CountTable.of_rows("Changed pairs (from Table 7)", tuple(CHANGED_PAIRS), {"pairs": row})
