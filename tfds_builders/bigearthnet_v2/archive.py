"""List the patches of a BigEarthNet v2 archive: extracted, or as the LMDB that rico-hdl writes.

Extracted, below one folder:

    BigEarthNet-S2/<product>/<patch_id>/<patch_id>_<band>.tif
    BigEarthNet-S1/<scene>/<s1_name>/<s1_name>_<VV|VH>.tif
    Reference_Maps/<product>/<patch_id>/<patch_id>_reference_map.tif

As an LMDB: a folder with `data.mdb` or a single file, whose keys are `<patch_id>`, `<s1_name>` and
`<patch_id>_reference_map`. In both cases the metadata tables lie in the folder or, for an LMDB, beside it.
"""

import hashlib
import itertools
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from tfds_builders.bigearthnet.names import S1_NAME, S2_V2_NAME, s1_scene, s2_v2_product
from tfds_builders.bigearthnet_v2.lmdb_patches import LmdbPatches, find_lmdb, lmdb_keys
from tfds_builders.bigearthnet_v2.metadata import TABLES, Metadata, narrow, read_metadata
from tfds_builders.bigearthnet_v2.patches import MAPS, S1, S2, FolderPatches
from tfds_builders.bigearthnet_v2.reference_maps import MAP_SUFFIX
from tfds_builders.reading.archive import GENERATED_MARK, ArchiveError
from tfds_builders.reading.names import is_junk

DOWNLOAD_HINT = (
    "download BigEarthNet v2.0 by hand from https://zenodo.org/records/10891137 (BigEarthNet-S1.tar.zst, "
    "BigEarthNet-S2.tar.zst, Reference_Maps.tar.zst and both metadata*.parquet), unpack the tar files into one folder"
)
_KEYS_AT_ONCE = 1 << 14


@dataclass(frozen=True)
class V2Archive:
    """Where the patches and the tables of an archive lie. `tables` are those that are there."""

    path: Path
    patches: FolderPatches | LmdbPatches
    tables: dict[str, Path]
    generated: bool

    def metadata(self) -> Metadata:
        """Return the rows of all tables that are there; one must be."""
        if not self.tables:
            raise ArchiveError(f"{self.path}: no {TABLES[0]}; it is a file of its own, {DOWNLOAD_HINT}")
        return read_metadata(self.tables)


@dataclass(frozen=True, eq=False)
class Found:
    """The patches of one kind that an archive holds, beside those of the tables.

    Attributes:
        listed_n: Names of the patches of the tables, ASCII bytes.
        there_n: Whether the archive has them, (n,) bool.
        other_m: Names of patches that are in the archive and in no table, sorted.
        bad: A line for all that is no patch.
    """

    listed_n: np.ndarray
    there_n: np.ndarray
    other_m: np.ndarray
    bad: tuple[str, ...]

    def __len__(self) -> int:
        return int(self.there_n.sum()) + len(self.other_m)

    @property
    def names(self) -> np.ndarray:
        """The names of all patches that the archive holds, sorted; made anew each time."""
        found = self.listed_n[self.there_n]
        if len(self.other_m):
            found = np.concatenate([found, self.other_m])
        found.sort()
        return narrow(found)


class _Search:
    """Looks names up among those of the tables, some at a time, so that those of an archive need not be kept."""

    def __init__(self, listed_n: np.ndarray):
        self.listed_n, self.there_n = listed_n, np.zeros(len(listed_n), bool)
        self._order_n = np.argsort(listed_n)
        self._others: list[bytes] = []

    def add(self, names: Sequence[bytes]) -> None:
        """Look names up."""
        if not len(self.listed_n):
            self._others += names
            return
        name_m = np.array(names, bytes)
        place_m = np.searchsorted(self.listed_n, name_m, sorter=self._order_n)
        row_m = self._order_n[np.minimum(place_m, len(self.listed_n) - 1)]
        known_m = self.listed_n[row_m] == name_m
        self.there_n[row_m[known_m]] = True
        self._others += name_m[~known_m].tolist()

    def found(self, bad: Iterable[str]) -> Found:
        """Return what was found."""
        other_m = np.sort(np.array(self._others, bytes)) if self._others else np.zeros(0, "S1")
        return Found(self.listed_n, self.there_n, other_m, tuple(bad))


