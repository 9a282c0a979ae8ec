"""Whole builds: who can read them, with and without TensorFlow and this package, and what wrong input does."""

import json
import logging
import os
import resource
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pytest
import tensorflow_datasets as tfds
from archive_files import CODES, DATES, image_bytes, name, pack, scenes, write
from built_examples import read_all
from PIL import Image

import tfds_builders
from tfds_builders import ArchiveError, City, MtsccdConfig, build

TILES = 10
# What an interpreter without TensorFlow sees: it is not found.
BLOCK_TENSORFLOW = """
import sys
from importlib.machinery import PathFinder
find = PathFinder.find_spec
def find_spec(name, path=None, target=None):
    return None if name.partition(".")[0] == "tensorflow" else find(name, path, target)
PathFinder.find_spec = staticmethod(find_spec)
"""
BLOCK_PACKAGE = "import sys; sys.modules['tfds_builders'] = None\n"


def run_python(code: str, *arguments: object, **environment: str) -> str:
    """Return what `code` prints in a process of its own, in which every warning it gives is only a warning."""
    command = [sys.executable, "-c", textwrap.dedent(code), *map(str, arguments)]
    env = os.environ | environment | {"TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run(command, capture_output=True, text=True, env=env, cwd="/")
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def archive(tmp_path_factory) -> Path:
    return write(tmp_path_factory.mktemp("archive"), TILES)


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory, archive) -> Path:
    """Both data sets, built and read in a process that cannot import TensorFlow."""
    folder = tmp_path_factory.mktemp("data")
    code = BLOCK_TENSORFLOW + textwrap.dedent("""
        import json
        import tfds_builders
        import tensorflow_datasets as tfds
        for name in ("mtsccd_lusc", "mtsccd_lucd"):
            result = tfds_builders.build(name, archive=sys.argv[1], data_dir=sys.argv[2], workers=2)
            assert str(result.data_dir) == sys.argv[2] and not result.skipped
            source = tfds.data_source(name, split="test_a", data_dir=sys.argv[2])
            print(json.dumps([result.splits, len(source), len(source[0])]))
    """)
    lines = [json.loads(line) for line in run_python(code, archive, folder).splitlines()]
    assert lines[0] == [{"train": 51, "validation": 9, "test_a": 20, "test_b": 20}, 20, 8]
    assert lines[1] == [{"train": 24, "validation": 6, "test_a": 10, "test_b": 10}, 10, 12]
    return folder


# Reading


def test_one_builder_serves_both_calls_in_any_order(data_dir):
    builder = tfds.builder("mtsccd_lusc", data_dir=data_dir, file_format="array_record")
    for _ in range(2):
        source = builder.as_data_source("test_a")
        assert len(list(builder.as_dataset(split="test_a"))) == len(source) == 20
    with pytest.raises(ValueError, match="tfrecord and array_record"):
        tfds.builder("mtsccd_lusc", data_dir=data_dir, file_format="riegeli")


def test_lusc_examples_are_the_files(archive, data_dir):
    files = {path.name: path for path in archive.rglob("*.jpg")}
    examples = read_all("mtsccd_lusc", data_dir)
    assert {e["filename"].decode() for e in examples} == set(files)
    info = tfds.builder("mtsccd_lusc", data_dir=data_dir).info
    assert info.features["city"].names == ["hangzhou", "shanghai", "wuhan", "nanjing", "hefei"]
    assert info.features["label"].names[1] == "public_service_and_commercial_land"
    assert info.supervised_keys == ("image", "label")
    for example in examples:
        path = files[example["filename"].decode()]
        code, date, x, y, number = path.stem.split("_")
        assert info.features["city"].int2str(example["city"]) == next(n for n, c in CODES.items() if c == code)
        assert (example["date"].decode(), example["tile_x"], example["tile_y"]) == (date, int(x), int(y))
        assert (example["label"], example["phase"]) == (int(number) - 1, DATES[code].index(date) + 1)
        with Image.open(path) as image:
            np.testing.assert_array_equal(example["image"], np.asarray(image))
    assert {e["city"] for e in examples if e["split"] == "test_a"} == {4}
    assert {e["city"] for e in examples if e["split"] == "test_b"} == {3}


