"""The pairs that a similarity network has learned from, which it must not be evaluated on."""

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from mtsccd_jax.checksums import with_sha256, without_sha256
from mtsccd_jax.data.class_tree import ALL
from mtsccd_jax.data.sources import Source, open_pairs
from mtsccd_jax.engine.evaluate import Trained
from mtsccd_jax.errors import InputError
from mtsccd_jax.files import read_bytes, replacing, utf8
from mtsccd_jax.recipes.config import Data
from tfds_builders.reading.text import parsed_json

TRAINED_PAIRS_FILE = "trained_pairs.json"


@dataclass(frozen=True)
class TrainedPairs:
    """The list of training pairs in a work directory."""

    data: str  # name of their source
    names: tuple[tuple[str, str], ...]  # of the files of both dates
    first_sha256: str  # of the pixels of the first pair; tells other images with the same file names


def write_trained_pairs(workdir: Path, train: Source) -> None:
    """Write the list of the training pairs to the work directory."""
    pairs = TrainedPairs(train.name, tuple(_names(train)), _pixels_sha256(train, 0))
    with replacing(workdir / TRAINED_PAIRS_FILE) as stream:
        stream.write(utf8(json.dumps(with_sha256(asdict(pairs)), ensure_ascii=False) + "\n"))


def read_trained_pairs(workdir: Path) -> TrainedPairs:
    """Read the list of the training pairs of a work directory; InputError where it is gone or damaged."""
    path = workdir / TRAINED_PAIRS_FILE
    try:
        values = without_sha256(parsed_json(read_bytes(path)))
        names = tuple((first, second) for first, second in values["names"])
        return TrainedPairs(values["data"], names, values["first_sha256"])
    except (FileNotFoundError, KeyError, TypeError, AttributeError, ValueError) as error:
        raise InputError(
            f"{path}: the list of the pairs trained on cannot be read ({error!r}), so nobody can say which pairs are "
            "new to the network; train again in a new --workdir"
        ) from None


def check_new(trained: Trained, data: Data, source: Source) -> None:
    """Raise InputError where the network has learned from some of the pairs of a source, which is a split of `data`."""
    learned = read_trained_pairs(trained.workdir)
    names = set(learned.names)
    common = sum(pair in names for pair in _names(source))
    if common and _same_images(data, source, learned):
        raise InputError(
            f"{source.name}, {source.split}: the network of {trained.workdir} has learned from {common} of these "
            f"{len(source)} pairs and would be judged by what it knows; judge another split, or other pairs"
        )


def _same_images(data: Data, source: Source, learned: TrainedPairs) -> bool:
    """Return whether pairs with the names of training pairs are those pairs.

    Names in a data set are unique. A list in another folder may have the same names by accident: the pixels of the
    first training pair decide.
    """
    if data.pairs is None or source.name == learned.data:
        return True
    everything, first = open_pairs(data, ALL), learned.names[0]
    names = _names(everything)
    return first in names and _pixels_sha256(everything, names.index(first)) == learned.first_sha256


def _names(pairs: Source) -> list[tuple[str, str]]:
    """Return the file names of both dates of each pair."""
    return list(zip(pairs.column("filename_t1").tolist(), pairs.column("filename_t2").tolist(), strict=True))


def _pixels_sha256(pairs: Source, row: int) -> str:
    """Return the checksum of the pixels of both dates of a pair."""
    example = pairs[row]
    dates = (example["image_t1"], example["image_t2"])
    return hashlib.sha256(b"".join(np.ascontiguousarray(image).tobytes() for image in dates)).hexdigest()
