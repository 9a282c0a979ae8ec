import io
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image

from mtsccd_jax.data import decode
from mtsccd_jax.data.decode import ImageBatch, decode_rgb
from mtsccd_jax.errors import InputError


def encode(image: np.ndarray | Image.Image, form: str, **options) -> bytes:
    file = io.BytesIO()
    image = image if isinstance(image, Image.Image) else Image.fromarray(image)
    image.save(file, form, **options)
    return file.getvalue()


@pytest.fixture(scope="module")
def pixels() -> np.ndarray:
    return np.random.default_rng(3).integers(0, 256, (40, 56, 3), np.uint8)


def variants(pixels: np.ndarray) -> dict[str, bytes]:
    grey = pixels[..., 0]
    exif = Image.Exif()
    exif[0x0112] = 6  # a quarter turn
    return {
        "JPEG": encode(pixels, "JPEG", quality=80),
        "JPEG 4:4:4": encode(pixels, "JPEG", quality=95, subsampling=0),
        "JPEG progressive": encode(pixels, "JPEG", progressive=True),
        "JPEG grey": encode(grey, "JPEG"),
        "JPEG with orientation": encode(pixels, "JPEG", exif=exif),
        "PNG": encode(pixels, "PNG"),
        "PNG grey": encode(grey, "PNG"),
        "PNG palette": encode(Image.fromarray(pixels).quantize(16), "PNG"),
        "PNG alpha": encode(np.dstack([pixels, grey]), "PNG"),
        "PNG grey and alpha": encode(Image.fromarray(pixels[..., :2], "LA"), "PNG"),
        "PNG one bit": encode(Image.fromarray(grey).convert("1"), "PNG"),
        "BMP": encode(pixels, "BMP"),
        "TIFF": encode(pixels, "TIFF"),
        "WebP": encode(pixels, "WEBP", lossless=True),
    }


def test_decoding_equals_pil_bit_for_bit(pixels):
    for name, data in variants(pixels).items():
        expected = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
        image = decode_rgb(data, name)
        assert image.dtype == np.uint8
        np.testing.assert_array_equal(image, expected, err_msg=name)


@pytest.mark.parametrize("form", ["JPEG", "PNG", "BMP", "TIFF", "WEBP"])
def test_cut_off_images_are_refused_by_name(pixels, form, capfd):
    data = encode(pixels, form)
    for length in (1, 10, len(data) // 2, len(data) - 2):
        with pytest.raises(
            InputError, match=r"^tile 7 is (damaged|a damaged or truncated JPEG).*; replace or remove it$"
        ):
            decode_rgb(data[:length], "tile 7")
    with pytest.raises(InputError, match=r"^tile 7 is empty; replace or remove it$"):
        decode_rgb(b"", "tile 7")
    with pytest.raises(InputError, match=r"^tile 7 is damaged or not an image"):
        decode_rgb(b"this is a text", "tile 7")
    assert "WARN" not in capfd.readouterr().err


def test_absurd_sizes_in_a_header_are_refused(pixels):
    jpeg = bytearray(encode(pixels, "JPEG"))
    size = jpeg.find(b"\xff\xc0") + 5
    jpeg[size : size + 4] = (65_000).to_bytes(2, "big") * 2
    png = bytearray(encode(pixels, "PNG"))
    png[16:24] = (100_000).to_bytes(4, "big") * 2
    png[29:33] = zlib.crc32(png[12:29]).to_bytes(4, "big")
    for data in (bytes(jpeg), bytes(png)):
        with pytest.raises(InputError, match=r"^a is (damaged or|a damaged)"):
            batch_of([data], None)


@pytest.mark.parametrize("form", ["PNG", "TIFF"])
def test_values_of_16_bits_are_refused_with_what_to_do(pixels, form):
    with pytest.raises(InputError, match=r"^a.png holds uint16 values; convert it to 8 bits a channel$"):
        decode_rgb(encode(pixels[..., 0].astype(np.uint16) * 257, form), "a.png")


def batch_of(encoded: list[bytes], image_size: int | None) -> np.ndarray:
    batch = ImageBatch(len(encoded), image_size)
    for position, data in enumerate(encoded):
        batch.decode(position, data, "ab"[position])
    return batch.image_bhwc


@pytest.mark.parametrize("side", [None, 40, 24])
def test_batches_are_the_same_with_and_without_simplejpeg(pixels, side, monkeypatch):
    pytest.importorskip("simplejpeg", reason="simplejpeg is not installed: there is one JPEG decoder only")
    square = pixels[:, :40]
    data = [encode(square, "JPEG", quality=70), encode(square[..., 0], "JPEG", progressive=True)]
    with_it = batch_of(data, side)
    monkeypatch.setattr(decode, "simplejpeg", None)
    np.testing.assert_array_equal(batch_of(data, side), with_it)


@pytest.mark.parametrize("fast", [True, False])
@pytest.mark.parametrize("side", [None, 24])
def test_batches_refuse_what_is_cut_off(pixels, fast, side, monkeypatch):
    if not fast:
        monkeypatch.setattr(decode, "simplejpeg", None)
    data = encode(pixels, "JPEG")
    for length in (4, len(data) // 2, len(data) - 2):
        with pytest.raises(InputError, match=r"^b is a damaged or truncated JPEG; replace or remove it$"):
            batch_of([data, data[:length]], side)


@pytest.mark.parametrize("side", [7, 20, 33])
def test_resizing_equals_the_8_bit_area_filter(pixels, side):
    for image in (pixels, pixels[:, :33], pixels[:side, :side]):
        expected = cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA)
        found = batch_of([encode(image, "PNG")], side)[0]
        assert np.abs(found.astype(int) - expected).max() <= 1  # ties may round the other way
        assert (found == expected).mean() > 0.99
        if image.shape == found.shape:
            np.testing.assert_array_equal(found, image)


def test_batch_without_a_size_wants_equal_images(pixels):
    data = [encode(pixels, "PNG"), encode(pixels[:30], "PNG")]
    with pytest.raises(InputError, match=r"^b is 56x30 pixels, but a is 56x40; set data.image_size to resize them$"):
        batch_of(data, None)
    assert batch_of(data[:1], None).shape == (1, 40, 56, 3)