def test_lucd_examples_are_the_pairs(data_dir):
    expected: dict[tuple, dict[int, tuple[str, int]]] = {}
    for code, phase, date, x, y, number in scenes(TILES):
        expected.setdefault((code, x, y), {})[phase] = (name(code, date, x, y, number), number - 1)
    examples = read_all("mtsccd_lucd", data_dir)
    assert len(examples) == len(expected) == 50
    for example in examples:
        code = example["filename_t1"].decode()[:2]
        pair = expected[code, example["tile_x"], example["tile_y"]]
        found = {i: (example[f"filename_t{i}"].decode(), example[f"label_t{i}"]) for i in (1, 2)}
        assert found == pair
        assert example["changed"] == (pair[1][1] != pair[2][1])
        assert (example["date_t1"].decode(), example["date_t2"].decode()) == DATES[code]
    supervised = next(iter(tfds.load("mtsccd_lucd", split="train", data_dir=data_dir, as_supervised=True)))
    assert supervised[0][0].shape == (8, 8, 3)
    assert supervised[1].shape == ()
    info = tfds.builder("mtsccd_lucd", data_dir=data_dir).info
    assert info.features["changed"].names == ["unchanged", "changed"]


def test_files_alone_are_enough(data_dir):
    code = (
        BLOCK_PACKAGE
        + """
import tensorflow_datasets as tfds
source = tfds.data_source("mtsccd_lucd", split="test_a", data_dir=sys.argv[1])
assert len(source) == 10 and source[3]["image_t2"].shape == (8, 8, 3) and "tensorflow" not in sys.modules
info = tfds.builder("mtsccd_lucd", data_dir=sys.argv[1]).info
assert info.features["city"].names[4] == "hefei" and info.metadata["skipped"] == []
print(len(list(tfds.load("mtsccd_lusc", split="test_a", data_dir=sys.argv[1]))))
print(len(list(tfds.load("mtsccd_lucd", split="validation", data_dir=sys.argv[1]))))
"""
    )
    assert run_python(code, data_dir).split() == ["20", "6"]


def test_a_data_source_needs_no_data_dir_argument_and_no_tensorflow(data_dir):
    code = """
import sys
import tfds_builders
import tensorflow_datasets as tfds
print(len(tfds.data_source("mtsccd_lusc", split="train")), "tensorflow" in sys.modules, "jax" in sys.modules)
"""
    assert run_python(code, TFDS_DATA_DIR=str(data_dir)).split() == ["51", "False", "False"]


def test_both_files_hold_the_same_records_whatever_the_number_of_shards(tmp_path, archive, data_dir, monkeypatch):
    import tensorflow as tf
    from array_record.python.array_record_data_source import ArrayRecordDataSource

    monkeypatch.setattr(tfds_builders.DualFormatBuilder, "SHARD_BYTES", 3000)
    result = build("mtsccd_lusc", archive=archive, data_dir=tmp_path, workers=2)
    folder = tmp_path / "mtsccd_lusc" / "official" / "1.0.0"
    shards = sorted(folder.glob("*.tfrecord-*"))
    assert len([s for s in shards if "-train." in s.name]) > 3
    for shard in shards:
        by_tf = [record.numpy() for record in tf.data.TFRecordDataset(str(shard))]
        source = ArrayRecordDataSource(str(shard).replace(".tfrecord-", ".array_record-"))
        assert by_tf == [source[i] for i in range(len(source))]
    # The same examples in the same order as in one shard.
    assert sum(result.splits.values()) == 100
    assert [e["filename"] for e in read_all("mtsccd_lusc", tmp_path)] == [
        e["filename"] for e in read_all("mtsccd_lusc", data_dir)
    ]
    ordered = tfds.load(
        "mtsccd_lusc", split="train", data_dir=tmp_path, read_config=tfds.ReadConfig(interleave_cycle_length=1)
    )
    source = tfds.data_source("mtsccd_lusc", split="train", data_dir=tmp_path)
    assert [e["filename"] for e in tfds.as_numpy(ordered)] == [e["filename"] for e in source]


# Building