def open_v2(path: str | os.PathLike[str]) -> V2Archive:
    """Return the archive at `path`, or in the only folder below it that is one. Only names are looked at."""
    path = Path(path).expanduser()
    if not path.exists():
        raise ArchiveError(f"{path}: no such archive; {DOWNLOAD_HINT} and give that folder")
    path = path.resolve()
    if not path.is_dir() and find_lmdb(path) is None:
        raise ArchiveError(f"{path}: not a folder and no LMDB; unpack it and give the folder")
    if _is_archive(path):
        return _archive(path)
    inside = [entry for entry in sorted(path.iterdir()) if entry.is_dir() and _is_archive(entry)]
    if len(inside) == 1:
        # A folder of tables with an LMDB in it is one archive; so is a folder with one archive in it.
        return _archive(inside[0])
    if inside:
        raise ArchiveError(f"{path}: holds {len(inside)} archives, {' and '.join(e.name for e in inside)}; give one")
    packed = [entry.name for entry in sorted(path.iterdir()) if ".tar" in entry.name]
    if packed:
        raise ArchiveError(f"{path}: {packed[0]} is not unpacked; unpack it in this folder")
    raise ArchiveError(f"{path}: no archive of BigEarthNet v2; {DOWNLOAD_HINT} and give that folder")


def _is_archive(path: Path) -> bool:
    return any((path / kind).is_dir() for kind in (S2, S1, MAPS)) or find_lmdb(path) is not None


def _archive(root: Path) -> V2Archive:
    lmdb = find_lmdb(root)
    folder = root if root.is_dir() else root.parent
    places = (folder, folder.parent) if lmdb else (folder,)
    files = ((name, place / name) for name in TABLES for place in reversed(places))
    tables = {name: file for name, file in files if file.exists()}
    generated = any((place / GENERATED_MARK).is_file() for place in places)
    return V2Archive(root, LmdbPatches(str(lmdb)) if lmdb else FolderPatches(str(root)), tables, generated)


def find_patches(archive: V2Archive, kinds: tuple[str, ...], metadata: Metadata | None = None) -> dict[str, Found]:
    """Return the patches of each of `kinds` (`S2`, `S1`, `MAPS`) in the archive, by names alone.

    Without metadata none of them is in the tables.
    """
    listed_n = {S1: metadata.s1_name_n, S2: metadata.patch_id_n, MAPS: metadata.patch_id_n} if metadata else {}
    searches = {kind: _Search(listed_n.get(kind, np.zeros(0, "S1"))) for kind in kinds}
    if isinstance(archive.patches, LmdbPatches):
        return _found_in_lmdb(archive.patches.path, searches)
    return {kind: _found_in_folders(archive.path, kind, search) for kind, search in searches.items()}


def _found_in_folders(root: Path, kind: str, search: _Search) -> Found:
    """Return the patch folders of one kind, without looking into them."""
    form = S1_NAME if kind == S1 else S2_V2_NAME
    bad: list[str] = []
    for group in _folders(root / kind, bad):
        names = []
        for patch in _folders(root / kind / group, bad):
            if not form.fits(patch):
                bad.append(f"{root / kind / group / patch}: not the name of a patch")
            elif group_of_patch(kind, patch) != group:
                bad.append(f"{root / kind / group / patch}: lies in the folder of another product")
            else:
                names.append(patch.encode())
        if names:
            search.add(names)
    return search.found(bad)


def group_of_patch(kind: str, patch: str) -> str:
    """Return the product or scene of a patch: the folder above it."""
    return s1_scene(patch) if kind == S1 else s2_v2_product(patch)


def _folders(folder: Path, bad: list[str]) -> Iterator[str]:
    """Yield the names of the folders in `folder`, sorted; files there are bad, hidden ones are passed over."""
    if not folder.is_dir():
        return
    with os.scandir(folder) as entries:
        visible = sorted((entry.name, entry.is_dir()) for entry in entries if not is_junk(entry.name))
    for name, is_folder in visible:
        if is_folder:
            yield name
        else:
            bad.append(f"{folder / name}: a file among the folders of patches")


def _found_in_lmdb(path: str, searches: dict[str, _Search]) -> dict[str, Found]:
    bad: list[str] = []
    keys = lmdb_keys(path)
    while some := list(itertools.islice(keys, _KEYS_AT_ONCE)):
        names: dict[str | None, list[bytes]] = {}
        for key in some:
            kind, patch = _kind_of_key(key)
            names.setdefault(kind, []).append(patch)
        bad += [f"{path}: key '{key.decode(errors='replace')}' {_why_no_patch(key)}" for key in names.get(None, ())]
        for kind, search in searches.items():
            if kind in names:
                search.add(names[kind])
    # A key that is no patch belongs to no kind: it is reported once, with the first kind.
    return {kind: search.found(bad if at == 0 else ()) for at, (kind, search) in enumerate(searches.items())}


