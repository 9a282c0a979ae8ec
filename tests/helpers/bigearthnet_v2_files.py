"""Small BigEarthNet v2 archives for tests, written with tifffile and pyarrow, without the package's own code."""

from pathlib import Path

import numpy as np
import pyarrow
import tifffile
from bigearthnet_v1_files import S1_BANDS, S2_BANDS, smooth
from pyarrow import parquet
from safetensors.numpy import save

PRODUCT = "S2A_MSIL2A_20170613T101031_N9999_R022_T33UUP"
SCENE = "S1A_IW_GRDH_1SDV_20170613T165043"
RECOMMENDED = "metadata.parquet"
OTHERS = "metadata_for_patches_with_snow_cloud_or_shadow.parquet"
# (x, y) -> (split, codes of the reference map, labels, snow, cloud); places as the official rule demands.
PATCHES = {
    (0, 4): ("train", (211, 312), ["Arable land", "Coniferous forest"], False, False),
    (5, 50): ("train", (523, 122), ["Marine waters"], False, False),
    (12, 12): ("train", (311, 999), ["Broad-leaved forest"], False, False),
    (13, 60): ("validation", (313,), ["Mixed forest"], False, False),
    (75, 43): ("validation", (512, 412), ["Inland waters", "Inland wetlands"], False, False),
    (45, 45): (
        "test",
        (231, 243),
        ["Land principally occupied by agriculture, with significant areas of natural vegetation", "Pastures"],
        False,
        False,
    ),
    (26, 57): ("test", (111, 221), ["Permanent crops", "Urban fabric"], False, False),
    (1, 88): ("train", (324,), ["Transitional woodland, shrub"], True, False),
    (20, 45): ("validation", (324,), ["Transitional woodland, shrub"], True, False),
    (40, 41): ("test", (331, 0), ["Beaches, dunes, sands"], False, True),
}


def names(x: int, y: int) -> tuple[str, str, str]:
    """Return (patch_id, s1_name, s2v1_name) of the patch at x, y."""
    return f"{PRODUCT}_{x:02d}_{y:02d}", f"{SCENE}_33UUP_{x}_{y}", f"S2A_MSIL2A_20170613T101031_{x}_{y}"


def band(x: int, y: int, name: str) -> np.ndarray:
    """Return what a band shows."""
    return smooth(list(PATCHES).index((x, y)), name)


def code_map(x: int, y: int) -> np.ndarray:
    """Return the reference map: the first code on three quarters, the second on the last rows."""
    codes = PATCHES[x, y][1]
    pixels = np.full((120, 120), codes[0], np.uint16)
    if len(codes) > 1:
        pixels[90:] = codes[1]
    return pixels


def path_of(root: Path, x: int, y: int, name: str) -> Path:
    """Return the file of a band, or of the `reference_map`."""
    patch_id, s1_name, _ = names(x, y)
    if name in S1_BANDS:
        return root / "BigEarthNet-S1" / SCENE / s1_name / f"{s1_name}_{name}.tif"
    kind = "Reference_Maps" if name == "reference_map" else "BigEarthNet-S2"
    return root / kind / PRODUCT / patch_id / f"{patch_id}_{name}.tif"


def write(root: Path) -> Path:
    """Return `root` with a whole archive in it: both sensors, maps and tables."""
    for x, y in PATCHES:
        for name in (*S2_BANDS, *S1_BANDS, "reference_map"):
            path = path_of(root, x, y, name)
            path.parent.mkdir(parents=True, exist_ok=True)
            pixels = code_map(x, y) if name == "reference_map" else band(x, y, name)
            tifffile.imwrite(path, pixels, compression="zlib", photometric="minisblack", metadata=None)
    write_tables(root)
    return root


def rows(*, recommended: bool) -> list[dict]:
    """Return the rows of one of the tables."""
    found = []
    for (x, y), (split, _, labels, snow, cloud) in PATCHES.items():
        if (snow or cloud) != recommended:
            patch_id, s1_name, v1_name = names(x, y)
            found.append(
                dict(
                    zip(SCHEMA.names, (patch_id, labels, split, "Austria", s1_name, v1_name, snow, cloud), strict=True)
                )
            )
    return found


SCHEMA = pyarrow.schema(
    [
        ("patch_id", pyarrow.string()),
        ("labels", pyarrow.list_(pyarrow.string())),
        *((column, pyarrow.string()) for column in ("split", "country", "s1_name", "s2v1_name")),
        ("contains_seasonal_snow", pyarrow.bool_()),
        ("contains_cloud_or_shadow", pyarrow.bool_()),
    ]
)


def write_table(path: Path, table_rows: list[dict]) -> None:
    """Write a metadata table."""
    parquet.write_table(pyarrow.Table.from_pylist(table_rows, schema=SCHEMA), path, compression="zstd")


def write_tables(root: Path) -> None:
    """Write both metadata tables."""
    write_table(root / RECOMMENDED, rows(recommended=True))
    write_table(root / OTHERS, rows(recommended=False))


def write_lmdb(folder: Path, more: dict[bytes, bytes] | None = None) -> Path:
    """Return `folder` with what rico-hdl makes of the archive of `write`, and `more` values over it."""
    import lmdb

    folder.mkdir(parents=True)
    with lmdb.open(str(folder), map_size=1 << 30) as environment, environment.begin(write=True) as transaction:
        for x, y in PATCHES:
            patch_id, s1_name, _ = names(x, y)
            transaction.put(patch_id.encode(), save({name: band(x, y, name) for name in S2_BANDS}))
            transaction.put(s1_name.encode(), save({name: band(x, y, name) for name in S1_BANDS}))
            transaction.put(f"{patch_id}_reference_map".encode(), save({"Data": code_map(x, y)}))
        for key, value in (more or {}).items():
            transaction.put(key, value)
    return folder
