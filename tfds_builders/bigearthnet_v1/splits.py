"""Split the patches of BigEarthNet v1: by the official lists, or at random as in section 4 of the paper."""

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from tfds_builders.bigearthnet.names import SPLITS
from tfds_builders.bigearthnet_v1.archive import DOWNLOAD_HINT, FLAGS, Listing
from tfds_builders.bigearthnet_v1.patch_files import metadata_path, read_metadata
from tfds_builders.bigearthnet_v1.tables import CLOUD, NO_TARGET, SNOW
from tfds_builders.reading.archive import ArchiveError

# Section 4: 60 % train, 20 % validation, 20 % test.
_HELD_OUT = 0.2
_FEWEST = 3


@dataclass(frozen=True, slots=True)
class Patch:
    """A patch to build: its Sentinel-2 name, the Sentinel-1 name ("" if unknown), and the folders these lie in.

    A folder is "" where that half is not read.
    """

    name: str
    s2_folder: str
    s1_name: str
    s1_folder: str
    has_snow: bool
    has_cloud_or_shadow: bool


@dataclass
class Selection:
    """The patches of each split in the order they are stored, and the patches that are not used.

    `left_out` counts the patches that a list takes out; `absent` are those that a split list names and of which the
    archive has nothing; `bad` are the patches that a build stumbles over, one line each.
    """

    splits: dict[str, list[Patch]]
    left_out: Counter[str] = field(default_factory=Counter)
    absent: list[str] = field(default_factory=list)
    bad: list[str] = field(default_factory=list)


def select_patches(
    listing: Listing,
    *,
    use_s2: bool,
    use_s1: bool,
    official: bool,
    keep_snow_and_cloud: bool,
    keep_no_target: bool,
    seed: int,
) -> Selection:
    """Return the splits of `listing`: by the official lists, or else at random, 60 % to 20 % to 20 %.

    Every patch needs its half of each sensor that is used. What is kept with snow, cloud or none of the 19 classes is
    kept at random only: the official splits have none. `seed` also draws the order in which patches are stored.
    """
    for number, used, patches_of_sensor in ((2, use_s2, listing.s2), (1, use_s1, listing.s1)):
        if used and not patches_of_sensor:
            lacks = f"{listing.path}: holds no Sentinel-{number} patch"
            raise ArchiveError(f"{lacks}; {DOWNLOAD_HINT}, or build a configuration without it")
    needed = SPLITS if official else (() if keep_snow_and_cloud else (SNOW, CLOUD))
    missing = listing.lists.missing(*needed, *(() if official or keep_no_target else (NO_TARGET,)))
    if missing:
        raise ArchiveError(
            f"{listing.path}: the list {missing[0]} is missing; put the official lists into the archive's folder"
        )
    selection = Selection({split: [] for split in SPLITS})
    pairs = s1_of_s2(listing, selection.bad) if use_s1 else listing.lists.s1_of
    patches = list(_patches(listing, pairs, use_s2, use_s1, selection))
    # Stored in the order of a hash: mixed, the same for every build, and the same for any part of the archive.
    patches.sort(key=lambda patch: _key(seed, patch.name))
    if official:
        _by_lists(patches, listing, selection)
        there = {*(listing.s2 if use_s2 else ()), *(pairs if use_s1 else ())}
        selection.absent = [name for name in listing.lists.split_of if name not in there]
    else:
        kept_flags = ((SNOW, keep_snow_and_cloud), (CLOUD, keep_snow_and_cloud), (NO_TARGET, keep_no_target))
        _at_random(patches, listing, selection, [flag for flag, kept in kept_flags if not kept])
    return selection


def s1_of_s2(listing: Listing, bad: list[str]) -> dict[str, str]:
    """Return Sentinel-2 patch -> Sentinel-1 patch, for every Sentinel-1 patch of the archive.

    It is in the second column of the split lists, or else in the JSON files of the Sentinel-1 patches. A file that
    cannot be read, or a second Sentinel-1 patch of the same Sentinel-2 patch, is added to `bad`.
    """
    pairs = {name: s1_name for name, s1_name in listing.lists.s1_of.items() if s1_name in listing.s1}
    known = set(pairs.values())
    for s1_name, folder in sorted(listing.s1.items()):
        if s1_name in known:
            continue
        path = metadata_path(folder, s1_name)
        try:
            name = read_metadata(path, path).s2_name
        except ArchiveError as error:
            bad.append(str(error))
            continue
        if not name:
            bad.append(f"{path}: does not say which Sentinel-2 patch it belongs to")
        elif pairs.setdefault(name, s1_name) != s1_name:
            bad.append(f"{path}: belongs to {name}, and so does {pairs[name]}")
    return pairs


def _patches(
    listing: Listing, pairs: Mapping[str, str], use_s2: bool, use_s1: bool, selection: Selection
) -> Iterable[Patch]:
    snow, cloud = (listing.lists.flagged[flag] for flag in (SNOW, CLOUD))
    for name in sorted(listing.s2) if use_s2 else sorted(pairs):
        s1_name = pairs.get(name, "")
        s2_folder = listing.s2[name] if use_s2 else ""
        s1_folder = listing.s1[s1_name] if use_s1 and s1_name else ""
        if use_s1 and not s1_name:
            selection.bad.append(f"{s2_folder}/{name}: no Sentinel-1 patch belongs to it")
        else:
            yield Patch(name, s2_folder, s1_name, s1_folder, name in snow, name in cloud)
    if use_s1 and use_s2:
        alone = sorted((s1_name, name) for name, s1_name in pairs.items() if name not in listing.s2)
        selection.bad += [
            f"{listing.s1[s1_name]}/{s1_name}: the Sentinel-2 patch {name} is not there" for s1_name, name in alone
        ]


def _key(seed: int, name: str) -> bytes:
    return hashlib.blake2b(f"{seed} {name}".encode(), digest_size=16).digest()


def _by_lists(patches: Iterable[Patch], listing: Listing, selection: Selection) -> None:
    lists = listing.lists
    for patch in patches:
        split = lists.split_of.get(patch.name)
        flag = next((flag for flag in FLAGS if patch.name in lists.flagged[flag]), None)
        if split is not None and flag is not None:
            selection.bad.append(f"patch {patch.name}: in {lists.files[split]} and in {lists.files[flag]}")
        elif split is not None:
            selection.splits[split].append(patch)
        elif flag is not None:
            selection.left_out[flag] += 1
        else:
            known = ", ".join(file.name for file in lists.files.values())
            selection.bad.append(f"patch {patch.name}: in none of the lists ({known})")


def _at_random(patches: Iterable[Patch], listing: Listing, selection: Selection, flags: list[str]) -> None:
    kept = []
    for patch in patches:
        flag = next((flag for flag in flags if patch.name in listing.lists.flagged[flag]), None)
        if flag is None:
            kept.append(patch)
        else:
            selection.left_out[flag] += 1
    if len(kept) < _FEWEST:
        raise ArchiveError(f"{listing.path}: {len(kept)} patches are too few for three splits")
    held_out = max(1, round(_HELD_OUT * len(kept)))
    selection.splits = {
        "train": kept[2 * held_out :],
        "validation": kept[:held_out],
        "test": kept[held_out : 2 * held_out],
    }