def _kind_of_key(key: bytes) -> tuple[str | None, bytes]:
    """Return S2, S1, MAPS or None (no patch), and the name of the patch."""
    text = key.decode(errors="replace")
    if S2_V2_NAME.fits(text):
        return S2, key
    if S1_NAME.fits(text):
        return S1, key
    if text.endswith(MAP_SUFFIX) and S2_V2_NAME.fits(text.removesuffix(MAP_SUFFIX)):
        return MAPS, key.removesuffix(MAP_SUFFIX.encode())
    return None, key


def _why_no_patch(key: bytes) -> str:
    text = key.decode(errors="replace")
    if S2_V2_NAME.fits(f"{text}_00_00") or S1_NAME.fits(f"{text}_00AAA_0_0"):
        return "is that of a whole tile, not of a patch; write the LMDB again with rico-hdl"
    return "is not the name of a patch of BigEarthNet v2; write the LMDB again with rico-hdl"


def content_digest(metadata: Metadata, found: dict[str, Found]) -> str:
    """Return a SHA-256 over the metadata and over which patches are there (not over their pixels)."""
    digest = hashlib.sha256()

    def add(array: np.ndarray, kind: str = "") -> None:
        digest.update(f"{kind}{array.dtype} {array.shape}".encode())
        digest.update(np.ascontiguousarray(array).view(np.uint8).data)

    columns = (metadata.patch_id_n, metadata.s1_name_n, metadata.split_n, metadata.labels_nk, metadata.recommended_n)
    for array in (*columns, metadata.has_snow_n, metadata.country_n):
        add(array)
    for kind, listed in found.items():
        add(listed.names, f"{kind} ")
    return digest.hexdigest()


class Presence(NamedTuple):
    """Which patches of the tables are there, by any and by all of the kinds, (n,) bool each."""

    partly_n: np.ndarray
    whole_n: np.ndarray


def presence(found: dict[str, Found]) -> Presence:
    """Return which patches of the tables are among those found."""
    there = [listed.there_n for listed in found.values()]
    return Presence(np.logical_or.reduce(there), np.logical_and.reduce(there))


def unlisted(archive: V2Archive, kind: str, other_m: np.ndarray) -> list[str]:
    """Return a line for each product or scene with patches that are in the archive and in no table."""
    tables = " or ".join(archive.tables)
    groups = _by_group(kind, other_m)
    return [f"{archive.path}: {kind}: {_some(group, *names)} in no list ({tables})" for group, names in groups.items()]


def missing(archive: V2Archive, kind: str, absent_n: np.ndarray, listed_n: np.ndarray) -> list[str]:
    """Return a line for each product or scene with patches in `absent_n`, those of `listed_n` that are not there."""
    if not absent_n.size:
        return []
    listed = _by_group(kind, listed_n)
    return [
        f"{archive.path}: {kind}: {_some(group, *names)} missing, of {listed[group][1]:,} in the tables"
        for group, names in _by_group(kind, absent_n).items()
    ]


def _some(group: str, first: str, count: int) -> str:
    return f"patch {first} is" if count == 1 else f"{count:,} patches of {group}, the first {first}, are"


def group_names(kind: str, name_n: np.ndarray) -> np.ndarray:
    """Return the product or scene (ASCII bytes, (n,)) of patches of this kind; their names have one length each."""
    width = len("S1A_IW_GRDH_1SDV_20170613T165043" if kind == S1 else "S2A_MSIL2A_20170613T101031_N9999_R022_T33UUP")
    return name_n.astype(f"S{width}")


def _by_group(kind: str, name_n: np.ndarray) -> dict[str, tuple[str, int]]:
    """Return product or scene -> (its first patch by name, number of patches), sorted."""
    if not name_n.size:
        return {}
    ordered = np.sort(name_n)
    groups, first, count = np.unique(group_names(kind, ordered), return_index=True, return_counts=True)
    return {
        group.decode(): (ordered[at].decode(), number)
        for group, at, number in zip(groups.tolist(), first.tolist(), count.tolist(), strict=True)
    }
