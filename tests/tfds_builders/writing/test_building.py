"""Builds that run at once, builds that were killed, and what TFDS's own options ask of a build."""

import errno
import logging
import shutil
import threading

import bigearthnet_v1_files
import bigearthnet_v2_files
import mlrsnet_files
import pytest
import tensorflow_datasets as tfds
from archive_files import write

from mtsccd_jax.data.tfds_source import tfds_source
from mtsccd_jax.errors import InputError
from tfds_builders import ArchiveError, DualFormatBuilder, build
from tfds_builders.writing.building import building_alone

NAME, PLACE = "mtsccd_lusc", "mtsccd_lusc/official/1.0.0"
DownloadConfig = tfds.download.DownloadConfig


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    return write(tmp_path_factory.mktemp("archive"), 6)


@pytest.fixture(scope="module")
def finished(tmp_path_factory, archive):
    """The data of a build that nothing disturbed."""
    data_dir = tmp_path_factory.mktemp("finished")
    return data_dir / PLACE, build(NAME, archive=archive, data_dir=data_dir, workers=1)


def test_one_at_a_time_and_nothing_is_left(tmp_path):
    folder, order, inside = tmp_path / "set" / "1.0.0", [], threading.Event()

    def second():
        inside.wait()
        with building_alone(folder):
            order.append("second")

    thread = threading.Thread(target=second)
    thread.start()
    with building_alone(folder):
        inside.set()
        thread.join(0.2)
        order.append("first")
    thread.join()
    assert order == ["first", "second"]
    assert list(folder.parent.iterdir()) == []


def test_what_a_killed_build_left_is_named_and_removed(tmp_path, caplog):
    folder = tmp_path / "1.0.0"
    left, other = tmp_path / "incomplete.A1B2C3_1.0.0", tmp_path / "incomplete.A1B2C3_2.0.0"
    for place in (left, other):
        (place / "scratch").mkdir(parents=True)
        (place / "scratch" / "shard").write_bytes(bytes(1_500_000))
    with caplog.at_level(logging.WARNING), building_alone(folder):
        pass
    assert [path.name for path in tmp_path.iterdir()] == [other.name]
    assert caplog.messages == [f"{left}: removed, 1.5 MB of a build that was killed"]


def test_what_a_killed_build_left_beside_data_is_removed_too(tmp_path, archive, finished):
    shutil.copytree(finished[0], tmp_path / PLACE)
    left = (tmp_path / PLACE).with_name("incomplete.A1B2C3_1.0.0")
    left.mkdir()
    assert build(NAME, archive=archive, data_dir=tmp_path).splits == finished[1].splits
    assert not left.exists()


def test_where_nothing_can_be_locked_nothing_is_removed(tmp_path, monkeypatch):
    def refuse(descriptor, operation):
        raise OSError(errno.ENOLCK, "no locks available")

    monkeypatch.setattr("fcntl.flock", refuse)
    (tmp_path / "incomplete.A1B2C3_1.0.0").mkdir()
    with building_alone(tmp_path / "1.0.0"), building_alone(tmp_path / "1.0.0"):
        assert (tmp_path / "incomplete.A1B2C3_1.0.0").is_dir()


@pytest.fixture
def meanwhile(tmp_path, finished, caplog):
    """Build while another process does: return what `build` gives, or raises, once the other's data are there."""

    def run(of_archive):
        results = []

        def second():
            try:
                results.append(build(NAME, archive=of_archive, data_dir=tmp_path, workers=1))
            except ArchiveError as error:
                results.append(error)

        thread = threading.Thread(target=second)
        with building_alone(tmp_path / PLACE):
            thread.start()
            while not any("this one waits" in message for message in caplog.messages):
                thread.join(0.01)
            shutil.copytree(finished[0], tmp_path / PLACE)
        thread.join()
        return results[0]

    return run


def test_who_waited_adopts_what_the_other_built(tmp_path, meanwhile, archive, finished):
    result = meanwhile(archive)
    assert (result.splits, result.skipped, result.data_dir) == (finished[1].splits, [], tmp_path)
    assert [path.name for path in (tmp_path / PLACE).parent.iterdir()] == ["1.0.0"]


def test_who_waited_does_not_adopt_data_of_another_archive(tmp_path, meanwhile):
    assert "built from another archive" in str(meanwhile(write(tmp_path / "other", 7)))


def test_without_locks_the_first_to_finish_wins(tmp_path, archive, finished, monkeypatch):
    written = DualFormatBuilder._write

    def write_and_lose(self, splits):
        shutil.copytree(finished[0], tmp_path / PLACE)
        return written(self, splits)

    monkeypatch.setattr(DualFormatBuilder, "_write", write_and_lose)
    assert build(NAME, archive=archive, data_dir=tmp_path, workers=1).splits == finished[1].splits
    assert not list((tmp_path / PLACE).parent.glob("incomplete.*"))


def test_a_folder_without_data_is_not_taken_for_a_build(tmp_path, archive):
    (tmp_path / PLACE).mkdir(parents=True)
    with pytest.raises(ArchiveError, match=r"holds no whole data set \(no dataset_info\.json\); remove it and build"):
        build(NAME, archive=archive, data_dir=tmp_path, workers=1)


# TFDS's own options

