"""What networks have seen of another data set, against the official lists and tables."""

import bz2

import numpy as np
import pytest
from pack_train_lists import pack_names

from tfds_builders.bigearthnet.names import SPLITS
from tfds_builders.bigearthnet.train_lists import seen_in_training, unpack_names
from tfds_builders.bigearthnet_v2.metadata import TABLES, Metadata, read_metadata
from tfds_builders.leaks import LeakError, refuse_leak
from tfds_builders.reading.archive import ArchiveError

V1, V2 = "bigearthnet_v1", "bigearthnet_v2"
# In v1's train list and v2's test split; in v1's validation list.
SEEN, UNSEEN = "S2A_MSIL2A_20170613T101031_26_57", "S2B_MSIL2A_20180204T94161_57_38"


@pytest.fixture(scope="module")
def official(real_data) -> Metadata:
    """All 549,488 rows of the official tables of v2."""
    return read_metadata({name: real_data / "bigearthnet_v2" / name for name in TABLES})


@pytest.fixture(scope="module")
def v1_lists(real_data):
    """The names in the official lists of v1."""

    def names(split):
        path = real_data / "bigearthnet_v1" / "lists" / f"{split}.csv.bz2"
        return [line.partition(",")[0] for line in bz2.decompress(path.read_bytes()).decode().split()]

    return {split: names(split) for split in ("train", "val", "test")}


@pytest.fixture(scope="module")
def v1_train(v1_lists):
    return v1_lists["train"]


def test_published_overlap_of_the_splits(official, v1_train):
    seen_n = seen_in_training(V1, official.s2v1_name_n)
    by_split = dict(zip(SPLITS, np.bincount(official.split_n[seen_n]).tolist(), strict=True))
    assert by_split == {"train": 125_699, "validation": 62_089, "test": 60_886}
    assert seen_n.sum() == len(v1_train) - 21_021
    # The same, without the package's data: by names alone.
    train = {name.encode() for name in v1_train}
    np.testing.assert_array_equal(seen_n, [name in train for name in official.s2v1_name_n.tolist()])
    test = official.recommended_n & (official.split_n == SPLITS.index("test"))
    names = official.s2v1_name_n[test]
    with pytest.raises(LeakError, match=r"60,886 of its 119,825 patches are in the train split of bigearthnet_v1"):
        refuse_leak(
            trained_on="bigearthnet_v1/official",
            trained_split="train",
            evaluated_on="bigearthnet_v2/official",
            split="test",
            v1_name_n=names,
        )


def test_published_overlap_the_other_way_round(official, v1_lists):
    train = official.split_n == SPLITS.index("train")
    assert seen_in_training(V2, official.s2v1_name_n[train]).all()
    assert not seen_in_training(V2, official.s2v1_name_n[~train]).any()
    counts = {split: int(seen_in_training(V2, names).sum()) for split, names in v1_lists.items()}
    assert counts == {"train": 125_699, "val": 55_640, "test": 56_532}
    assert int(train.sum()) == 272_544
    with pytest.raises(LeakError, match=r"56,532 of its 125,866 patches are in the train split of bigearthnet_v2"):
        refuse_leak(
            trained_on="bigearthnet_v2/s1_s2",
            trained_split="train",
            evaluated_on="bigearthnet_v1/official",
            split="test",
            v1_name_n=v1_lists["test"],
        )


def test_the_data_of_the_package_are_the_official_list(v1_train):
    packed = unpack_names(pack_names(v1_train))
    assert sum(int(bits.sum()) for bits in packed.values()) == len(v1_train) == 269_695
    assert seen_in_training(V1, v1_train).all()


def _refuse(**changes):
    given = {
        "trained_on": "bigearthnet_v1/official",
        "trained_split": "train",
        "evaluated_on": "bigearthnet_v2/official",
        "split": "test",
        "v1_name_n": [SEEN, UNSEEN],
    }
    refuse_leak(**given | changes)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"split": "validation"},
        {"split": "test[:10%]"},
        {"trained_split": "train[:50%]"},
        {"trained_on": "bigearthnet_v1/s2_43"},
        {"trained_on": "bigearthnet_v1"},
        {"evaluated_on": "bigearthnet_v2"},
        {"evaluated_on": "bigearthnet_v2/s2"},
        {"v1_name_n": np.array([SEEN.encode()])},
    ],
)
def test_refused(changes):
    with pytest.raises(LeakError, match=r"1 of its [12] patches are in the train split of bigearthnet_v1.*; train on"):
        _refuse(**changes)


