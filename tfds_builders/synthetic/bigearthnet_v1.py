"""Write generated archives of BigEarthNet v1: both sensors, a JSON file for every patch, all official lists.

    write_archive("archive", scale=0.002)

At scale 1 there are exactly as many patches in each list, of each season and with each of the 43 classes as are
published, in tiles that the real archive has. What the patches show is drawn (see `land_cover`), by the 19 classes: so
two of the 43 that share one of the 19 look alike.
"""

import functools
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tfds_builders.bigearthnet.bands import PATCH_METRES, S1_BANDS, S2_BANDS
from tfds_builders.bigearthnet.names import PATCHES_PER_SIDE, S1_NAME, S2_V1_NAME, s1_scene
from tfds_builders.bigearthnet.nomenclature import CLASS_OF_CODE, CLASSES_19
from tfds_builders.bigearthnet_v1.archive import LIST_NAMES
from tfds_builders.bigearthnet_v1.patch_files import band_path, metadata_path
from tfds_builders.bigearthnet_v1.tables import CLOUD, LIST_PATCHES, NO_TARGET, PATCHES, SEASON_PATCHES, SNOW, TABLE_2
from tfds_builders.catalog import ARCHIVES
from tfds_builders.synthetic.driver import Plan, check_scale, write_planned
from tfds_builders.synthetic.geotiff import upper_left, write_geotiff
from tfds_builders.synthetic.land_cover import GROUND_INDEX, draw_regions, render_bands
from tfds_builders.synthetic.mtsccd.archive import largest_remainder

