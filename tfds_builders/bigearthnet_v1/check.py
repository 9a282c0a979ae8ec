"""Compare a BigEarthNet v1 archive with the published counts: patches, seasons, countries, classes, lists."""

import os
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from tfds_builders.bigearthnet.bands import BANDS, S1_BANDS, S2_BANDS
from tfds_builders.bigearthnet.countries import country_of
from tfds_builders.bigearthnet.names import S1_NAME, S2_V1_NAME, SEASONS, PatchName
from tfds_builders.bigearthnet.nomenclature import CLASS_OF_CODE, CODE_OF_NAME
from tfds_builders.bigearthnet.pixels import radar_problems, read_band
from tfds_builders.bigearthnet_v1.archive import FLAGS, LIST_NAMES, Listing, list_archive
from tfds_builders.bigearthnet_v1.patch_examples import COUNTRY_NAMES, UNKNOWN_COUNTRY
from tfds_builders.bigearthnet_v1.patch_files import band_path, metadata_path, read_metadata
from tfds_builders.bigearthnet_v1.splits import s1_of_s2
from tfds_builders.bigearthnet_v1.tables import LIST_PATCHES, PATCHES, SEASON_PATCHES, TABLE_2
from tfds_builders.reading.archive import ArchiveError
from tfds_builders.reading.report import ArchiveReport, CountTable


@dataclass(frozen=True, kw_only=True)
class V1Report(ArchiveReport):
    """The result of `check_archive`: `images` are the Sentinel-2 patches, `pairs` those with a Sentinel-1 patch.

    `seasons` and `countries` count Sentinel-2 patches (or Sentinel-1 patches where there is nothing else); no counts
    per country are published.
    """

    COUNTED = "{0.images} patches, {0.pairs} with Sentinel-1"

    pairs: int
    seasons: dict[str, int]
    countries: dict[str, int]

    def paragraphs(self) -> list[str]:
        """Return the patches per country."""
        return ["\n".join(["Patches per country", *(f"{name} {count}" for name, count in self.countries.items())])]


@dataclass
class _Tally:
    """Counts over all patches."""

    problems: list[str] = field(default_factory=list)
    seasons: Counter[str] = field(default_factory=Counter)
    countries: Counter[str] = field(default_factory=Counter)
    classes: Counter[int] = field(default_factory=Counter)


def check_archive(path: str | os.PathLike[str], *, progress: Callable[[int, int], None] | None = None) -> V1Report:
    """Return the archive's counts beside the published ones, with every difference and every doubtful patch.

    Each patch's folder is looked into, its JSON file read for classes and countries, and of images the radar alone, for
    pixels without data: some 0.2 ms a patch where the files lie in memory.

    Args:
        path: the folder, zip or tar file; packed files are unpacked to a temporary folder.
        progress: called with (patches done, patches in all).

    Raises:
        ArchiveError: there is no archive at `path`, no patch in it, a patch is there twice, or a list is wrong.
    """
    with tempfile.TemporaryDirectory() as scratch:
        listing = list_archive(Path(path), Path(scratch))
        tally = _examine(listing, progress)
        pairs = s1_of_s2(listing, [])
        problems = [*listing.problems, *tally.problems, *_unlisted(listing)]
        return V1Report(
            path=listing.path,
            images=len(listing.s2),
            pairs=sum(name in listing.s2 for name in pairs),
            problems=[line.replace(scratch, str(listing.path)) for line in dict.fromkeys(problems)],
            other_differences=[
                *(f"the list {name} is missing" for name in listing.lists.missing(*LIST_NAMES)),
                *_halves(listing, pairs),
            ],
            tables=_tables(listing, tally, pairs),
            generated=listing.generated,
            seasons={season: tally.seasons[season] for season in SEASONS},
            countries={name: tally.countries[name] for name in COUNTRY_NAMES if tally.countries[name]},
        )


def _examine(listing: Listing, progress: Callable[[int, int], None] | None) -> _Tally:
    """Return the counts of Sentinel-2 (or else Sentinel-1) patches, and the problems of both."""
    tally = _Tally()
    halves = ((listing.s2, S2_V1_NAME.parse, S2_BANDS), (listing.s1, S1_NAME.parse, S1_BANDS))
    done, total = 0, len(listing.s2) + len(listing.s1)
    for patches, parse, bands in halves:
        counted = patches is listing.s2 or not listing.s2
        for name, folder in sorted(patches.items()):
            try:
                _examine_patch(name, folder, parse(name), bands, tally, counted)
            except ArchiveError as error:
                tally.problems.append(str(error))
            done += 1
            if progress is not None:
                progress(done, total)
    return tally


