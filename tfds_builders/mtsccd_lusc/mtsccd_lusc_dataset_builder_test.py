"""The official TFDS test of the builder, on `dummy_data`."""

import tensorflow_datasets as tfds

from tfds_builders.mtsccd_lusc import mtsccd_lusc_dataset_builder


class MtsccdLuscTest(tfds.testing.DatasetBuilderTestCase):
    DATASET_CLASS = mtsccd_lusc_dataset_builder.Builder
    SPLITS = {"train": 24, "validation": 6, "test_a": 10, "test_b": 10}  # noqa: RUF012

    def _download_and_prepare_as_dataset(self, builder):
        super()._download_and_prepare_as_dataset(builder)
        source = builder.as_data_source("test_a")
        by_tf = tfds.as_numpy(builder.as_dataset(split="test_a"))
        assert [e["filename"] for e in source] == [e["filename"] for e in by_tf]


if __name__ == "__main__":
    tfds.testing.test_main()