ARCHIVES = {
    "mtsccd_lusc": lambda root: write(root, 6),
    "mtsccd_lucd": lambda root: write(root, 6),
    "mlrsnet": lambda root: mlrsnet_files.write_mlrsnet(root),
    "bigearthnet_v1": bigearthnet_v1_files.write,
    "bigearthnet_v2": bigearthnet_v2_files.write,
}


def prepared(name, root, data_dir, **options):
    builder = tfds.builder(name, data_dir=data_dir, archive=root, workers=1)
    builder.download_and_prepare(download_config=DownloadConfig(**options))
    return builder.info.splits


@pytest.mark.parametrize("name", ARCHIVES)
def test_examples_and_shards_are_as_many_as_asked_for(tmp_path, name):
    root = ARCHIVES[name](tmp_path / "archive")
    splits = prepared(name, root, tmp_path / "whole")
    cut = prepared(name, root, tmp_path / "cut", max_examples_per_split=2, num_shards=2)
    for split, whole in splits.items():
        assert cut[split].num_examples == min(2, whole.num_examples)
        assert cut[split].num_shards == min(2, whole.num_examples)
    ids = [
        [dict(example) for example in tfds.data_source(name, split="train", data_dir=tmp_path / place)]
        for place in ("cut", "whole")
    ]
    assert len(ids[0]) == 2
    key = next(key for key in ("filename", "filename_t1", "patch_id") if key in ids[0][0])
    assert [example[key] for example in ids[0]] == [example[key] for example in ids[1][:2]]


def test_shards_are_as_large_as_asked_for(tmp_path, archive):
    assert prepared(NAME, archive, tmp_path / "usual")["train"].num_shards == 1
    assert prepared(NAME, archive, tmp_path / "small", max_shard_size=2_000)["train"].num_shards > 3


def test_a_part_is_not_taken_for_the_whole(tmp_path, archive):
    prepared(NAME, archive, tmp_path, max_examples_per_split=2)
    with pytest.raises(ArchiveError, match=r"built with max_examples_per_split=2; remove it or give another"):
        build(NAME, archive=archive, data_dir=tmp_path)


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"max_examples_per_split": 0}, "max_examples_per_split=0: must be 1 or more"),
        ({"num_shards": 0}, "num_shards=0: must be 1 or more"),
        ({"compute_stats": tfds.download.ComputeStatsMode.FORCE}, "compute_stats=FORCE: statistics are not computed"),
    ],
)
def test_options_that_cannot_be_followed_are_refused(tmp_path, archive, options, why):
    with pytest.raises(ArchiveError, match=why):
        prepared(NAME, archive, tmp_path, **options)


def test_a_format_that_is_not_written_is_refused(tmp_path, archive):
    builder = tfds.builder(NAME, data_dir=tmp_path, archive=archive, workers=1)
    with pytest.raises(ValueError, match="this data set has tfrecord and array_record"):
        builder.download_and_prepare(file_format="riegeli")
    builder.download_and_prepare(file_format="array_record")
    assert len(builder.as_data_source("train")) == builder.info.splits["train"].num_examples


SMALL_FILES = ("dataset_info.json", "features.json", "metadata.json", "label.labels.txt", "checksums.json")


@pytest.mark.parametrize("damage", ["flip", "cut", "empty", "missing"])
@pytest.mark.parametrize("name", SMALL_FILES)
def test_a_damaged_small_file_is_named_by_who_builds_and_by_who_reads(tmp_path, archive, finished, name, damage):
    file = shutil.copytree(finished[0], tmp_path / PLACE) / name
    content = file.read_bytes()
    half = len(content) // 2
    damaged = {"flip": content[:half] + bytes([content[half] ^ 1]) + content[half + 1 :], "cut": content[:half]}
    file.unlink() if damage == "missing" else file.write_bytes(damaged.get(damage, b""))
    if name == "checksums.json" and damage == "missing":  # as in data of an earlier release
        build(NAME, archive=archive, data_dir=tmp_path)
        assert len(tfds_source(f"{NAME}/official", "train", data_dir=tmp_path))
        return
    for error, use in (
        (ArchiveError, lambda: build(NAME, archive=archive, data_dir=tmp_path)),
        (InputError, lambda: tfds_source(f"{NAME}/official", "train", data_dir=tmp_path)),
    ):
        with pytest.raises(error) as raised:
            use()
        assert len(str(raised.value).splitlines()) == 1
        if not (damage == "missing" and name in ("dataset_info.json", "features.json")):
            assert str(file if name != "checksums.json" else file.parent) in str(raised.value)


@pytest.mark.parametrize("text", [b"[1]", b"5", b"null", b'{"a": ', b"\xff"])
@pytest.mark.parametrize("name", SMALL_FILES[:3])
def test_damaged_data_of_an_earlier_release_are_one_line(tmp_path, archive, finished, name, text):
    folder = shutil.copytree(finished[0], tmp_path / PLACE)
    (folder / "checksums.json").unlink()
    (folder / name).write_bytes(text)
    with pytest.raises(InputError) as raised:
        tfds_source(f"{NAME}/official", "train", data_dir=tmp_path)
    assert len(str(raised.value).splitlines()) == 1
    if name != "features.json":  # which a builder does not read
        with pytest.raises(ArchiveError):
            build(NAME, archive=archive, data_dir=tmp_path)
