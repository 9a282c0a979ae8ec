"""The official TFDS test of the builder, on `dummy_data`."""

import tensorflow_datasets as tfds

from tfds_builders.mtsccd_lucd import mtsccd_lucd_dataset_builder


class MtsccdLucdTest(tfds.testing.DatasetBuilderTestCase):
    DATASET_CLASS = mtsccd_lucd_dataset_builder.Builder
    SPLITS = {"train": 12, "validation": 3, "test_a": 5, "test_b": 5}  # noqa: RUF012

    def _download_and_prepare_as_dataset(self, builder):
        super()._download_and_prepare_as_dataset(builder)
        source = builder.as_data_source("test_a")
        by_tf = tfds.as_numpy(builder.as_dataset(split="test_a"))
        assert [e["filename_t1"] for e in source] == [e["filename_t1"] for e in by_tf]


if __name__ == "__main__":
    tfds.testing.test_main()