def _examine_patch(
    name: str, folder: str, parsed: PatchName, bands: Iterable[str], tally: _Tally, counted: bool
) -> None:
    files = set(os.listdir(f"{folder}/{name}"))
    for band in bands:
        path = band_path(folder, name, band)
        if path.rpartition("/")[2] not in files:
            tally.problems.append(f"{path}: missing")
        elif band in S1_BANDS:
            tally.problems += radar_problems(partial(read_band, path, BANDS[band]))
    tally.seasons[parsed.season] += counted
    path = metadata_path(folder, name)
    metadata = read_metadata(path, path)
    codes = {CODE_OF_NAME.get(label) for label in metadata.labels}
    if None in codes or not codes <= TABLE_2.keys():
        wrong = next(label for label in metadata.labels if CODE_OF_NAME.get(label) not in TABLE_2)
        tally.problems.append(f"{path}: label '{wrong}' is not in the nomenclature (43)")
    if counted:
        tally.classes.update(code for code in codes if code is not None)
        tile = parsed.tile or metadata.tile
        tally.countries[country_of(tile, parsed.x, parsed.y) or UNKNOWN_COUNTRY] += 1


def _unlisted(listing: Listing) -> list[str]:
    """Return a line for every patch that no list names, and for every one of two lists that exclude each other."""
    lists = listing.lists
    flagged = frozenset().union(*lists.flagged.values())
    both = ((name, lists.files[split]) for name, split in lists.split_of.items() if name in flagged)
    lines = [f"patch {name}: in {file} and in another list" for name, file in both]
    if lists.split_of:
        known = ", ".join(file.name for file in lists.files.values())
        unlisted = (name for name in sorted(listing.s2) if name not in lists.split_of and name not in flagged)
        lines += [f"patch {name}: in none of the lists ({known})" for name in unlisted]
    return lines


def _halves(listing: Listing, pairs: Mapping[str, str]) -> list[str]:
    """Return a line for the patches without Sentinel-1 and one for those without Sentinel-2, if both are there."""
    if not listing.s1 or not listing.s2:
        return [f"no Sentinel-{1 if listing.s2 else 2} patches"]
    alone_2 = sorted(listing.s2.keys() - pairs.keys())
    alone_1 = sorted(pairs[name] for name in pairs.keys() - listing.s2.keys())
    halves = ((alone_2, "Sentinel-2", "Sentinel-1"), (alone_1, "Sentinel-1", "Sentinel-2"))
    return [
        f"{len(alone)} {own} patches have no {other} patch, the first: {alone[0]}"
        for alone, own, other in halves
        if alone
    ]


def _tables(listing: Listing, tally: _Tally, pairs: Mapping[str, str]) -> tuple[CountTable, ...]:
    lists = listing.lists
    lines = Counter(lists.split_of.values()) + Counter({flag: len(lists.flagged[flag]) for flag in FLAGS})
    here = listing.s2.keys() or pairs.keys()
    held = Counter(lists.split_of[name] for name in here if name in lists.split_of)
    held += Counter({flag: len(here & lists.flagged[flag]) for flag in FLAGS})
    classes = {f"{code} {CLASS_OF_CODE[code].name}": (tally.classes[code], count) for code, count in TABLE_2.items()}
    titled = {
        "Patches": {"Sentinel-2": (len(listing.s2), PATCHES), "Sentinel-1": (len(listing.s1), PATCHES)},
        "Lines of the official lists": {kind: (lines[kind], count) for kind, count in LIST_PATCHES.items()},
        "Patches of the archive in each list": {kind: (held[kind], count) for kind, count in LIST_PATCHES.items()},
        "Patches per season": {name: (tally.seasons[name], count) for name, count in SEASON_PATCHES.items()},
        "Table 2 (patches per class)": classes,
    }
    return tuple(CountTable.of_counts(title, "patches", counts) for title, counts in titled.items())
