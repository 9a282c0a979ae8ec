"""Refuse an evaluation on images that a network has learned from.

Both BigEarthNets cut the same Sentinel-2 tiles into the same patches, but split them differently: of the 269,695
patches in the official train list of v1, 60,886 are test patches of v2 and 62,089 its validation patches; of the
272,544 train patches of v2, 56,532 are test patches of v1. Configurations of one data set may split it differently,
too: BigEarthNet v1 by its lists or at random, MLRSNet in three ratios. An evaluation on images seen in training raises
no error by itself; its scores are only too good.
"""

from collections.abc import Sequence

import numpy as np

from tfds_builders.bigearthnet.train_lists import seen_in_training
from tfds_builders.reading.archive import ArchiveError

_V1, _V2, _MLRSNET = "bigearthnet_v1", "bigearthnet_v2", "mlrsnet"
# Data sets that share images.
_GROUPS = ({_V1, _V2}, {_MLRSNET})
_OFFICIAL = ("official",)


class LeakError(ArchiveError):
    """An evaluation was refused: the network has seen its test images. One line with how many and what to do."""


def refuse_leak(
    *, trained_on: str, trained_split: str, evaluated_on: str, split: str, v1_name_n: Sequence[str] | np.ndarray
) -> None:
    """Raise LeakError if these weights have, or may have, seen images of this split.

    Weights trained on the official train split of one BigEarthNet have seen the patches of the other that are in its
    train list. For other splits and configurations no list says which patches they hold: weights trained on those may
    be evaluated on the splits of their own configuration only.

    Args:
        trained_on: the data set of the weights, `name/configuration`: "bigearthnet_v1/official".
        trained_split: the split they were trained on.
        evaluated_on: the data set (and configuration) of the evaluation.
        split: the split of the evaluation; a train split is never refused.
        v1_name_n: names in v1 of the patches of that split; empty for other data sets than BigEarthNet.
    """
    (trained, _, trained_config), (evaluated, _, config) = trained_on.partition("/"), evaluated_on.partition("/")
    if split.partition("[")[0] == "train" or not any({trained, evaluated} <= group for group in _GROUPS):
        return
    name, advice = f"{evaluated_on}, split '{split}'", f"train on {evaluated_on}'s own train split"
    from_train = trained_split.partition("[")[0] == "train" and "+" not in trained_split
    split_seen = _split_of(trained, trained_config)
    alike = trained_config == config or (split_seen is not None and split_seen == _split_of(evaluated, config))
    if trained == evaluated and from_train and alike:
        return
    if trained == evaluated or not from_train or split_seen != _OFFICIAL:
        if len(v1_name_n) or trained == _MLRSNET:
            which = f"any of its {len(v1_name_n):,} patches" if len(v1_name_n) else "any of its images"
            raise LeakError(
                f"{name}: the weights were trained on '{trained_split}' of {trained_on}, which may hold {which}; "
                f"{advice}"
            )
        return
    seen = int(seen_in_training(trained, v1_name_n).sum())
    if seen:
        raise LeakError(
            f"{name}: {seen:,} of its {len(v1_name_n):,} patches are in the train split of {trained}, which the "
            f"weights were trained on; {advice}"
        )


def _split_of(data_set: str, config: str) -> tuple[object, ...] | None:
    """Return a value that is equal for configurations with the same split; None for an unknown configuration."""
    from tfds_builders.bigearthnet_v1.config import CONFIGS as V1_CONFIGS
    from tfds_builders.mlrsnet.config import CONFIGS as MLRSNET_CONFIGS

    # All configurations of v2 have the split of its tables; the default configuration of each data set is official.
    if data_set == _V2 or not config:
        return _OFFICIAL
    if data_set == _V1:
        v1 = {known.name: (known.split, known.keep_snow_and_cloud, known.seed) for known in V1_CONFIGS}.get(config)
        return _OFFICIAL if v1 and v1[0] == "official" else v1
    ratio = {known.name: (known.train_percent, known.validation_percent, known.seed) for known in MLRSNET_CONFIGS}
    return _OFFICIAL if ratio.get(config) == (40, 10, 0) else ratio.get(config)
