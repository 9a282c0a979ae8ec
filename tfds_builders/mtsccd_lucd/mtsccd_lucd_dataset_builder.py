"""The TFDS builder of MtSCCD_LUCD."""

from collections.abc import Mapping, Sequence

import numpy as np
import tensorflow_datasets as tfds

from tfds_builders.mtsccd.archive import HOMEPAGE, Listing, Scene
from tfds_builders.mtsccd.builder import MtsccdBuilder
from tfds_builders.mtsccd.names import CLASS_NAMES
from tfds_builders.mtsccd.splits import split_pairs
from tfds_builders.writing.image_shards import ArchiveExample
from tfds_builders.writing.records import Value


class Builder(MtsccdBuilder):
    """MtSCCD_LUCD: two dates of a place, changed where their classes differ (section 2.2.2)."""

    SUBSET = "lucd"

    def _info(self) -> tfds.core.DatasetInfo:
        return self.dataset_info_from_configs(
            features=tfds.features.FeaturesDict(
                {
                    "image_t1": tfds.features.Image(shape=(None, None, 3)),
                    "image_t2": tfds.features.Image(shape=(None, None, 3)),
                    "label_t1": tfds.features.ClassLabel(names=list(CLASS_NAMES)),
                    "label_t2": tfds.features.ClassLabel(names=list(CLASS_NAMES)),
                    "changed": tfds.features.ClassLabel(names=["unchanged", "changed"]),
                    "city": tfds.features.ClassLabel(names=self._city_names()),
                    "date_t1": tfds.features.Text(),
                    "date_t2": tfds.features.Text(),
                    "tile_x": tfds.features.Scalar(np.int32),
                    "tile_y": tfds.features.Scalar(np.int32),
                    "filename_t1": tfds.features.Text(),
                    "filename_t2": tfds.features.Text(),
                }
            ),
            supervised_keys=(("image_t1", "image_t2"), "changed"),
            homepage=HOMEPAGE,
        )

    def _split(self, listing: Listing) -> Mapping[str, Sequence[tuple[Scene, ...]]]:
        listing.bad += listing.unpaired
        config = self.builder_config
        return split_pairs(listing, paired=config.paired, seed=config.seed)

    def _example(self, scenes: tuple[Scene, ...], city: int) -> ArchiveExample:
        first, second = scenes
        values: dict[str, Value] = {
            "label_t1": first.name.label,
            "label_t2": second.name.label,
            "changed": int(first.name.label != second.name.label),
            "city": city,
            "date_t1": first.name.date,
            "date_t2": second.name.date,
            "tile_x": first.name.tile_x,
            "tile_y": first.name.tile_y,
            "filename_t1": first.filename,
            "filename_t2": second.filename,
        }
        return ArchiveExample({"image_t1": first.path, "image_t2": second.path}, values)
