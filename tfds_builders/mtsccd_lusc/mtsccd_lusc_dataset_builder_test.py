"""The official TFDS test of the builder, on `dummy_data`."""

from typing import ClassVar

import tensorflow_datasets as tfds

from tfds_builders.mtsccd_lusc import mtsccd_lusc_dataset_builder


class MtsccdLuscTest(tfds.testing.DatasetBuilderTestCase):  # type: ignore[misc]
    DATASET_CLASS = mtsccd_lusc_dataset_builder.Builder
    SPLITS: ClassVar[dict[str, int]] = {"train": 24, "validation": 6, "test_a": 10, "test_b": 10}
