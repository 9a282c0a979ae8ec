"""Tell measured pixels from what stands for "no data". Light to import, for the worker processes."""

import os
from collections.abc import Callable

import numpy as np

from tfds_builders.bigearthnet.bands import Band
from tfds_builders.reading.archive import ArchiveError
from tfds_builders.reading.geotiff import read_tiff

# Single pixels of the real archives lie within -76 and 35 dB. Fill values such as -9999 or -3.4e38 lie far outside.
_LOWEST_DB, _HIGHEST_DB = -90, 90


class NoDataError(ArchiveError):
    """A band has pixels that are no measurement."""


def not_finite(values: np.ndarray) -> str:
    """Return how many values are NaN or infinite and where the first lies, or "" where all are finite."""
    finite = np.isfinite(values)
    return "" if finite.all() else _counted(~finite, values, "NaN or infinite")


def no_backscatter(band_hw: np.ndarray) -> str:
    """Return why pixels are no backscatter in dB, or "" where they are.

    NaN, infinities and fill values are none. A border of nothing but 0 has no data either: speckle leaves no row alike.
    """
    if not (band_hw.min() >= _LOWEST_DB and band_hw.max() <= _HIGHEST_DB):
        measured_hw = (band_hw >= _LOWEST_DB) & (band_hw <= _HIGHEST_DB)
        return _counted(~measured_hw, band_hw, "no backscatter in dB")
    if band_hw[0, 0] and band_hw[-1, -1]:  # every border has one of these corners
        return ""
    borders = {"first row": band_hw[0], "last row": band_hw[-1], "first column": band_hw[:, 0]}
    empty = [name for name, border in (borders | {"last column": band_hw[:, -1]}).items() if not border.any()]
    return f"no data in its {empty[0]} (every pixel is 0)" if empty else ""


def read_band(path: str, band: Band, shown_path: str | os.PathLike[str] | None = None) -> np.ndarray:
    """Return the pixels of one band of a patch; errors call the file `shown_path`.

    Raises:
        ArchiveError: as `read_tiff`; NoDataError where the band is radar with pixels that are no backscatter.
    """
    pixels_hw = read_tiff(path, shape=band.shape, dtype=band.dtype, shown_path=shown_path)
    refuse_no_data(pixels_hw, band, path if shown_path is None else shown_path)
    return pixels_hw


def radar_problems(read: Callable[[], object]) -> list[str]:
    """Return what a reader of radar says of pixels that are no backscatter; the build names files that are broken."""
    try:
        read()
    except NoDataError as error:
        return [str(error)]
    except ArchiveError:
        pass
    return []


def refuse_no_data(pixels_hw: np.ndarray, band: Band, shown: str | os.PathLike[str]) -> None:
    """Raise NoDataError where a band is radar with pixels that are no backscatter; the message begins with `shown`."""
    if band.sensor == "S1" and (fault := no_backscatter(pixels_hw)):
        raise NoDataError(f"{shown}: {fault}")


def _counted(wrong: np.ndarray, values: np.ndarray, what: str) -> str:
    place = np.unravel_index(wrong.argmax(), wrong.shape)
    shown = ", ".join(f"{axis} {at}" for axis, at in zip(("row", "column"), place, strict=False))
    return f"{wrong.sum():,} of {wrong.size:,} pixels are {what}, the first ({values[place]:g}) in {shown}"
