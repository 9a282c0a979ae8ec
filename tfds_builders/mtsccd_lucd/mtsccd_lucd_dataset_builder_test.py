"""The official TFDS test of the builder, on `dummy_data`."""

from typing import ClassVar

import tensorflow_datasets as tfds

from tfds_builders.mtsccd_lucd import mtsccd_lucd_dataset_builder


class MtsccdLucdTest(tfds.testing.DatasetBuilderTestCase):  # type: ignore[misc]
    DATASET_CLASS = mtsccd_lucd_dataset_builder.Builder
    SPLITS: ClassVar[dict[str, int]] = {"train": 12, "validation": 3, "test_a": 5, "test_b": 5}