_KIND = ARCHIVES["bigearthnet_v1"]
_S2_FOLDER, _S1_FOLDER, _LIST_FOLDER = "BigEarthNet-v1.0", "BigEarthNet-S1-v1.0", "lists"
# A patch of the real archive is on one of these lists, but for two, which are on that of snow and on the last one.
_ON_TWO_LISTS = sum(LIST_PATCHES.values()) - PATCHES
_PATCHES_OF_LIST = LIST_PATCHES | {NO_TARGET: LIST_PATCHES[NO_TARGET] - _ON_TWO_LISTS}
_FEWEST_OF_LIST = np.array([8, 4, 4, 1, 1, 1])
_DROPPED = [code for code in TABLE_2 if CLASS_OF_CODE[code].class_19 is None]
# Acquisitions of the real archive that lie in one tile, by season: satellite, date and time as in its names, tile.
_ACQUISITIONS = {
    "winter": """
        S2A 20171201T112431 29SNB, S2A 20171208T093351 34TEN, S2A 20171210T101411 33UWP, S2A 20171221T112501 29SND,
        S2A 20180205T100211 35VLJ, S2A 20180219T094031 35WPP, S2A 20180225T114351 29UPU, S2A 20180228T101021 34WFS,
        S2B 20171206T094349 34TCR, S2B 20171219T95410 33TWN, S2B 20171226T094359 34TCS, S2B 20180127T102259 34VDN,
        S2B 20180201T093219 34TEP, S2B 20180204T94161 35VPK, S2B 20180220T114339 29UPV, S2B 20180223T101019 34WFT,
        S2B 20180224T112109 29SNC, S2B 20180225T105019 31UER""",
    "spring": """
        S2A 20180318T093031 35UMB, S2A 20180413T95032 35VLG, S2A 20180419T101031 34VDN, S2A 20180430T094031 34TCR,
        S2A 20180506T100031 33UWP, S2A 20180507T093041 35UMA, S2A 20180508T104032 31UGR, S2A 20180509T101031 34VDR,
        S2A 20180510T94033 35WPN, S2A 20180526T100031 34WFU, S2A 20180529T115401 29UNB, S2B 20180326T112109 29SNB,
        S2B 20180417T102019 34WFV, S2B 20180421T100031 33UWQ, S2B 20180421T114349 29UPU, S2B 20180422T093029 34TEQ,
        S2B 20180428T095029 33TXN, S2B 20180502T093039 34TEP, S2B 20180506T105029 31UER, S2B 20180509T092029 34TFN,
        S2B 20180515T094029 35VNJ, S2B 20180515T112110 29SND, S2B 20180521T100029 34WFS, S2B 20180522T093029 35VPJ,
        S2B 20180525T094029 35VNL, S2B 20180525T94031 35VNK""",
    "summer": """
        S2A 20170613T101032 34VER, S2A 20170617T113321 29UPU, S2A 20170701T093031 35VPK, S2A 20170704T112111 29SND,
        S2A 20170717T113322 29UPV, S2A 20170720T100031 34UDG, S2A 20170803T094031 34TCR, S2A 20170813T112121 29SNC,
        S2A 20170818T103021 32TMT, S2B 20170709T094029 35VNL, S2B 20170716T093039 36VVR, S2B 20170718T115359 29UPB,
        S2B 20170719T094029 34TCS, S2B 20170725T100029 35WPR, S2B 20170801T095029 33TXN, S2B 20170802T092029 34TFN,
        S2B 20170808T094029 35ULA, S2B 20170817T101019 34WFS, S2B 20170824T100019 33TWM, S2B 20170825T093029 34TEQ,
        S2B 20170829T105019 31UER, S2B 20170830T102019 34VDR, S2B 20170831T095029 33UXP, S2B 20170831T95030 33UXQ""",
    "autumn": """
        S2A 20170905T095031 35VNL, S2A 20170905T95032 35WPN, S2A 20171002T112112 29SNB, S2A 20171002T94032 34TCR,
        S2A 20171015T095031 33UXP, S2A 20171101T94132 35VNJ, S2A 20171104T095201 33TXN, S2A 20171121T112351 29SND,
        S2B 20170906T101020 34WFS, S2B 20170911T092019 34TFN, S2B 20170914T93030 34TEP, S2B 20170923T100019 33TWM,
        S2B 20170924T93014 35UMA, S2B 20170924T93022 35VPK, S2B 20170927T94020 35ULB, S2B 20170930T095019 34UEG,
        S2B 20171015T104010 31UGR, S2B 20171016T101009 34VDM, S2B 20171019T102019 34VDR, S2B 20171107T105229 31UER,
        S2B 20171112T114339 29UPU""",
}
_WKT = (
    'PROJCS["WGS 84 / UTM zone {zone}N",GEOGCS["WGS 84",DATUM["WGS_1984",SPHEROID["WGS 84",6378137,298.257223563]],'
    'PRIMEM["Greenwich",0],UNIT["degree",0.0174532925199433]],PROJECTION["Transverse_Mercator"],'
    'PARAMETER["latitude_of_origin",0],PARAMETER["central_meridian",{meridian}],PARAMETER["scale_factor",0.9996],'
    'PARAMETER["false_easting",500000],PARAMETER["false_northing",0],UNIT["metre",1],AUTHORITY["EPSG","{epsg}"]]'
)


@dataclass(frozen=True, slots=True)
class Patch:
    """One patch to write; `number` is its place in the archive's order, `codes` are the CLC codes of its labels."""

    number: int
    s2_name: str
    s1_name: str
    tile: str
    on_list: str  # a key of `LIST_NAMES`
    codes: tuple[int, ...]


def list_counts(scale: float) -> dict[str, int]:
    """Return patches by official list at `scale` (1: as published, but for the two patches that are on two lists).

    Rounded by largest remainder; no list is ever empty, so that no split is either.
    """
    check_scale(scale, _KIND)
    published_n = np.array(list(_PATCHES_OF_LIST.values()), dtype=np.float64)
    counts_n = np.maximum(largest_remainder(published_n, round(scale * PATCHES)), _FEWEST_OF_LIST)
    return dict(zip(_PATCHES_OF_LIST, counts_n.tolist(), strict=True))


