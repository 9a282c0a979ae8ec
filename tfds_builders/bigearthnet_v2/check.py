"""Compare a copy of BigEarthNet v2 with the published counts, by names and tables, and look for radar without data."""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np

from tfds_builders.bigearthnet.bands import S1_BANDS, S2_BANDS
from tfds_builders.bigearthnet.countries import COUNTRIES
from tfds_builders.bigearthnet.names import PATCHES_PER_SIDE, SPLITS
from tfds_builders.bigearthnet.nomenclature import CLASSES_19
from tfds_builders.bigearthnet.pixels import radar_problems
from tfds_builders.bigearthnet.train_lists import seen_in_training
from tfds_builders.bigearthnet_v2.archive import (
    Found,
    V2Archive,
    find_patches,
    group_names,
    group_of_patch,
    missing,
    open_v2,
    presence,
    unlisted,
)
from tfds_builders.bigearthnet_v2.metadata import TABLES, Metadata
from tfds_builders.bigearthnet_v2.patches import MAPS, S1, S2, FolderPatches
from tfds_builders.bigearthnet_v2.reference_maps import MAP_SUFFIX
from tfds_builders.bigearthnet_v2.splits import split_of_patches
from tfds_builders.bigearthnet_v2.tables import (
    ALL_PATCHES,
    CLOUD,
    PATCHES,
    PATCHES_OF_CLASS,
    PATCHES_OF_COUNTRY,
    RECOMMENDED,
    S1_SCENES,
    S2_PRODUCTS,
    SEEN_IN_V1_TRAIN,
    SNOW,
)
from tfds_builders.reading.report import ArchiveReport, CountTable

_FILES_OF_PATCH = {S2: S2_BANDS, S1: S1_BANDS, MAPS: (MAP_SUFFIX.removeprefix("_"),)}


@dataclass(frozen=True, kw_only=True)
class V2Report(ArchiveReport):
    """The result of `check_archive`: `images` are Sentinel-2 patches, `rows` those of the tables.

    `pairs` are patches with both sensors and a reference map.
    """

    COUNTED = (
        "{0.rows} patches in the tables, {0.images} with Sentinel-2, {0.pairs} with Sentinel-1 and a reference map too"
    )

    pairs: int
    rows: int


def check_archive(path: str | os.PathLike[str], *, progress: Callable[[int, int], None] | None = None) -> V2Report:
    """Return the counts of an archive beside the published ones, with every difference and every doubtful patch.

    Of images the radar alone is read, for pixels without data; some 60 us a patch where the files lie in memory. Of
    extracted archives every patch's folder is looked into, of an LMDB the keys. Patches of which nothing is there, and
    a part that is missing as a whole (Sentinel-1, say), are differences, no problems.

    Args:
        path: the folder of the extracted archives, or that of the LMDB.
        progress: called with (patches looked at, patches in all).

    Raises:
        ArchiveError: there is no archive or no table at `path`, or a table is wrong.
    """
    archive = open_v2(path)
    metadata = archive.metadata()
    found = find_patches(archive, (S2, S1, MAPS), metadata)
    problems = [*metadata.bad, *_contradictions(metadata)]
    differences = [f"{name} is missing" for name in TABLES if name not in archive.tables]
    partly_n, whole_n = presence(found)
    for kind, listed in found.items():
        problems += listed.bad
        if len(listed):
            problems += unlisted(archive, kind, listed.other_m)
            problems += missing(archive, kind, listed.listed_n[partly_n & ~listed.there_n], listed.listed_n)
        else:
            differences.append(f"{kind} is missing")
    absent_n = metadata.patch_id_n[~partly_n]
    if absent_n.size:
        first = min(absent_n.tolist()).decode()
        differences.append(f"of {absent_n.size:,} patches in the tables nothing is there, the first: {first}")
    problems += _faults_of_patches(archive, found, progress)
    return V2Report(
        path=archive.path,
        images=len(found[S2]),
        pairs=int(whole_n.sum()),
        rows=len(metadata),
        problems=problems,
        other_differences=differences,
        tables=_tables(metadata, found),
        generated=archive.generated,
    )


def _faults_of_patches(
    archive: V2Archive, found: Mapping[str, Found], progress: Callable[[int, int], None] | None
) -> list[str]:
    """Return a line for every file that a patch's folder lacks, and for every patch whose radar has no data."""
    lines = []
    done, total = 0, sum(len(listed) for listed in found.values())
    for kind, listed in found.items():
        for name in listed.names.tolist():
            patch = name.decode()
            lines += _missing_files(archive, kind, patch)
            if kind == S1:
                lines += radar_problems(partial(archive.patches.bands, patch, S1_BANDS))
            done += 1
            if progress is not None:
                progress(done, total)
    return lines


