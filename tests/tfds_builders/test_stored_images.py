"""What the builders store beside TensorFlow, whose import takes seconds."""

import image_files
import numpy as np
import pytest

from tfds_builders.reading.images import load_image


def test_what_is_stored_is_the_same_for_tensorflow(tmp_path):
    tf = pytest.importorskip("tensorflow")
    for name, (data, expected) in image_files.sound_images().items():
        (tmp_path / "a.img").write_bytes(data)
        stored = load_image(str(tmp_path / "a.img"), "a.img", (image_files.WIDTH, image_files.HEIGHT))
        found = tf.image.decode_image(stored, channels=3)
        assert found.shape == expected.shape, name
        if stored.startswith(b"\xff\xd8"):  # its default is another transform, a few grey values off
            found = tf.io.decode_jpeg(stored, dct_method="INTEGER_ACCURATE")
        np.testing.assert_array_equal(found.numpy(), expected, err_msg=name)