def test_tfds_build_works_without_tensorflow(tmp_path, archive):
    # The command `tfds` itself imports Beam and TensorFlow; this is its `build` alone.
    code = BLOCK_TENSORFLOW + textwrap.dedent("""
        from absl import app
        from tensorflow_datasets.scripts.cli import build, cli_utils
        app.run(lambda a: a.execute(), flags_parser=cli_utils.make_flags_parser(build.Args, description="build"))
    """)
    arguments = ["mtsccd_lusc/paired", "--imports=tfds_builders", "--file_format=array_record"]
    folders = [f"--manual_dir={archive}", f"--data_dir={tmp_path}"]
    run_python(code, *arguments, *folders)
    assert len(tfds.data_source("mtsccd_lusc/paired", split="test_a", data_dir=tmp_path)) == 20
    assert len(list(tfds.load("mtsccd_lusc/paired", split="test_a", data_dir=tmp_path))) == 20


def test_a_packed_archive_is_built_and_nothing_is_left_behind(tmp_path, archive, data_dir):
    packed = pack(archive, tmp_path / "MtSCCD.zip")
    seen: list[tuple[int, int]] = []
    build("mtsccd_lucd", archive=packed, data_dir=tmp_path / "data", progress=lambda *done: seen.append(done))
    assert seen[-1] == (50, 50)
    assert sorted(seen) == seen
    built, direct = (folder / "mtsccd_lucd" / "official" / "1.0.0" for folder in (tmp_path / "data", data_dir))
    assert {p.name for p in built.iterdir()} == {p.name for p in direct.iterdir()}
    for path in built.glob("*.tfrecord-*"):
        assert path.read_bytes() == (direct / path.name).read_bytes()


def test_a_bad_file_in_a_packed_archive_is_named_by_its_place_there(tmp_path, archive):
    damage(archive, tmp_path / "archive", "empty")
    packed = pack(tmp_path / "archive", tmp_path / "MtSCCD.zip")
    shown = f"{packed}/MtSCCD/HZ/T1/2/HZ_201310_0_1_2.jpg: empty"
    with pytest.raises(ArchiveError, match=f"^{shown}"):
        build("mtsccd_lusc", archive=packed, data_dir=tmp_path, workers=1)
    assert build("mtsccd_lusc", archive=packed, data_dir=tmp_path, skip_bad=True).skipped == [shown]


def test_the_metadata_say_where_the_splits_come_from(tmp_path, archive, data_dir):
    root = tmp_path / "archive"
    for code, _, date, x, y, c in scenes(TILES):
        path = root / {"HF": "testA", "NJ": "testB"}.get(code, "train" if x else "val") / name(code, date, x, y, c)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(image_bytes(0))
    for config, source in (("official", "the archive"), ("paired", "80 % of the pairs of each city, seed 0")):
        build("mtsccd_lusc", archive=root, data_dir=tmp_path, config=config, workers=1)
        builder = tfds.builder(f"mtsccd_lusc/{config}", data_dir=tmp_path)
        assert builder.info.metadata["splits_from"] == source
    assert {e["tile_x"] for e in tfds.data_source("mtsccd_lusc", split="validation", data_dir=tmp_path)} == {0}
    by_rule = tfds.builder("mtsccd_lusc", data_dir=data_dir).info.metadata["splits_from"]
    assert by_rule == "the rule of section 2.2, seed 0"


def test_a_builder_takes_the_archive_as_an_argument(tmp_path, archive):
    source = tfds.data_source(
        "mtsccd_lucd", split="test_b", data_dir=tmp_path, builder_kwargs={"archive": archive, "workers": 1}
    )
    assert len(source) == 10


def test_tfds_can_overwrite_the_data(tmp_path, archive):
    build("mtsccd_lusc", archive=archive, data_dir=tmp_path, workers=1)
    other = write(tmp_path / "other", TILES + 5)
    builder = tfds.builder("mtsccd_lusc", data_dir=tmp_path, archive=other, workers=1)
    again = tfds.download.DownloadConfig(download_mode=tfds.GenerateMode.REUSE_CACHE_IF_EXISTS)
    builder.download_and_prepare(download_config=again)
    for prepared in (builder, tfds.builder("mtsccd_lusc", data_dir=tmp_path)):
        assert len(prepared.as_data_source("test_a")) == prepared.info.splits["test_a"].num_examples == 30