def patches(scale: float, seed: int) -> list[Patch]:
    """Return the patches of an archive, sorted by name; `seed` draws what they show and where they lie."""
    counts = list_counts(scale)
    total = sum(counts.values())
    rng = np.random.default_rng((seed, 0))
    on_list_n = np.repeat(np.array(list(counts)), list(counts.values()))
    # Those without any of the 19 classes: their own list, and some of the patches with snow.
    untargeted_n = on_list_n == NO_TARGET
    untargeted_n[np.flatnonzero(on_list_n == SNOW)[: round(scale * _ON_TWO_LISTS)]] = True
    codes_n = _deal_codes(untargeted_n, total / PATCHES, rng)
    named = [
        (*names, str(on_list), codes)
        for names, on_list, codes in zip(_names(total, rng), on_list_n, codes_n, strict=True)
    ]
    return [Patch(number, *values) for number, values in enumerate(sorted(named))]


def _deal_codes(untargeted_n: np.ndarray, share: float, rng: np.random.Generator) -> list[tuple[int, ...]]:
    """Return the CLC codes of every patch: each class `share` of its published patches, and each patch a class.

    Where `untargeted_n`, a patch has one class that the 19 drop; the others have one of the 19 at least.
    """
    codes = list(TABLE_2)
    left_k = np.maximum(1, np.rint(share * np.array(list(TABLE_2.values())))).astype(np.int64)
    shown_nk = np.zeros((len(untargeted_n), len(codes)), dtype=bool)
    dropped_k = np.isin(codes, _DROPPED)
    for rows, allowed_k in ((np.flatnonzero(untargeted_n), dropped_k), (np.flatnonzero(~untargeted_n), ~dropped_k)):
        pool = rng.permutation(np.repeat(np.flatnonzero(allowed_k), left_k[allowed_k]))
        frequent = np.full(max(0, len(rows) - len(pool)), np.argmax(left_k * allowed_k))
        first = np.concatenate([pool, frequent])[: len(rows)]
        shown_nk[rows, first] = True
        left_k = np.maximum(0, left_k - np.bincount(first, minlength=len(codes)))
    for index, count in enumerate(left_k.tolist()):
        free = np.flatnonzero(~shown_nk[:, index] & ~untargeted_n)
        shown_nk[rng.choice(free, size=min(count, len(free)), replace=False), index] = True
    return [tuple(np.array(codes)[shown_k].tolist()) for shown_k in shown_nk]


def _names(total: int, rng: np.random.Generator) -> list[tuple[str, str, str]]:
    """Return (Sentinel-2 name, Sentinel-1 name, tile) of `total` patches, each season with its share."""
    per_season = largest_remainder(np.array(list(SEASON_PATCHES.values()), dtype=np.float64), total)
    names = []
    for season, count in zip(SEASON_PATCHES, per_season.tolist(), strict=True):
        acquisitions = [line.split() for line in _ACQUISITIONS[season].split(",")]
        start = int(rng.integers(len(acquisitions)))
        for number, (platform, stamp, tile) in enumerate(acquisitions[start:] + acquisitions[:start]):
            scene = f"S1{'AB'[number % 2]}_IW_GRDH_1SDV_{stamp[:8]}T{('043253', '165043')[number % 2]}_{tile}"
            of_this = len(range(number, count, len(acquisitions)))
            for place in rng.choice(PATCHES_PER_SIDE**2, size=of_this, replace=False).tolist():
                x, y = divmod(place, PATCHES_PER_SIDE)
                names.append((f"{platform}_MSIL2A_{stamp}_{x}_{y}", f"{scene}_{x}_{y}", tile))
    return [names[at] for at in rng.permutation(total)]