@pytest.mark.parametrize(
    "changes",
    [
        {"trained_on": "bigearthnet_v1/random_s2_43", "v1_name_n": [UNSEEN]},
        {"trained_on": "bigearthnet_v1/all_patches_s2_43", "v1_name_n": [UNSEEN]},
        {"trained_on": "bigearthnet_v1/my_own", "v1_name_n": [UNSEEN]},
        {"trained_on": "bigearthnet_v1/random_s2_43", "evaluated_on": "bigearthnet_v1/s2_43", "v1_name_n": [UNSEEN]},
        {"evaluated_on": "bigearthnet_v1/random_s2_43", "v1_name_n": [UNSEEN]},
        {
            "trained_on": "bigearthnet_v1/random_s2_43",
            "evaluated_on": "bigearthnet_v1/all_patches_s2_43",
            "v1_name_n": [UNSEEN],
        },
        {"trained_on": "bigearthnet_v1/mine", "evaluated_on": "bigearthnet_v1/yours", "v1_name_n": [UNSEEN]},
        {"trained_split": "train+validation", "v1_name_n": [UNSEEN]},
        {"trained_split": "test", "v1_name_n": [UNSEEN]},
    ],
)
def test_refused_as_a_whole_where_the_training_patches_are_not_known(changes):
    with pytest.raises(LeakError, match="which may hold any of its 1 patches"):
        _refuse(**changes)


@pytest.mark.parametrize(
    "changes",
    [
        {"trained_on": "bigearthnet_v2/official"},
        {"trained_on": "imagenet"},
        {"evaluated_on": "bigearthnet_v1/official"},
        {"evaluated_on": "bigearthnet_v1/s2_43"},
        {"trained_on": "bigearthnet_v1/random_s2_43", "evaluated_on": "bigearthnet_v1/random_rgb_43"},
        {"trained_on": "bigearthnet_v1/mine", "evaluated_on": "bigearthnet_v1/mine"},
        {"evaluated_on": "mlrsnet"},
        {"trained_on": "mlrsnet/official", "evaluated_on": "mlrsnet/corrected", "v1_name_n": []},
        {"trained_on": "mtsccd_lusc/official", "evaluated_on": "mtsccd_lusc/paired", "v1_name_n": []},
        {"split": "train"},
        {"v1_name_n": [UNSEEN]},
        {"v1_name_n": []},
    ],
)
def test_allowed(changes):
    _refuse(**changes)


def test_a_split_of_mlrsnet_in_another_ratio_is_refused():
    """The same images come first in every ratio: two sevenths of what 20-10-70 tests on, 40-10-50 trains on."""
    with pytest.raises(LeakError, match="which may hold any of its images; train on mlrsnet/official_20_10_70's own"):
        _refuse(trained_on="mlrsnet/official", evaluated_on="mlrsnet/official_20_10_70", v1_name_n=[])


def test_names_round_trip_whatever_their_order():
    names = ["S2A_MSIL2A_20170613T101031_90_90", "S2A_MSIL2A_20170613T101031_0_1", "S2B_MSIL2A_20180204T94161_3_0"]
    bits = unpack_names(pack_names(names))
    found = {f"{p}_{at % 91}_{at // 91}" for p, held in bits.items() for at in np.flatnonzero(held).tolist()}
    assert found == set(names)
    assert pack_names(names) == pack_names(names[::-1])


@pytest.mark.parametrize("name", ["S2A_MSIL2A_20170613T101031_91_0", "S2A_MSIL2A_20170613T101031", "x_1_2"])
def test_no_name_of_v1(name):
    with pytest.raises(ArchiveError, match="is not the name of a patch of bigearthnet_v1"):
        seen_in_training(V1, [name])
