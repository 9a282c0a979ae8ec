"""The configurations of `mlrsnet`: both label sets, each in the three splits of the paper."""

import dataclasses

import tensorflow_datasets as tfds

from tfds_builders.mlrsnet.names import LABEL_SETS


@dataclasses.dataclass(eq=False)
class MlrsnetConfig(tfds.core.BuilderConfig):  # type: ignore[misc]
    """A configuration of `mlrsnet`: which labels, and how many percent of the images each split has.

    `labels` is "official" (the authors' files) or "corrected" (the labels of the same images in the repository
    jiecheney/MLRSNet_Dataset). Images that are neither in `train` nor in `validation` are in the split `test`.

    Raises:
        ValueError: there are no such labels, or a split would have no percent.
    """

    labels: str = "official"
    train_percent: int = 40
    validation_percent: int = 10
    seed: int = 0

    def __post_init__(self) -> None:
        if self.labels not in LABEL_SETS:
            raise ValueError(f"labels '{self.labels}': give one of {', '.join(LABEL_SETS)}")
        if min(self.train_percent, self.validation_percent, 100 - self.train_percent - self.validation_percent) < 1:
            raise ValueError(
                f"{self.train_percent} and {self.validation_percent} percent: each split needs 1 percent or more"
            )


# Names without a ratio are 40-10-50, the paper's largest training split.
CONFIGS: tuple[MlrsnetConfig, ...] = tuple(
    MlrsnetConfig(
        labels if train == 40 else f"{labels}_{train}_10_{90 - train}",
        description=f"The {labels} labels; {train} % train, 10 % validation, {90 - train} % test.",
        labels=labels,
        train_percent=train,
    )
    for train in (40, 30, 20)
    for labels in LABEL_SETS
)
