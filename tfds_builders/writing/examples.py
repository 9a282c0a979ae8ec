"""Make the examples of a shard. Light to import, for the worker processes."""

import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TypeVar

from tfds_builders.reading.archive import ArchiveError
from tfds_builders.reading.images import load_image
from tfds_builders.reading.problems import CONVENTION, MANY, alike
from tfds_builders.writing.records import Example, Skipped, Value

Item = TypeVar("Item")


def make_examples(
    items: Iterable[Item], make: Callable[[Item], Example], *, skip_bad: bool, remedy: str
) -> Iterator[tuple[int, Example | Skipped]]:
    """Yield (key, example) of every item in order; with `skip_bad`, Skipped for an item that `make` refuses.

    Without `skip_bad` the message of the ArchiveError ends with `remedy`; where the items behind it fail alike, it
    says that and offers no skipping.
    """
    remaining = iter(items)
    for key, item in enumerate(remaining):
        try:
            example = make(item)
        except ArchiveError as error:
            if not skip_bad:
                problems = [str(error), *_problems(itertools.islice(remaining, MANY - 1), make)]
                advice = (
                    f"{len(problems)} files {CONVENTION}" if alike(problems) else f"{remedy}, or build with --skip-bad"
                )
                raise ArchiveError(f"{error}; {advice}") from error
            yield key, Skipped(str(error))
        else:
            yield key, example


def _problems(items: Iterable[Item], make: Callable[[Item], Example]) -> list[str]:
    """Return the problem of every item, or nothing where one has none."""
    problems = []
    for item in items:
        try:
            make(item)
        except ArchiveError as error:
            problems.append(str(error))
        else:
            return []
    return problems


@dataclass(frozen=True)
class ShardLimits:
    """How a split is cut: into `shards`, or else shards of about `shard_bytes`; of its first `most_examples` alone."""

    shard_bytes: int
    shards: int | None = None
    most_examples: int | None = None

    def bounds(self, examples: int, example_bytes: float) -> list[tuple[int, int]]:
        """Return (start, stop) of every shard of a split; as many examples are in each."""
        if self.most_examples is not None:
            examples = min(examples, self.most_examples)
        count = min(examples, self.shards or math.ceil(examples * example_bytes / self.shard_bytes))
        return list(itertools.pairwise(examples * i // count for i in range(count + 1)))


@dataclass(frozen=True, slots=True)
class ImageFile:
    """Where an image lies, and its name in errors (a file of a packed archive lies in a temporary place)."""

    path: str
    shown_path: str


@dataclass(frozen=True, slots=True)
class ImageExample:
    """One example before its images are read: the file of every image feature, and the value of every other one."""

    images: Mapping[str, ImageFile]
    values: Mapping[str, Value]


@dataclass(frozen=True)
class ImageExamples:
    """The examples of one shard of whole image files; see `make_examples`."""

    examples: tuple[ImageExample, ...]
    image_size: tuple[int, int]
    skip_bad: bool

    def __len__(self) -> int:
        return len(self.examples)

    def __call__(self) -> Iterator[tuple[int, Example | Skipped]]:
        """Yield the examples; raise ArchiveError at the first bad image unless `skip_bad`."""
        remedy = "replace or remove the file"
        return make_examples(self.examples, self._read, skip_bad=self.skip_bad, remedy=remedy)

    def _read(self, example: ImageExample) -> Example:
        images = {
            name: load_image(file.path, file.shown_path, self.image_size) for name, file in example.images.items()
        }
        return {**images, **example.values}
