"""Examples with whole image files, cut into shards: what the builders of image archives have in common."""

import itertools
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from tfds_builders.reading.archive import Archive, ArchiveError
from tfds_builders.reading.image_headers import load_image_size
from tfds_builders.writing.examples import ExampleFiles, ImageFile, ShardExamples

# Enough files to tell the common size of an archive's images and their mean number of bytes.
_SAMPLE = 64


def image_file(archive: Archive, name: str, path: str) -> ImageFile:
    """Return where the archive's file `name` lies (`path`, maybe a copy out of a packed file) and what to call it."""
    shown = str(archive.path / name)
    return ImageFile(path, path if path == shown else shown)


def common_size(archive: Archive, paths: Mapping[str, str]) -> tuple[tuple[int, int], int]:
    """Return the most common (width, height) of a sample of the archive's files, and their mean number of bytes.

    `paths` says where each of its files lies.

    Raises:
        ArchiveError: none of the sample can be read.
    """
    sizes: Counter[tuple[int, int]] = Counter()
    num_bytes = []
    failure: ArchiveError | None = None
    for name in _sample(paths):
        file = image_file(archive, name, paths[name])
        try:
            size = load_image_size(file.path, file.shown_path)
        except ArchiveError as error:
            failure = failure or error
        else:
            sizes[size] += 1
            num_bytes.append(Path(file.path).stat().st_size)
    if failure is not None and not sizes:
        raise failure
    return sizes.most_common(1)[0][0], sum(num_bytes) // len(num_bytes)


def image_shards(
    examples: Sequence[ExampleFiles],
    *,
    image_features: tuple[str, ...],
    value_features: tuple[str, ...],
    image_size: tuple[int, int],
    image_bytes: int,
    shard_bytes: int,
    skip_bad: bool,
) -> list[ShardExamples]:
    """Return the shards of one split, in the order of its `examples`, of about `shard_bytes` each."""
    split_bytes = len(examples) * len(image_features) * image_bytes
    count = min(len(examples), math.ceil(split_bytes / shard_bytes))
    bounds = [len(examples) * i // count for i in range(count + 1)]
    return [
        ShardExamples(image_features, value_features, tuple(examples[start:stop]), image_size, skip_bad)
        for start, stop in itertools.pairwise(bounds)
    ]


def _sample(names: Iterable[str]) -> list[str]:
    """Return names from all parts of the archive, the same ones in every build."""
    ordered = sorted(names)
    return ordered[:: max(1, len(ordered) // _SAMPLE)]
