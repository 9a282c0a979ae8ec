"""Readers of small files, each given its files with bytes changed, cut out or repeated: a value, or one line.

The changes are drawn from a seed. Each reader also gets what no program writes: values of other types, numbers that
are not finite, and lists in lists without end.
"""

import io
import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path

import image_files
import numpy as np
import pytest
import tifffile
from safetensors.numpy import save

from mtsccd_jax.checksums import with_sha256
from mtsccd_jax.data.decode import decode_rgb
from mtsccd_jax.data.folder_source import pairs_source
from mtsccd_jax.engine import workdir
from mtsccd_jax.errors import InputError
from mtsccd_jax.models.weights import files as weights
from mtsccd_jax.perf import records
from mtsccd_jax.report import rows, workdirs
from mtsccd_jax.report.published import audit
from mtsccd_jax.tasks.change.trained_pairs import read_trained_pairs
from tfds_builders.bigearthnet_v1.patch_files import read_metadata
from tfds_builders.mtsccd.archive import with_archive_cities
from tfds_builders.mtsccd.names import CITIES
from tfds_builders.reading.archive import ArchiveError, open_archive
from tfds_builders.reading.geotiff import read_tiff

DEEP = b"[" * 100_000


def as_json(**values) -> bytes:
    return json.dumps(values).encode()


def odd(**values) -> Iterator[bytes]:
    """Yield a JSON object with one value after the other replaced by what it never is."""
    for name in values:
        for value in (None, [], {}, [[1]], "x", "\0", -1, 1e300, float("inf"), float("nan"), True, 10**400):
            yield as_json(**values | {name: value})
        yield as_json(**{key: value for key, value in values.items() if key != name})


def geotiff(**options) -> bytes:
    stream = io.BytesIO()
    tifffile.imwrite(stream, np.arange(1600, dtype=np.uint16).reshape(40, 40), metadata=None, **options)
    return stream.getvalue()


def safetensors(trained_on: str) -> bytes:
    return save({"a": np.ones((2, 3), np.float32)}, {"model": "resnet18", "trained_on": trained_on})


PATCH = {
    "labels": ["a"],
    "coordinates": {"ulx": 1, "uly": 2},
    "tile_source": "x_T33UUP_",
    "corresponding_s2_patch": "s",
}
FAILURE = {"network": "a", "protocol": "b", "split": "", "seed": 1, "reason": "x"}
LEARNED = {"data": "a", "names": [["a", "b"]], "first_sha256": "00"}
STEP = {"step": 1, "epoch": 0, "loss": 1.5, "accuracy": 0.5, "gradient_norm": 1.0, "learning_rate": 0.1}
SCORE = {"step": 1, "epoch": 0, "score_name": "oa", "score": 0.5}
ENTRY = {"name": "x", "oa": 0.8, "kappa": 0.2, "n": 100, "positives": 20}
RECORD = {"schema": 1, "benchmark": "b", "command": "c", "date": "d", "environment": {}, "rows": []}
CITY = b'[[city]]\nname = "suzhou"\ncode = "SZ"\nrole = "test"\ndates = ["201305", "202003"]\n'


def read_history(place: Path) -> None:
    history = workdir.History(place, 5)
    workdir.read_history(place), workdir.read_validations(place, 5)
    _ = history.mean_loss(3), history.median_images_per_s, history.epochs_without_better
    history.close()


