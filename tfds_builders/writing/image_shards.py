"""Make the shards of data sets of whole image files."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tfds_builders.reading.archive import Archive, ArchiveError
from tfds_builders.reading.images import load_image_size
from tfds_builders.reading.problems import CONVENTION, FEW, MANY, alike
from tfds_builders.writing.examples import ImageExample, ImageExamples, ImageFile, ShardLimits
from tfds_builders.writing.records import Value

# Enough files to tell the common size of an archive's images and their mean number of bytes.
_SAMPLE = MANY


@dataclass(frozen=True, slots=True)
class ArchiveExample:
    """One example by the archive's names: the image of every image feature, and the value of every other one."""

    images: Mapping[str, str]
    values: Mapping[str, Value]


def image_shards(
    archive: Archive,
    splits: Mapping[str, Sequence[ArchiveExample]],
    scratch: Path,
    *,
    limits: ShardLimits,
    skip_bad: bool,
) -> dict[str, list[ImageExamples]]:
    """Return the shards of every split, within `limits`; packed images are copied below `scratch`."""
    names = (name for split in splits.values() for example in split for name in example.images.values())
    files = {name: _image_file(archive, name, path) for name, path in archive.files(names, scratch).items()}
    image_size, image_bytes = _common_size(archive.path, files)

    def shards(examples: Sequence[ArchiveExample]) -> list[ImageExamples]:
        ready = [
            ImageExample({feature: files[name] for feature, name in example.images.items()}, example.values)
            for example in examples
        ]
        bounds = limits.bounds(len(ready), len(examples[0].images) * image_bytes)
        return [ImageExamples(tuple(ready[start:stop]), image_size, skip_bad) for start, stop in bounds]

    return {split: shards(examples) for split, examples in splits.items()}


def _image_file(archive: Archive, name: str, path: str) -> ImageFile:
    shown = str(archive.path / name)
    return ImageFile(path, path if path == shown else shown)


def _common_size(archive: Path, files: Mapping[str, ImageFile]) -> tuple[tuple[int, int], int]:
    """Return the most common (width, height) of a sample of the files, and their mean number of bytes.

    The sample is from all parts of the archive, and the same one in every build.

    Raises:
        ArchiveError: no file of it can be read, or most have other sizes than the most common one.
    """
    sizes: Counter[tuple[int, int]] = Counter()
    num_bytes = []
    failures = []
    for name in sorted(files)[:: max(1, len(files) // _SAMPLE)]:
        file = files[name]
        try:
            size = load_image_size(file.path, file.shown_path)
        except ArchiveError as error:
            failures.append(str(error))
        else:
            sizes[size] += 1
            num_bytes.append(Path(file.path).stat().st_size)
    if not sizes:
        raise ArchiveError(f"{failures[0]}; {len(failures)} files {CONVENTION}" if alike(failures) else failures[0])
    size, count = sizes.most_common(1)[0]
    if sizes.total() >= FEW and count <= sizes.total() // 2:
        found = ", ".join(f"{wide}x{high}" for (wide, high), _ in sizes.most_common(3))
        raise ArchiveError(
            f"{archive}: images of many sizes ({found}, ...); make them of one, as in the published archive"
        )
    return size, sum(num_bytes) // len(num_bytes)
