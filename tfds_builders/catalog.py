"""The kinds of archive that data sets are built from. Importing this needs no TensorFlow Datasets.

A new data set is a folder `tfds_builders/<data set>` with its builder, and one entry here. Archives of kind `<name>`
are compared with their published counts by `tfds_builders.<name>.check.check_archive`, and generated ones are written
by `tfds_builders.synthetic.<name>.write_archive`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from tfds_builders.bigearthnet.bands import V1_STATISTICS, V2_STATISTICS, BandStatistics
from tfds_builders.bigearthnet_v1 import tables as bigearthnet_v1
from tfds_builders.bigearthnet_v2 import tables as bigearthnet_v2
from tfds_builders.mlrsnet import names as mlrsnet
from tfds_builders.mtsccd import tables as mtsccd


@dataclass(frozen=True, kw_only=True)
class ArchiveKind:
    """One kind of archive.

    `title` is the name that people use; `data_sets` are the TFDS data sets built from it; `size` and `unit` say how
    large the published archive is. `scale` is the default size of a generated archive, as a share of the published one,
    and `drawing` its other settings with their defaults. `band_statistics` are the published ones of its stored bands.
    """

    title: str
    data_sets: tuple[str, ...]
    size: int
    unit: str
    scale: float
    drawing: Mapping[str, int] = field(default_factory=dict)
    band_statistics: Mapping[str, BandStatistics] = field(default_factory=dict)


ARCHIVES: dict[str, ArchiveKind] = {
    "mtsccd": ArchiveKind(
        title="MtSCCD",
        data_sets=("mtsccd_lusc", "mtsccd_lucd"),
        size=mtsccd.IMAGES,
        unit="images",
        scale=0.02,
        drawing={"image_size": 300, "layout": 6},
    ),
    "bigearthnet_v1": ArchiveKind(
        title="BigEarthNet v1",
        data_sets=("bigearthnet_v1",),
        size=bigearthnet_v1.PATCHES,
        unit="patches",
        scale=0.002,
        band_statistics=V1_STATISTICS,
    ),
    "bigearthnet_v2": ArchiveKind(
        title="BigEarthNet v2",
        data_sets=("bigearthnet_v2",),
        size=bigearthnet_v2.ALL_PATCHES,
        unit="patches",
        scale=0.002,
        band_statistics=V2_STATISTICS,
    ),
    "mlrsnet": ArchiveKind(
        title="MLRSNet",
        data_sets=("mlrsnet",),
        size=mlrsnet.IMAGES,
        unit="images",
        scale=0.01,
        drawing={"image_size": 256},
    ),
}

DATA_SETS: tuple[str, ...] = tuple(sorted(name for kind in ARCHIVES.values() for name in kind.data_sets))
# The name of each data set that people use.
TITLES: dict[str, str] = {name: kind.title for kind in ARCHIVES.values() for name in kind.data_sets}
