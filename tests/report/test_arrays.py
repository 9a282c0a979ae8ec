"""Files of arrays as NumPy writes them, with headers that ask for too much, and with bytes changed."""

import io
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest

from mtsccd_jax.report.arrays import read_arrays
from tfds_builders.reading import limits

ARRAYS = {
    "numbers": np.arange(6).reshape(2, 3),
    "by_column": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    "empty": np.zeros((0, 3), np.float32),
    "text": np.array("林 a"),
    "texts": np.array(["a", "bcd"]),
}


def saved(save=np.savez_compressed, **arrays) -> bytes:
    stream = io.BytesIO()
    save(stream, **arrays)
    return stream.getvalue()


def of_member(content: bytes) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("a.npy", content)
    return stream.getvalue()


def with_shape(shape: str, descr: str = "'<f8'") -> bytes:
    """Return an .npz file whose header promises that shape, of 80 bytes of values."""
    header = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}".ljust(117) + "\n"
    return of_member(b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header.encode() + bytes(80))


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_arrays_are_those_of_numpy(save):
    read = read_arrays(saved(save, **ARRAYS), Path("a.npz"))
    assert list(read) == list(ARRAYS)
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(read[name], array, strict=True)
        assert read[name].flags.writeable


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (with_shape("(1000000000000,)"), "80 bytes of values instead of 8,000,000,000,000"),
        (with_shape("(10000000, 10000000, 10000000)"), "80 bytes of values instead of 8,0"),
        (with_shape("(10,)", "'<U100000000'"), "80 bytes of values instead of 4,000,000,000"),
        (with_shape("(-10,)"), "80 bytes of values instead of -80"),
        (with_shape("(10,)", "'|O'"), "Python objects, which need pickles"),
        (with_shape("(" * 90 + ")" * 90), ""),
        (with_shape("__import__('os').system('true')"), ""),
        (of_member(pickle.dumps([1])), "magic string"),
        (saved(a=np.zeros(1 << 17)), "unpacks to 1,048,"),
        (b"", "not a zip file"),
    ],
)
def test_what_asks_for_too_much_is_told(monkeypatch, content, why):
    monkeypatch.setattr(limits, "_ANY_BYTES", 100_000)
    with pytest.raises(ValueError, match=rf"^a\.npz: not a readable \.npz \(.*{why}"):
        read_arrays(content, Path("a.npz"))


def test_damage_gives_arrays_or_one_error():
    content, rng, told = saved(**ARRAYS), np.random.default_rng(0), 0
    for _ in range(400):
        damaged = bytearray(content[: rng.integers(len(content))] if rng.random() < 0.2 else content)
        for place in rng.integers(0, max(1, len(damaged)), 1 + rng.integers(3)):
            damaged[place : place + 1] = bytes([rng.integers(256)])
        try:
            read_arrays(bytes(damaged), Path("a.npz"))
        except ValueError as error:
            told += str(error).startswith("a.npz: not a readable .npz (")
    assert told > 200
