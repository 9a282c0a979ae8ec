"""The official TFDS test of the builder, on `dummy_data`."""

import tensorflow_datasets as tfds

from tfds_builders.bigearthnet_v1 import bigearthnet_v1_dataset_builder


class BigearthnetV1Test(tfds.testing.DatasetBuilderTestCase):
    DATASET_CLASS = bigearthnet_v1_dataset_builder.Builder
    BUILDER_CONFIG_NAMES_TO_TEST = ["s1_s2_19"]  # noqa: RUF012
    SPLITS = {"train": 3, "validation": 1, "test": 1}  # noqa: RUF012

    def _download_and_prepare_as_dataset(self, builder):
        super()._download_and_prepare_as_dataset(builder)
        by_tf = tfds.as_numpy(builder.as_dataset(split="train"))
        source = builder.as_data_source("train")
        for one, other in zip(by_tf, source, strict=True):
            assert one["patch_id"] == other["patch_id"]
            assert (one["B02"] == other["B02"]).all()


if __name__ == "__main__":
    tfds.testing.test_main()
