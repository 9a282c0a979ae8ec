"""Records against TensorFlow's reader and TFDS's serialiser."""

import subprocess
import sys

import numpy as np
import pytest
import tensorflow_datasets as tfds
from array_record.python.array_record_data_source import ArrayRecordDataSource

from tfds_builders.writing.records import WRITERS, ShardResult, Skipped, encode_example, write_shard

EXAMPLE = {
    "image": bytes(range(256)) * 40,
    "label": 7,
    "big": 2**40,
    "negative": -3,
    "flag": True,
    "text": "杭州 HZ",
    "floats": np.array([[0.5, -1e-7], [3.25, 1e30]], np.float32),
    "bands": np.arange(6, dtype=np.uint16).reshape(2, 3),
    "texts": ["a", "bc"],
}
FEATURES = tfds.features.FeaturesDict(
    {
        "image": np.object_,
        "label": tfds.features.ClassLabel(num_classes=10),
        "big": np.int64,
        "negative": np.int32,
        "flag": np.bool_,
        "text": tfds.features.Text(),
        "floats": tfds.features.Tensor(shape=(2, 2), dtype=np.float32),
        "bands": tfds.features.Tensor(shape=(2, 3), dtype=np.uint16),
        "texts": tfds.features.Sequence(tfds.features.Text()),
    }
)


def run_shard(examples, folder) -> tuple[ShardResult, list[int]]:
    seen: list[int] = []
    return write_shard(examples, {name: str(folder / f"a.{name}") for name in WRITERS}, seen.append), seen


def test_an_example_is_what_tfds_would_serialise():
    from tensorflow_datasets.core import example_serializer
    from tensorflow_datasets.proto import tf_example_pb2

    ours = encode_example(EXAMPLE)
    theirs = example_serializer.ExampleSerializer(FEATURES.get_serialized_info()).get_tf_example(
        FEATURES.encode_example(EXAMPLE)
    )
    assert tf_example_pb2.Example.FromString(ours) == theirs
    assert len(ours) == len(theirs.SerializeToString())
    decoded = FEATURES.deserialize_example_np(ours)
    assert decoded["negative"] == -3
    np.testing.assert_array_equal(decoded["bands"], EXAMPLE["bands"])


def test_empty_lists_and_unsigned_values():
    from tensorflow_datasets.proto import tf_example_pb2

    example = {"none": np.zeros(0, np.int64), "no_floats": np.zeros(0, np.float32), "most": np.uint64(2**64 - 1)}
    feature = tf_example_pb2.Example.FromString(encode_example(example)).features.feature
    assert feature["none"].WhichOneof("kind") == "int64_list"
    assert feature["no_floats"].WhichOneof("kind") == "float_list"
    assert list(feature["most"].int64_list.value) == [-1]


def test_both_files_hold_the_same_records_and_tensorflow_accepts_the_checksums(tmp_path):
    import tensorflow as tf

    examples = [{"image": bytes([i]) * (i * 1000), "label": i} for i in range(20)]
    result, seen = run_shard([(i, example) for i, example in enumerate(examples)], tmp_path)
    records = [encode_example(example) for example in examples]
    by_tf = [r.numpy() for r in tf.data.TFRecordDataset(str(tmp_path / "a.tfrecord"))]  # verifies both checksums
    source = ArrayRecordDataSource(str(tmp_path / "a.array_record"))
    assert by_tf == records
    assert [source[i] for i in reversed(range(20))] == records[::-1]
    assert result == ShardResult(20, sum(map(len, records)), [])
    assert sum(seen) == 20
    damaged = bytearray((tmp_path / "a.tfrecord").read_bytes())
    damaged[-6] ^= 1
    (tmp_path / "b.tfrecord").write_bytes(damaged)
    with pytest.raises(tf.errors.DataLossError):
        list(tf.data.TFRecordDataset(str(tmp_path / "b.tfrecord")))


def test_skipped_examples_are_counted_and_named(tmp_path):
    result, seen = run_shard([(0, {"label": 1}), (1, Skipped("a.jpg: empty file")), (2, {"label": 2})], tmp_path)
    assert (result.examples, result.skipped, sum(seen)) == (2, ["a.jpg: empty file"], 3)


def test_an_error_of_an_example_passes_through(tmp_path):
    def examples():
        yield 0, {"label": 1}
        raise KeyError("broken")

    with pytest.raises(KeyError, match="broken"):
        run_shard(examples(), tmp_path)


def test_the_hot_path_imports_no_heavy_package():
    code = (
        "import sys; sys.modules['tensorflow_datasets'] = None;"  # as a worker process does
        "import tfds_builders.writing.records, tfds_builders.writing.examples;"
        "print([m for m in ('tensorflow', 'jax', 'torch', 'PIL', 'cv2') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
