"""Write the bands and maps of a patch as GeoTIFF files."""

from pathlib import Path

import numpy as np
import tifffile

from tfds_builders.bigearthnet.bands import PATCH_METRES

_PIXEL_SCALE, _TIEPOINT, _GEO_KEYS, _GEO_TEXT, _NODATA = 33550, 33922, 34735, 34737, 42113
_STRIP_BYTES = 8192  # as GDAL, which wrote the real archives, cuts strips


def upper_left(x: int, y: int) -> tuple[int, int]:
    """Return UTM easting and northing of the upper left corner of patch `x`, `y` of a made-up tile, in metres."""
    return 300_000 + PATCH_METRES * x, 6_000_000 - PATCH_METRES * y


def write_geotiff(
    path: Path,
    pixels_hw: np.ndarray,
    *,
    origin: tuple[int, int],
    utm_zone: int,
    nodata: int | None = None,
    compressed: bool = False,
) -> None:
    """Write the pixels of a patch with the geographic tags that the real archives' files have.

    Args:
        path: the file.
        pixels_hw: one band or map, of any integer or float type.
        origin: UTM easting and northing of the upper left corner, in metres.
        utm_zone: 1 to 60, on the northern hemisphere.
        nodata: the value that stands for "no data", where there is one.
        compressed: with DEFLATE and horizontal differences, as the reference maps are.
    """
    metres = PATCH_METRES / pixels_hw.shape[0]
    citation = f"WGS 84 / UTM zone {utm_zone}N"
    keys = [1, 1, 0, 7, 1024, 0, 1, 1, 1025, 0, 1, 1, 1026, _GEO_TEXT, len(citation) + 1, 0]
    keys += (2049, _GEO_TEXT, 7, len(citation) + 1, 2054, 0, 1, 9102, 3072, 0, 1, 32600 + utm_zone, 3076, 0, 1, 9001)
    tags = [
        (_PIXEL_SCALE, "d", 3, (metres, metres, 0.0), True),
        (_TIEPOINT, "d", 6, (0.0, 0.0, 0.0, *map(float, origin), 0.0), True),
        (_GEO_KEYS, "H", len(keys), keys, True),
        (_GEO_TEXT, "s", 0, f"{citation}|WGS 84|", True),
        *([] if nodata is None else [(_NODATA, "s", 0, str(nodata), True)]),
    ]
    tifffile.imwrite(
        path,
        pixels_hw,
        photometric="minisblack",
        rowsperstrip=max(1, _STRIP_BYTES // pixels_hw[0].nbytes),
        compression="zlib" if compressed else None,
        predictor=compressed,
        extratags=tags,
        metadata=None,
        software=False,
    )
