"""The official TFDS test of the builder, on `dummy_data`."""

import numpy as np
import tensorflow_datasets as tfds

from tfds_builders.bigearthnet_v2 import bigearthnet_v2_dataset_builder


class BigEarthNetV2Test(tfds.testing.DatasetBuilderTestCase):
    DATASET_CLASS = bigearthnet_v2_dataset_builder.Builder
    BUILDER_CONFIG_NAMES_TO_TEST = ["official"]  # noqa: RUF012
    SPLITS = {"train": 3, "validation": 2, "test": 2}  # noqa: RUF012

    def _download_and_prepare_as_dataset(self, builder):
        super()._download_and_prepare_as_dataset(builder)
        source = list(builder.as_data_source("test"))
        by_tf = list(tfds.as_numpy(builder.as_dataset(split="test")))
        assert [e["patch_id"] for e in source] == [e["patch_id"] for e in by_tf]
        for one, other in zip(source, by_tf, strict=True):
            for name in ("B02", "B01", "VH", "class_map", "labels"):
                np.testing.assert_array_equal(one[name], other[name])


if __name__ == "__main__":
    tfds.testing.test_main()
