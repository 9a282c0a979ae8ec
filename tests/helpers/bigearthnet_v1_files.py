"""Small BigEarthNet v1 archives for tests, written with tifffile and json, without the package's own code."""

import json
from pathlib import Path

import numpy as np
import tifffile

SIDES = {"B02": 120, "B03": 120, "B04": 120, "B08": 120, "B01": 20, "B09": 20, "VV": 120, "VH": 120}
S2_BANDS = ("B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B11", "B12")
S1_BANDS = ("VV", "VH")
TILE = "35VPK"
# Sentinel-2 patch -> (its list, its labels). Times of five and six digits, one with seconds above 59.
PATCHES = {
    "S2A_MSIL2A_20170701T093031_0_0": ("train", ["Coniferous forest", "Peatbogs"]),
    "S2A_MSIL2A_20170701T093031_17_4": ("train", ["Non-irrigated arable land", "Airports"]),
    "S2B_MSIL2A_20180204T94160_3_90": ("train", ["Water bodies"]),
    "S2B_MSIL2A_20180204T94161_57_38": ("val", ["Mixed forest", "Transitional woodland/shrub"]),
    "S2B_MSIL2A_20170924T93020_69_24": ("test", ["Sea and ocean", "Pastures"]),
    "S2B_MSIL2A_20170924T93020_70_24": ("patches_with_seasonal_snow", ["Coniferous forest"]),
    "S2B_MSIL2A_20170924T93020_71_24": ("patches_with_cloud_and_shadow", ["Coniferous forest"]),
    "S2B_MSIL2A_20170924T93020_72_24": ("patches_with_no_19_class_targets", ["Airports"]),
}
LISTS = ("train", "val", "test", *(name for name, _ in PATCHES.values() if name.startswith("patches")))


def s1_name(name: str) -> str:
    """Return the name of the Sentinel-1 patch that belongs to a Sentinel-2 patch here."""
    _, _, stamp, x, y = name.split("_")
    return f"S1A_IW_GRDH_1SDV_{stamp[:8]}T043253_{TILE}_{x}_{y}"


def band(name: str, band_name: str) -> np.ndarray:
    """Return what a band shows."""
    return smooth(sorted(PATCHES).index(name), band_name)


def smooth(patch: int, band_name: str) -> np.ndarray:
    """Return a smooth band, different for every patch and band, and nowhere 0."""
    side = SIDES.get(band_name, 60)
    start = (patch * 16 + (*S2_BANDS, *S1_BANDS).index(band_name)) * 50
    pixels = start + np.arange(side, dtype=np.int64)[:, None] + np.zeros(side, np.int64) + 1
    return (pixels / -100).astype(np.float32) if band_name in S1_BANDS else pixels.astype(np.uint16)


def content(name: str, labels: list[str], *, sentinel_1: bool) -> dict:
    """Return what the JSON file of a patch says."""
    corner = {"ulx": 600000, "uly": 7000020, "lrx": 601200}
    if sentinel_1:
        more = {"corresponding_s2_patch": name, "scene_source": "scene", "acquisition_time": "2017-07-01T04:32:53"}
        return {"labels": labels, "coordinates": corner | {"lly": 6998820}, "projection": "PROJCS[]"} | more
    stamp = name.split("_")[2]
    more = {"tile_source": f"S2A_MSIL1C_{stamp}_N0205_R136_T{TILE}_{stamp}.SAFE", "acquisition_date": "2017-07-01"}
    return {"labels": labels, "coordinates": corner | {"lry": 6998820}, "projection": "PROJCS[]"} | more


def write_patch(root: Path, name: str, labels: list[str]) -> None:
    """Write both halves of a patch."""
    for folder, own, bands, sentinel_1 in (
        ("BigEarthNet-v1.0", name, S2_BANDS, False),
        ("BigEarthNet-S1-v1.0", s1_name(name), S1_BANDS, True),
    ):
        place = root / folder / own
        place.mkdir(parents=True)
        for band_name in bands:
            tifffile.imwrite(place / f"{own}_{band_name}.tif", band(name, band_name), metadata=None)
        said = json.dumps(content(name, labels, sentinel_1=sentinel_1))
        (place / f"{own}_labels_metadata.json").write_text(said)


def write(root: Path) -> Path:
    """Return `root` after writing the patches and their lists."""
    for name, (_, labels) in PATCHES.items():
        write_patch(root, name, labels)
    for of_list in LISTS:
        lines = [f"{name}\n" for name, (found, _) in PATCHES.items() if found == of_list]
        (root / f"{of_list}.csv").write_text("".join(lines))
    return root
