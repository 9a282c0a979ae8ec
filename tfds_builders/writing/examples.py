"""The examples of a shard from image files and values: picklable, and light to import for the workers."""

from collections.abc import Iterator
from dataclasses import dataclass

from tfds_builders.reading.archive import ArchiveError
from tfds_builders.reading.image_headers import load_image
from tfds_builders.writing.records import Example, Skipped, Value


@dataclass(frozen=True, slots=True)
class ImageFile:
    """Where an image lies, and what errors call it (a file inside a packed archive lies in a temporary place)."""

    path: str
    shown_path: str


@dataclass(frozen=True, slots=True)
class ExampleFiles:
    """One example before its images are read; both tuples are in the order of the shard's feature names."""

    images: tuple[ImageFile, ...]
    values: tuple[Value, ...]


@dataclass(frozen=True)
class ShardExamples:
    """The examples of one shard. A call yields (key, example), and with `skip_bad` Skipped where an image is bad."""

    image_features: tuple[str, ...]
    value_features: tuple[str, ...]
    examples: tuple[ExampleFiles, ...]
    image_size: tuple[int, int]
    skip_bad: bool

    def __call__(self) -> Iterator[tuple[int, Example | Skipped]]:
        """Yield the examples; raises ArchiveError at the first bad image unless `skip_bad`."""
        for key, example in enumerate(self.examples):
            try:
                images = [load_image(file.path, file.shown_path, self.image_size) for file in example.images]
            except ArchiveError as error:
                if not self.skip_bad:
                    raise ArchiveError(f"{error}; replace or remove the file, or build with --skip-bad") from error
                yield key, Skipped(str(error))
            else:
                features = self.image_features + self.value_features
                yield key, dict(zip(features, (*images, *example.values), strict=True))