def write_archive(
    out_dir: str | os.PathLike[str],
    *,
    scale: float = _KIND.scale,
    seed: int = 0,
    workers: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> int:
    """Write an archive below `out_dir` (`out_dir/BigEarthNet/...`) and return its number of patches.

    A patch is 16 files, 280 kB. See `driver.write_planned` for errors and the other arguments.

    Args:
        out_dir: folder of the archive; made if need be.
        scale: share of the 590,326 patches, above 0 to 1; 19 patches at least.
        seed: draws what the patches show and where they lie, not how many there are on a list or of a season.
        workers: number of processes.
        progress: called with (patches written, patches in all).
    """

    def plan() -> Plan[Patch]:
        return Plan(
            folder="BigEarthNet",
            kind=_KIND,
            items=(listed := patches(scale, seed)),
            items_per_task=16,
            write_lists=functools.partial(_write_lists, listed),
            write_items=functools.partial(_write_patches, seed),
        )

    return write_planned(out_dir, plan, seed=seed, workers=workers, progress=progress)


def _write_lists(listed: Sequence[Patch], root: Path) -> None:
    (root / _LIST_FOLDER).mkdir()
    for kind, (name, *_) in LIST_NAMES.items():
        lines = [f"{patch.s2_name}\n" for patch in listed if patch.on_list == kind or _is_untargeted(patch, kind)]
        (root / _LIST_FOLDER / f"{name}.csv").write_text("".join(lines), encoding="utf-8")


def _is_untargeted(patch: Patch, kind: str) -> bool:
    """Return whether a patch belongs on the list `NO_TARGET`, and `kind` is that list."""
    return kind == NO_TARGET and all(code in _DROPPED for code in patch.codes)


def _write_patches(seed: int, root: Path, listed: Sequence[Patch]) -> None:
    """Draw each patch from (`seed`, its number) alone, and write it below `root`."""
    for patch in listed:
        rng = np.random.default_rng((seed, 1, patch.number))
        classes = [CLASS_OF_CODE[code].class_19 for code in patch.codes]
        shown = {GROUND_INDEX if name is None else CLASSES_19.index(name) for name in classes}
        bands = render_bands(
            draw_regions(sorted(shown), rng), rng, snow=patch.on_list == SNOW, cloud=patch.on_list == CLOUD
        )
        s2 = S2_V1_NAME.parse(patch.s2_name)
        origin = upper_left(s2.x, s2.y)
        for folder, name, names in (
            (f"{root}/{_S2_FOLDER}", patch.s2_name, S2_BANDS),
            (f"{root}/{_S1_FOLDER}", patch.s1_name, S1_BANDS),
        ):
            Path(folder, name).mkdir(parents=True)
            for band in names:
                path = Path(band_path(folder, name, band))
                write_geotiff(path, bands[band], origin=origin, utm_zone=int(patch.tile[:2]))
            content = json.dumps(_metadata(patch, *origin, sentinel_1=name == patch.s1_name))
            Path(metadata_path(folder, name)).write_text(content, encoding="utf-8")


def _metadata(patch: Patch, ulx: int, uly: int, *, sentinel_1: bool) -> dict[str, Any]:
    """Return the content of a patch's JSON file, with the keys of the real ones (Sentinel-1's `lly` among them)."""
    zone = int(patch.tile[:2])
    lower = "lly" if sentinel_1 else "lry"
    content = {
        "labels": [CLASS_OF_CODE[code].name for code in patch.codes],
        "coordinates": {"ulx": ulx, "uly": uly, "lrx": ulx + PATCH_METRES, lower: uly - PATCH_METRES},
        "projection": _WKT.format(zone=zone, meridian=6 * zone - 183, epsg=32600 + zone),
    }
    if sentinel_1:
        return content | {
            "corresponding_s2_patch": patch.s2_name,
            "scene_source": s1_scene(patch.s1_name),
            "acquisition_time": S1_NAME.parse(patch.s1_name).acquired,
        }
    platform, _, stamp, *_ = patch.s2_name.split("_")
    return content | {
        "tile_source": f"{platform}_MSIL1C_{stamp}_N0206_R000_T{patch.tile}_{stamp}.SAFE",
        "acquisition_date": S2_V1_NAME.parse(patch.s2_name).time.isoformat(sep=" "),
    }
