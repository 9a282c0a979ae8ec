"""Tensors of fixed shape in a TfdsSource: bands and vectors in their own type, as `tfds.data_source` gives them."""

import zlib
from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow_datasets as tfds
from source_contract import check_source

from mtsccd_jax.data.tfds_source import TfdsSource, tfds_source
from mtsccd_jax.errors import InputError

NAMES = ("cloud", "snow", "water")
ROWS = 5
SHAPES = {"wide": (2, 3), "deep": (2, 2, 4), "flags": (3,), "shares": (4,), "listed": (2, 2)}


def tensor(name: str, row: int) -> np.ndarray:
    """Return the tensor of a row; the smallest and largest values of a type are among them."""
    values = np.random.default_rng((len(name), row)).integers(0, 255, SHAPES[name])
    if name == "wide":
        return values.astype(np.uint16) * 257
    if name == "deep":
        return (values / -7).astype(np.float64)
    if name == "flags":
        return (values % 2).astype(np.uint8)
    return (values / 3).astype(np.float32) if name == "shares" else (values - 100).astype(np.int16)


class BandTiles(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """One tensor of each kind, and kinds that are left out."""

    VERSION = tfds.core.Version("1.0.0")

    def _info(self):
        of = tfds.features.Tensor
        return tfds.core.DatasetInfo(
            builder=self,
            features=tfds.features.FeaturesDict(
                {
                    "wide": of(shape=SHAPES["wide"], dtype=np.uint16, encoding="bytes"),
                    "deep": of(shape=SHAPES["deep"], dtype=np.float64, encoding="bytes"),
                    "labels": of(shape=SHAPES["flags"], dtype=np.uint8, encoding="bytes"),
                    "plain": of(shape=SHAPES["flags"], dtype=np.uint8),
                    "shares": of(shape=SHAPES["shares"], dtype=np.float32),
                    "listed": of(shape=SHAPES["listed"], dtype=np.int16),
                    "packed": of(shape=SHAPES["listed"], dtype=np.int16, encoding="zlib"),
                    "ragged": of(shape=(None,), dtype=np.int16),
                    "words": of(shape=(2,), dtype=np.str_),
                    "row": tfds.features.Scalar(np.int32),
                }
            ),
            metadata=tfds.core.MetadataDict(label_names=list(NAMES)),
            disable_shuffling=True,
        )

    def _split_generators(self, dl_manager):
        return {"train": self._generate_examples()}

    def _generate_examples(self):
        for row in range(ROWS):
            fields = {name: tensor(name, row) for name in ("wide", "deep", "shares", "listed")}
            fields["packed"] = tensor("listed", row)
            fields |= {"labels": tensor("flags", row), "plain": tensor("flags", row), "row": row}
            fields |= {"ragged": np.zeros(row, np.int16), "words": ["a", "b"]}
            yield row, fields


@pytest.fixture(scope="module")
def source(tmp_path_factory) -> TfdsSource:
    place = tmp_path_factory.mktemp("bands")
    BandTiles(data_dir=place, file_format="array_record").download_and_prepare()
    return tfds_source("band_tiles", "train", data_dir=place)


def test_a_row_holds_tensors_as_they_were_built(source):
    assert source.fields == ("deep", "labels", "listed", "packed", "plain", "row", "shares", "wide")
    assert source.band_fields == ("deep", "listed", "packed", "wide")
    assert source.image_fields == ()
    for row, example in enumerate(source):
        for field, name in (
            ("plain", "flags"),
            ("labels", "flags"),
            ("packed", "listed"),
            *((name, name) for name in SHAPES if name != "flags"),
        ):
            np.testing.assert_array_equal(example[field], tensor(name, row))
            assert example[field].dtype == tensor(name, row).dtype


def test_batches_stack_and_columns_hold_vectors(source):
    check_source(source)
    np.testing.assert_array_equal(source.column("labels"), [tensor("flags", row) for row in range(ROWS)])
    assert source.column("shares").dtype == np.float32
    assert source.read(np.array([], int))["labels"].shape == (0, 3)
    assert source.read(np.array([], int))["wide"].shape == (0, 2, 3)
    assert source.names == {"labels": NAMES}
    assert source.class_names == ()


def test_a_damaged_tensor_is_named(source):
    packed = zlib.compress(bytes(10**6))
    for content in (b"", packed[:9], packed):  # the last one is not unpacked to its end
        feature = SimpleNamespace(bytes_list=SimpleNamespace(value=[content]))
        with pytest.raises(InputError, match=r"^packed of row 1 has another size"):
            source._tensors["packed"].value(feature, "packed of row 1")
    for content in (b"", b"\0" * 11, b"\0" * 13, b"\0" * 24):
        feature = SimpleNamespace(bytes_list=SimpleNamespace(value=[content]))
        with pytest.raises(InputError, match=r"^wide of row 1 has another size than \(2, 3\)"):
            source._tensors["wide"].value(feature, "wide of row 1")