# Name of the file -> its reader, and its contents.
READERS: dict[str, tuple[Callable[[Path], object], list[bytes]]] = {
    "a.img": (
        lambda path: decode_rgb(path.read_bytes(), "a"),
        [data for data, _ in image_files.sound_images().values()],
    ),
    "a.tif": (
        lambda path: read_tiff(path, shape=(40, 40), dtype=np.uint16),
        [geotiff(), geotiff(rowsperstrip=7), geotiff(compression="zlib", tile=(16, 16))],
    ),
    "a.safetensors": (
        lambda path: weights.read(str(path)),
        [safetensors(text) for text in ('["x"]', "5", "{", "[[1]]", DEEP.decode())],
    ),
    "patch.json": (lambda path: read_metadata(str(path), "patch.json"), [as_json(**PATCH), *odd(**PATCH), DEEP]),
    "cities.toml": (
        lambda path: with_archive_cities(CITIES, open_archive(path.parent)),
        [CITY, b"a = " + DEEP, CITY + b"dates = [1979-05-27]", b"city = [{name = nan, role = inf}]"],
    ),
    "pairs.csv": (
        lambda path: pairs_source(path.parent, "all"),
        [b"A,B,changed\na.png,a.png,1\n", b"A,B,changed\n\0,a,1\n"],
    ),
    "failures.json": (
        lambda path: workdirs.failures(path.parent),
        [as_json(**FAILURE).join((b"[", b"]")), *(line.join((b"[", b"]")) for line in odd(**FAILURE)), DEEP, b"5"],
    ),
    "trained_pairs.json": (lambda path: read_trained_pairs(path.parent), [as_json(**LEARNED), *odd(**LEARNED), DEEP]),
    "training.jsonl": (
        lambda path: read_history(path.parent),
        [as_json(**STEP) + b"\n" + as_json(**SCORE), *odd(**STEP), *odd(**SCORE), DEEP, b"[1]", b'"loss"', b"\xff\xfe"],
    ),
    "rows.jsonl": (lambda path: rows.load(path.parent), [DEEP, b"5\n", b'{"schema": 2}\n', b"\xff\n"]),
    "values.json": (
        lambda path: audit.read(path),
        [b"[" + line + b"]" for line in (as_json(**ENTRY), *odd(**ENTRY), DEEP)],
    ),
    "values.csv": (audit.read, [b"name,oa,kappa,n,positives\nx,0.8,0.2,100,20\n"]),
    "record.json": (records.load, [as_json(**RECORD), *odd(**RECORD), DEEP, b"5"]),
}


def changed(data: bytes, rng: random.Random) -> bytes:
    """Return the bytes cut, with a part taken out, blanked or repeated, and with up to three of them changed."""
    made = bytearray(data)
    first = rng.randrange(len(made) + 1)
    last = min(len(made), first + rng.randrange(1, 40))
    kind = rng.random()
    if kind < 0.15:
        del made[first:]
    elif kind < 0.3:
        made[first:last] = rng.choice([b"", bytes(last - first), b"\xff" * (last - first), bytes(made[first:last]) * 3])
    for place in (rng.randrange(len(made)) for _ in range(rng.randrange(4)) if made):
        made[place] = rng.choice([0, 127, 128, 255, rng.randrange(256), made[place] ^ 1 << rng.randrange(8)])
    return bytes(made)


@pytest.mark.fault
@pytest.mark.parametrize("name", READERS)
def test_a_damaged_file_gives_a_value_or_one_line(tmp_path, name):
    read, contents = READERS[name]
    rng = random.Random(0)
    for side in "AB":
        (tmp_path / side).mkdir()
        (tmp_path / side / "a.png").write_bytes(image_files.encoded("PNG"))
    path, told = tmp_path / name, []
    for content in [*contents, *(changed(rng.choice(contents), rng) for _ in range(200))]:
        path.write_bytes(content)
        try:
            read(path)
        except (InputError, ArchiveError) as error:
            told.append(str(error))
    assert told or name == "training.jsonl", "its lines from the damaged one on are dropped"
    assert [text for text in told if len(text.splitlines()) != 1] == []


@pytest.mark.parametrize(
    ("name", "values", "other", "layout"),
    [
        ("failures.json", FAILURE, {"seed": 2, "reason": "y", "network": "b"}, b"[%s]"),
        ("trained_pairs.json", LEARNED, {"names": [["a", "c"]], "first_sha256": "01"}, b"%s"),
    ],
)
def test_a_value_that_changed_after_it_was_written_is_told(tmp_path, name, values, other, layout):
    read, path = READERS[name][0], tmp_path / name
    path.write_bytes(layout % as_json(**with_sha256(values)))
    read(path)
    for key, value in other.items():
        path.write_bytes(layout % as_json(**with_sha256(values) | {key: value}))
        with pytest.raises(InputError, match="its values are not those that were written"):
            read(path)
