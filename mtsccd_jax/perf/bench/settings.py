"""Settings of every benchmark. Each field made by `option` is also an option of `mtsccd-jax bench` with that name."""

from dataclasses import dataclass, field
from typing import Any, Literal

from mtsccd_jax.recipes.config import Data, Objective

Batch = int | Literal["auto"]
Stage = Literal["read", "decode", "batch", "transfer", "augment", "all"]
Operation = Literal["paired", "pairwise", "nearest_neighbors"]
Form = Literal["host", "device", "histogram"]

# No source is named: JPEGs are generated.
NO_SOURCE = Data(dataset=None, pair_dataset=None)


def option(default: Any, help_text: str | None = None, *, metavar: str | None = None, least: int = 1) -> Any:
    """Return a field of settings that the command line can set; `least` bounds its integers from below."""
    return field(default=default, metadata={"help": help_text, "metavar": metavar, "least": least})


@dataclass(frozen=True)
class TimedWindows:
    """The length of each measurement: the median window gives its rate, and a long call is a window of its own."""

    windows: int = option(10, "timed windows (default: 10)")
    window_s: float = option(0.5, "seconds a window at least (default: 0.5)", metavar="S")


@dataclass(frozen=True)
class ModelSettings:
    """Networks, and the values of which every combination is measured."""

    models: tuple[str, ...] = option(("resnet18",), "networks, or all", metavar="NAME")
    tasks: tuple[Literal["train", "infer"], ...] = option(("train", "infer"))
    batch: tuple[Batch, ...] = option(
        (32,), "images a step; auto: the most that fit, up to 2,048 a device, or 64 on a CPU", metavar="N|auto"
    )
    precision: tuple[Literal["float32", "bfloat16"], ...] = option(("float32",))
    image_size: tuple[int, ...] = option((224,), "pixels a side")
    parallel: tuple[Literal["jit", "pmap"], ...] = option(("jit",))

    @property
    def stem(self) -> str:
        """The part of a file name that the combinations share, as timm names its tables: "train-jit-bfloat16"."""
        task = self.tasks[0] if len(self.tasks) == 1 else "both"
        return "-".join([task, "_".join(self.parallel), "_".join(self.precision)])


@dataclass(frozen=True)
class InputSettings:
    """Images and how they are read; a pass is whole batches, and JPEGs are generated where `data` names no source."""

    stages: tuple[Stage, ...] = option(("read", "decode", "batch", "transfer", "augment", "all"))
    split: str = option("train", "of the input (default: train)")
    images: int = option(2048, "rows of a pass")
    batch: int = option(64, "rows a batch")
    image_size: int = option(224, "pixels a side")
    threads: int | None = option(None, "default: one a core")
    feed: Literal["h100"] | None = option(
        None, "not the stages, but how many such accelerators this host keeps busy (rule and step of MLPerf Storage)"
    )
    data: Data = NO_SOURCE


@dataclass(frozen=True)
class DistanceSettings:
    """Distance operations and sizes; without `gallery` it has as many rows as the queries."""

    operations: tuple[Operation, ...] = option(("paired", "pairwise", "nearest_neighbors"))
    rows: tuple[int, ...] = option((4096,), "queries")
    gallery: int | None = option(None, "rows (default: as queries)", metavar="M")
    width: tuple[int, ...] = option((512,), "of a feature", metavar="D")
    k: tuple[int, ...] = option((10,), "neighbours", metavar="K")
    metric: Literal["euclidean", "cosine"] = option("euclidean")


@dataclass(frozen=True)
class ThresholdSettings:
    """Threshold searches and their numbers of pairs.

    The distances are in an array on the "host" or on the "device". For a "histogram" they pass by in parts, as often as
    the search needs, on the accelerator where there is one and else on the host.
    """

    forms: tuple[Form, ...] = option(("host", "device", "histogram"), "where distances are, or streamed counts of them")
    pairs: tuple[int, ...] = option((10_000, 100_000, 1_000_000, 10_000_000))
    objective: Objective = option("kappa")  # noqa: RUF009 (a field, not a shared default)


@dataclass(frozen=True)
class BuildSettings:
    """Images of a generated archive, and how it is built; every window is one build."""

    images: int = option(8000, "JPEGs of 300 x 300 pixels", least=10)
    workers: tuple[int, ...] = option((1, 2), "processes")
    windows: int = option(5, "builds that count (default: 5)")