def test_a_city_joins_by_configuration(tmp_path, archive):
    root = tmp_path / "archive"
    shutil.copytree(archive, root)
    write(root, TILES, {"SZ": ("201501", "202001")})
    write(root, TILES, {"Wuxi": ("201502", "202002")})
    config = MtsccdConfig(name="seven", train_cities=(City("suzhou", "SZ"),), test_cities=("wuxi",))
    result = build("mtsccd_lucd", archive=root, data_dir=tmp_path, config=config, workers=1)
    assert result.splits == {"train": 32, "validation": 8, "test_a": 10, "test_b": 10, "test_wuxi": 10}
    cities = ["hangzhou", "shanghai", "wuhan", "nanjing", "hefei", "suzhou", "wuxi"]
    # By name the data are found in a process that never saw the configuration.
    by_files, by_config = (
        tfds.builder("mtsccd_lucd/seven", data_dir=tmp_path),
        tfds.builder("mtsccd_lucd", config=config, data_dir=tmp_path),
    )
    for builder in (by_files, by_config):
        assert builder.info.features["city"].names == cities
        assert {e["city"] for e in builder.as_data_source("test_wuxi")} == {6}


@pytest.mark.parametrize(("role", "split"), [("train", "train"), ("test", "test_suzhou")])
def test_a_city_joins_by_cities_toml(tmp_path, archive, role, split):
    root = tmp_path / "archive"
    shutil.copytree(archive, root)
    write(root, TILES, {"SZ": ("201501", "202001")})
    with pytest.raises(ArchiveError, match=r"unknown city 'SZ'.*cities\.toml"):
        build("mtsccd_lusc", archive=root, data_dir=tmp_path, workers=1)
    (tmp_path / "cities.toml").write_text(f'[[city]]\nname = "suzhou"\ncode = "SZ"\nrole = "{role}"\n')
    result = build("mtsccd_lusc", archive=root, data_dir=tmp_path, workers=1)
    assert list(result.splits) == ["train", "validation", "test_a", "test_b", *([split] if role == "test" else [])]
    builder = tfds.builder("mtsccd_lusc", data_dir=tmp_path)  # knows of no cities.toml
    assert builder.info.features["city"].names[5:] == ["suzhou"]
    assert 5 in {e["city"] for e in builder.as_data_source(split)}
    assert tfds.builder("mtsccd_lucd", data_dir=tmp_path).info.features["city"].num_classes == 5


# Wrong input


def damage(archive: Path, root: Path, kind: str) -> Path:
    """Return a copy of the archive with one file that cannot be used, in Hangzhou."""
    shutil.copytree(archive, root)
    path = root / "MtSCCD" / "HZ" / "T1" / "2" / "HZ_201310_0_1_2.jpg"
    content = {
        "truncated": path.read_bytes()[:200],
        "empty": b"",
        "wrong_size": image_bytes(0, size=9),
        "not_an_image": b"<html></html>",
    }
    if kind in content:
        path.write_bytes(content[kind])
        return path
    other = path.with_name(
        {"name": "holiday.jpg", "city": "XX_201310_9_9_2.jpg", "twice": "HZ_201310_0_01_2.jpg"}[kind]
    )
    shutil.copy(path, other)
    return other


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("kind", ["truncated", "empty", "wrong_size", "not_an_image", "name", "city", "twice"])
def test_a_bad_file_is_named_or_skipped(tmp_path, archive, kind, workers):
    root = tmp_path / "archive"
    path = damage(archive, root, kind)
    with pytest.raises(ArchiveError, match=path.name) as caught:
        build("mtsccd_lusc", archive=root, data_dir=tmp_path / "data", workers=workers)
    assert "\n" not in str(caught.value)
    assert "skip-bad" in str(caught.value)
    assert not list((tmp_path / "data").rglob("1.0.0*"))  # nothing is left, under no name
    result = build("mtsccd_lusc", archive=root, data_dir=tmp_path / "data", workers=workers, skip_bad=True)
    assert len(result.skipped) == 1
    assert path.name in result.skipped[0]
    assert sum(result.splits.values()) == (99 if kind in ("truncated", "empty", "wrong_size", "not_an_image") else 100)
    again = build("mtsccd_lusc", archive=root, data_dir=tmp_path / "data", skip_bad=True)
    assert again == result


