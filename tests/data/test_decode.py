import contextlib
import io
import zlib

import cv2
import image_files
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from image_files import encoded
from PIL import Image

from mtsccd_jax.data import decode
from mtsccd_jax.data.decode import ImageBatch, decode_rgb
from mtsccd_jax.errors import InputError

SOUND = image_files.sound_images()
OTHERS = image_files.other_files()


@pytest.fixture(scope="module")
def pixels() -> np.ndarray:
    return np.random.default_rng(3).integers(0, 256, (40, 56, 3), np.uint8)


@pytest.mark.parametrize("name", SOUND)
def test_pixels_are_those_of_the_reference_alone_and_in_a_batch(name):
    data, expected = SOUND[name]
    image = decode_rgb(data, name)
    assert image.dtype == np.uint8
    np.testing.assert_array_equal(image, expected)
    np.testing.assert_array_equal(batch_of([data], None)[0], expected)


@pytest.mark.parametrize("name", OTHERS)
def test_sound_files_of_other_kinds_are_named_and_not_called_damaged(name):
    data, what = OTHERS[name]
    with pytest.raises(InputError, match=rf"^a holds {what}.*; convert it to 8-bit RGB$"):
        batch_of([data], 24)


# Cut off, or with some bytes changed: most of them in the header.
DAMAGE = st.tuples(
    st.sampled_from(sorted(SOUND)),
    st.floats(0, 1),
    st.lists(st.tuples(st.one_of(st.integers(0, 220), st.integers(0, 2000)), st.integers(0, 255)), max_size=3),
)


@settings(max_examples=400, deadline=None, derandomize=True, database=None)
@given(DAMAGE)
def test_damage_is_an_input_error_or_gives_the_pixels_of_pillow(damage):
    name, kept, changes = damage
    data = bytearray(SOUND[name][0])
    for place, value in changes:
        data[place % len(data)] = value
    data = bytes(data if changes else data[: int(kept * len(data))])
    with contextlib.suppress(InputError):
        image = decode_rgb(data, "tile 7")
        if not name.startswith("TIFF"):
            np.testing.assert_array_equal(image, np.asarray(Image.open(io.BytesIO(data)).convert("RGB")))


@pytest.mark.parametrize("form", ["JPEG", "PNG", "BMP", "TIFF", "WEBP"])
def test_cut_off_images_are_refused_by_name(pixels, form, capfd):
    data = encoded(form, pixels)
    for length in (1, 10, len(data) // 2, len(data) - 2):
        with pytest.raises(InputError, match=r"^tile 7 is (a )?(damaged|truncated).*; replace or remove it$"):
            decode_rgb(data[:length], "tile 7")
    with pytest.raises(InputError, match=r"^tile 7 is empty; replace or remove it$"):
        decode_rgb(b"", "tile 7")
    with pytest.raises(InputError, match=r"^tile 7 is damaged or not an image"):
        decode_rgb(b"this is a text", "tile 7")
    assert "WARN" not in capfd.readouterr().err


def test_absurd_sizes_in_a_header_are_refused(pixels):
    jpeg = bytearray(encoded("JPEG", pixels))
    size = jpeg.find(b"\xff\xc0") + 5
    jpeg[size : size + 4] = (65_000).to_bytes(2, "big") * 2
    png = bytearray(encoded("PNG", pixels))
    png[16:24] = (100_000).to_bytes(4, "big") * 2
    png[29:33] = zlib.crc32(png[12:29]).to_bytes(4, "big")
    for data in (bytes(jpeg), bytes(png)):
        with pytest.raises(InputError, match=r"^a holds a (JPEG|PNG) of \d+x\d+ pixels, more than"):
            batch_of([data], None)


def batch_of(encoded: list[bytes], image_size: int | None) -> np.ndarray:
    batch = ImageBatch(len(encoded), image_size)
    for position, data in enumerate(encoded):
        batch.decode(position, data, "ab"[position])
    return batch.image_bhwc


@pytest.mark.parametrize("side", [None, 40, 24])
def test_batches_are_the_same_with_and_without_simplejpeg(pixels, side, monkeypatch):
    pytest.importorskip("simplejpeg", reason="simplejpeg is not installed: there is one JPEG decoder only")
    square = pixels[:, :40]
    data = [encoded("JPEG", square, quality=70), encoded("JPEG", square[..., 0], progressive=True)]
    with_it = batch_of(data, side)
    monkeypatch.setattr(decode, "simplejpeg", None)
    np.testing.assert_array_equal(batch_of(data, side), with_it)


@pytest.mark.parametrize("fast", [True, False])
@pytest.mark.parametrize("side", [None, 24])
def test_batches_refuse_what_is_cut_off(pixels, fast, side, monkeypatch):
    if not fast:
        monkeypatch.setattr(decode, "simplejpeg", None)
    data = encoded("JPEG", pixels)
    for length in (4, len(data) // 2, len(data) - 2):
        with pytest.raises(InputError, match=r"^b is a damaged or truncated JPEG .*; replace or remove it$"):
            batch_of([data, data[:length]], side)


@pytest.mark.parametrize("side", [7, 20, 33])
def test_resizing_equals_the_8_bit_area_filter(pixels, side):
    for image in (pixels, pixels[:, :33], pixels[:side, :side]):
        expected = cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA)
        found = batch_of([encoded("PNG", image)], side)[0]
        assert np.abs(found.astype(int) - expected).max() <= 1  # ties may round the other way
        assert (found == expected).mean() > 0.99
        if image.shape == found.shape:
            np.testing.assert_array_equal(found, image)


def test_batch_without_a_size_wants_equal_images(pixels):
    data = [encoded("PNG", pixels), encoded("PNG", pixels[:30])]
    with pytest.raises(InputError, match=r"^b is 56x30 pixels, but a is 56x40; set data.image_size to resize them$"):
        batch_of(data, None)
    assert batch_of(data[:1], None).shape == (1, 40, 56, 3)