def _missing_files(archive: V2Archive, kind: str, patch: str) -> list[str]:
    """Return a line for every file that a patch's folder lacks; an LMDB has no such files."""
    if not isinstance(archive.patches, FolderPatches):
        return []
    folder = archive.path / kind / group_of_patch(kind, patch) / patch
    files = set(os.listdir(folder))
    stems = (f"{patch}_{part}" for part in _FILES_OF_PATCH[kind])
    return [f"{folder / stem}.tif: missing" for stem in stems if not files & {f"{stem}.tif", f"{stem}.tiff"}]


def _contradictions(metadata: Metadata) -> list[str]:
    """Return a line for every row whose names, split or flags contradict one another."""
    x_n, y_n = positions(metadata.patch_id_n)
    inside_n = np.maximum(x_n, y_n) < PATCHES_PER_SIDE
    split_n = np.full(len(metadata), len(SPLITS), np.int64)
    split_n[inside_n] = split_of_patches(x_n[inside_n], y_n[inside_n])
    faults = {"its place in the tile is not in the frame of its split": split_n != metadata.split_n}
    for other_n, what in ((metadata.s1_name_n, "s1_name"), (metadata.s2v1_name_n, "s2v1_name")):
        other_x_n, other_y_n = positions(other_n)
        faults[f"its {what} is that of another place"] = (x_n != other_x_n) | (y_n != other_y_n)
    flagged_n = metadata.has_snow_n | metadata.has_cloud_or_shadow_n
    faults["flagged with snow, cloud or shadow, yet recommended"] = metadata.recommended_n & flagged_n
    faults["neither recommended nor flagged"] = ~metadata.recommended_n & ~flagged_n
    wrong = ((name, why) for why, wrong_n in faults.items() for name in metadata.patch_id_n[wrong_n].tolist())
    return [f"patch {name.decode()}: {why}" for name, why in wrong]


def positions(name_n: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return column and row in the tile (int64, (n,) each) out of names of patches, of any kind."""
    width = max(1, name_n.dtype.itemsize)
    byte_nw = name_n.view(np.uint8).reshape(len(name_n), width).astype(np.int64)
    at_n = np.count_nonzero(byte_nw, axis=1)
    found = []
    for _ in range(2):  # from the end: one or two digits, then "_"
        row = np.arange(len(name_n))
        ones_n, tens_n = byte_nw[row, at_n - 1] - ord("0"), byte_nw[row, at_n - 2]
        single_n = tens_n == ord("_")
        found.append(np.where(single_n, ones_n, 10 * (tens_n - ord("0")) + ones_n))
        at_n = at_n - np.where(single_n, 2, 3)
    return found[1], found[0]


def _tables(metadata: Metadata, found: Mapping[str, Found]) -> tuple[CountTable, ...]:
    kinds = {
        RECOMMENDED: metadata.recommended_n,
        SNOW: ~metadata.recommended_n & metadata.has_snow_n,
        CLOUD: ~metadata.recommended_n & metadata.has_cloud_or_shadow_n,
    }
    seen_n = np.zeros(len(metadata), bool)
    rows = np.flatnonzero(metadata.recommended_n)
    seen_n[rows] = seen_in_training("bigearthnet_v1", metadata.s2v1_name_n[rows])
    groups = {"Patches": ({**kinds, "in v1's train list": seen_n}, {**PATCHES, "in v1's train list": SEEN_IN_V1_TRAIN})}
    by_country = {name: metadata.country_n == at for at, name in enumerate(COUNTRIES)}
    by_class = {name: metadata.labels_nk[:, at] > 0 for at, name in enumerate(CLASSES_19)}
    for what, masks, published in (("country", by_country, PATCHES_OF_COUNTRY), ("class", by_class, PATCHES_OF_CLASS)):
        for which, of_n, column in (("Recommended", metadata.recommended_n, 0), ("Other", ~metadata.recommended_n, 1)):
            groups[f"{which} patches by {what}"] = (
                {name: of_n & mask for name, mask in masks.items()},
                {name: pair[column] for name, pair in published.items()},
            )
    tables = [_split_table(title, masks, known, metadata) for title, (masks, known) in groups.items()]
    groups_found = {
        "S2 products": (np.unique(group_names(S2, metadata.patch_id_n)), S2_PRODUCTS),
        "S1 scenes": (np.unique(group_names(S1, metadata.s1_name_n)), S1_SCENES),
    }
    counts = {kind: (len(listed), ALL_PATCHES) for kind, listed in found.items()}
    counts |= {title: (len(names), published) for title, (names, published) in groups_found.items()}
    whole = CountTable.of_counts("Folders or keys of patches, and products and scenes in the tables", "count", counts)
    return whole, *tables


def _split_table(
    title: str,
    masks: Mapping[str, np.ndarray],
    published: Mapping[str, tuple[int, int, int]],
    metadata: Metadata,
) -> CountTable:
    """Return a table of the patches in each of `masks` (rows), by split."""
    found = {name: np.bincount(metadata.split_n[mask], minlength=len(SPLITS)).tolist() for name, mask in masks.items()}
    return CountTable.of_rows(title, SPLITS, {name[:40]: (found[name], published[name]) for name in masks})
