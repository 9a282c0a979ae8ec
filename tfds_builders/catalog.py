"""The kinds of archive that data sets are built from. Importing this needs no TensorFlow Datasets.

A new data set is a folder `tfds_builders/<data set>` with its builder, and one entry here. An archive of kind `<name>`
is compared with its published counts by `tfds_builders.<name>.check.check_archive`; generated ones are written by
`tfds_builders.synthetic.<name>.write_archive`.
"""

import importlib
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from tfds_builders.bigearthnet_v1 import tables as bigearthnet_v1
from tfds_builders.bigearthnet_v2 import tables as bigearthnet_v2
from tfds_builders.mlrsnet import names as mlrsnet
from tfds_builders.mtsccd import tables as mtsccd
from tfds_builders.reading.report import ArchiveReport


@dataclass(frozen=True, kw_only=True)
class ArchiveKind:
    """One kind of archive.

    `title` is the name that people use; `data_sets` are the TFDS data sets built from it; `size` and `unit` say how
    large the published archive is. `scale` is the default size of a generated archive, as a share of the published one,
    and `drawing` its other settings with their defaults. A check that looks at every file reports its progress.
    """

    name: str
    title: str
    data_sets: tuple[str, ...]
    size: int
    unit: str
    scale: float
    drawing: Mapping[str, int] = field(default_factory=dict)
    check_reports: bool = False

    def check(self, path: str | os.PathLike[str], progress: Callable[[int, int], None]) -> ArchiveReport:
        """Return the comparison of the archive at `path` with the published counts.

        Raises:
            ArchiveError: there is no archive of this kind at `path`.
        """
        module = importlib.import_module(f"tfds_builders.{self.name}.check")
        report: ArchiveReport = module.check_archive(path, **({"progress": progress} if self.check_reports else {}))
        return report

    def write(
        self,
        out_dir: str | os.PathLike[str],
        *,
        scale: float,
        seed: int,
        progress: Callable[[int, int], None],
        **drawing: int,
    ) -> int:
        """Write a generated archive below `out_dir` and return its number of images.

        Raises:
            ArchiveError: an argument is out of range, or `out_dir` already holds such an archive.
        """
        module = importlib.import_module(f"tfds_builders.synthetic.{self.name}")
        images: int = module.write_archive(out_dir, scale=scale, seed=seed, progress=progress, **drawing)
        return images


ARCHIVES: dict[str, ArchiveKind] = {
    kind.name: kind
    for kind in (
        ArchiveKind(
            name="mtsccd",
            title="MtSCCD",
            data_sets=("mtsccd_lusc", "mtsccd_lucd"),
            size=mtsccd.IMAGES,
            unit="images",
            scale=0.02,
            drawing={"image_size": 300, "layout": 6},
        ),
        ArchiveKind(
            name="bigearthnet_v1",
            title="BigEarthNet v1",
            data_sets=("bigearthnet_v1",),
            size=bigearthnet_v1.PATCHES,
            unit="patches",
            scale=0.002,
            check_reports=True,
        ),
        ArchiveKind(
            name="bigearthnet_v2",
            title="BigEarthNet v2",
            data_sets=("bigearthnet_v2",),
            size=bigearthnet_v2.ALL_PATCHES,
            unit="patches",
            scale=0.002,
            check_reports=True,
        ),
        ArchiveKind(
            name="mlrsnet",
            title="MLRSNet",
            data_sets=("mlrsnet",),
            size=mlrsnet.IMAGES,
            unit="images",
            scale=0.01,
            drawing={"image_size": 256},
        ),
    )
}

DATA_SETS: tuple[str, ...] = tuple(sorted(name for kind in ARCHIVES.values() for name in kind.data_sets))
# What people call each data set.
TITLES: dict[str, str] = {name: kind.title for kind in ARCHIVES.values() for name in kind.data_sets}
