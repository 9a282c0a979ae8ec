"""The examples of MtSCCD shards: picklable, and light to import for the processes that make them."""

from collections.abc import Iterator
from dataclasses import dataclass

from tfds_builders.archives import ArchiveError
from tfds_builders.images import load_image
from tfds_builders.records import Example, Skipped, Value


@dataclass(frozen=True)
class ExampleFiles:
    """One example before its images are read: `images` maps features to paths, `values` holds all other features."""

    images: dict[str, str]
    values: dict[str, Value]


@dataclass(frozen=True)
class ShardExamples:
    """The examples of one shard. A call yields (key, example), and with `skip_bad` Skipped where an image is bad."""

    examples: tuple[ExampleFiles, ...]
    image_size: tuple[int, int]
    skip_bad: bool

    def __call__(self) -> Iterator[tuple[int, Example | Skipped]]:
        """Yields the examples; raises ArchiveError at the first bad image unless `skip_bad`."""
        for key, example in enumerate(self.examples):
            try:
                images = {name: load_image(path, self.image_size) for name, path in example.images.items()}
            except ArchiveError as error:
                if not self.skip_bad:
                    raise ArchiveError(f"{error}; replace or remove the file, or build with skip-bad") from error
                yield key, Skipped(str(error))
            else:
                yield key, {**images, **example.values}