def test_lucd_skips_a_pair_for_one_bad_image_and_minds_unpaired_tiles(tmp_path, archive):
    root = tmp_path / "archive"
    damage(archive, root, "empty")
    (root / "MtSCCD" / "SH" / "T2" / "3" / "SH_201911_0_2_3.jpg").unlink()
    with pytest.raises(ArchiveError, match=r"SH_201007_0_2_3\.jpg: the tile's other date is missing"):
        build("mtsccd_lucd", archive=root, data_dir=tmp_path, workers=1)
    result = build("mtsccd_lucd", archive=root, data_dir=tmp_path, workers=1, skip_bad=True)
    assert len(result.skipped) == 2
    assert sum(result.splits.values()) == 48
    lusc = build("mtsccd_lusc", archive=root, data_dir=tmp_path, workers=1, skip_bad=True)
    assert sum(lusc.splits.values()) == 98  # LUSC needs no pairs


def test_tiff_and_bmp_are_stored_without_loss(tmp_path, archive):
    root = tmp_path / "archive"
    shutil.copytree(archive, root)
    originals = {}
    for number, path in enumerate(sorted(root.rglob("HF_*.jpg"))):
        kind = ("TIFF", "BMP", "PNG")[number % 3]
        new = path.with_suffix(f".{kind.lower()}")
        new.write_bytes(image_bytes(number, kind=kind))
        path.unlink()
        originals[new.name] = np.asarray(Image.open(new).convert("RGB"))
    build("mtsccd_lusc", archive=root, data_dir=tmp_path, workers=1)
    for examples in (
        tfds.data_source("mtsccd_lusc", split="test_a", data_dir=tmp_path),
        tfds.as_numpy(tfds.load("mtsccd_lusc", split="test_a", data_dir=tmp_path)),
    ):
        found = {e["filename"].decode(): e["image"] for e in examples}
        assert found.keys() == originals.keys()
        for filename, pixels in found.items():
            np.testing.assert_array_equal(pixels, originals[filename])


def test_a_lost_date_is_an_error_even_when_skipping(tmp_path, archive):
    root = tmp_path / "archive"
    shutil.copytree(archive, root, ignore=shutil.ignore_patterns("WH_202109*"))
    with pytest.raises(ArchiveError, match="wuhan: only date 201307"):
        build("mtsccd_lusc", archive=root, data_dir=tmp_path, workers=1, skip_bad=True)


def test_a_lost_city_is_a_warning(tmp_path, archive, caplog, monkeypatch):
    monkeypatch.setattr(logging.getLogger("tfds_builders"), "propagate", True)  # the command line keeps it to itself
    root = tmp_path / "archive"
    shutil.copytree(archive, root, ignore=shutil.ignore_patterns("WH_*.jpg"))
    result = build("mtsccd_lusc", archive=root, data_dir=tmp_path, workers=1)
    assert result.splits["train"] == 34
    assert "wuhan: no image of this city" in caplog.text


@pytest.mark.fault
@pytest.mark.parametrize("workers", [1, 2])
def test_a_full_disk_leaves_nothing_and_the_next_build_succeeds(tmp_path, archive, workers):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))  # fails like a full disk
    try:
        with pytest.raises(OSError, match="File too large"):
            build("mtsccd_lusc", archive=archive, data_dir=tmp_path, workers=workers)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert not list(tmp_path.rglob("1.0.0*"))
    assert sum(build("mtsccd_lusc", archive=archive, data_dir=tmp_path, workers=workers).splits.values()) == 100


@pytest.mark.fault
def test_a_killed_build_leaves_nothing_under_the_final_name(tmp_path, archive):
    code = """
import sys
import tfds_builders
tfds_builders.DualFormatBuilder.SHARD_BYTES = 3000
tfds_builders.build("mtsccd_lusc", archive=sys.argv[1], data_dir=sys.argv[2], workers=2,
                    progress=lambda done, total: (print(done, flush=True), sys.stdin.read()))
"""
    command = [sys.executable, "-c", code, str(archive), str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        process.stdout.readline()  # shards are being written
        process.send_signal(signal.SIGKILL)
    final = tmp_path / "mtsccd_lusc" / "official" / "1.0.0"
    time.sleep(0.1)
    assert not final.exists()
    assert sum(build("mtsccd_lusc", archive=archive, data_dir=tmp_path, workers=2).splits.values()) == 100
    assert final.is_dir()
