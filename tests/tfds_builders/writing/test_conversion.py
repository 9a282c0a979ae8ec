"""Data sets in one file format, and one format made from the other."""

import errno
import shutil

import numpy as np
import pytest
import tensorflow_datasets as tfds
from archive_files import write

from mtsccd_jax import cli
from mtsccd_jax.data.tfds_source import tfds_source
from tfds_builders import ArchiveError, DualFormatBuilder, build, convert
from tfds_builders.writing import conversion
from tfds_builders.writing.formats import FORMATS, formats_of

NAME, PLACE = "mtsccd_lusc", "mtsccd_lusc/official/1.0.0"


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The data of one archive, built in both formats and in each, by the name of the formats."""
    archive, made = write(tmp_path_factory.mktemp("archive"), 6), {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(DualFormatBuilder, "SHARD_BYTES", 3000)  # several shards a split
        for formats in FORMATS:
            made[formats] = tmp_path_factory.mktemp(formats)
            build(NAME, archive=archive, data_dir=made[formats], workers=1, formats=formats)
    return archive, made


def content(data_dir):
    return {path.name: path.read_bytes() for path in (data_dir / PLACE).iterdir()}


def test_a_build_in_one_format_has_its_files_of_a_build_in_both(built):
    both, of_tfrecord, of_array_record = (content(built[1][formats]) for formats in FORMATS)
    records = {name: data for name, data in both.items() if "record-" in name}
    assert len(records) > 8
    for name, other in (("tfrecord", of_tfrecord), ("array_record", of_array_record)):
        assert {file: data for file, data in other.items() if "record-" in file} == {
            file: data for file, data in records.items() if f".{name}-" in file
        }


@pytest.mark.parametrize("had", FORMATS)
@pytest.mark.parametrize("wanted", FORMATS)
def test_converted_data_are_those_of_a_build(built, tmp_path, had, wanted):
    shutil.copytree(built[1][had], tmp_path / "tfds")
    folder = convert(NAME, formats=wanted, data_dir=tmp_path / "tfds", workers=1)
    assert folder == tmp_path / "tfds" / PLACE
    assert formats_of(folder) == FORMATS[wanted]
    assert content(tmp_path / "tfds") == content(built[1][wanted])
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]


def test_each_format_is_read_by_its_call(built):
    archive, made = built
    builders = {formats: tfds.builder(NAME, data_dir=data_dir) for formats, data_dir in made.items()}
    for builder in (builders["both"], builders["tfrecord"]):
        assert len(list(builder.as_dataset(split="test_a"))) == 12
    for builder in (builders["both"], builders["array_record"]):
        assert len(builder.as_data_source(split="test_a")) == 12
    advice = "files; add them with: mtsccd-jax data convert mtsccd_lusc/official --format both --data-dir "
    with pytest.raises(NotImplementedError, match=f"has no array_record {advice}"):
        builders["tfrecord"].as_data_source(split="test_a")
    with pytest.raises(NotImplementedError, match=f"has no tfrecord {advice}"):
        builders["array_record"].as_dataset(split="test_a")
    with pytest.raises(ArchiveError, match=f"has no array_record {advice}"):
        build(NAME, archive=archive, data_dir=made["tfrecord"])


def test_any_format_trains(built):
    """The engine reads the same rows from each, and tells runs on them to be of the same data."""
    sources = [tfds_source(NAME, "train", data_dir=data_dir) for data_dir in built[1].values()]
    assert len({source.fingerprint() for source in sources}) == 1
    batches = [source.read(np.arange(0, len(source), 3)) for source in sources]
    for field, expected in batches[0].items():
        for batch in batches[1:]:
            np.testing.assert_array_equal(batch[field], expected)


@pytest.mark.parametrize(("had", "wanted"), [("tfrecord", "array_record"), ("array_record", "tfrecord")])
def test_damaged_records_are_told_and_nothing_is_lost(built, tmp_path, had, wanted):
    shutil.copytree(built[1][had], tmp_path / "tfds")
    shard = sorted((tmp_path / "tfds" / PLACE).glob("*-train.*-00001-*"))[0]
    data = bytearray(shard.read_bytes())
    middle = data.index(b"image") + 60  # of a record
    data[middle] ^= 1
    shard.write_bytes(data)
    before = content(tmp_path / "tfds")
    with pytest.raises(ArchiveError, match=f"{shard.name} is damaged"):
        convert(NAME, formats=wanted, data_dir=tmp_path / "tfds", workers=1)
    assert content(tmp_path / "tfds") == before
    assert [path.name for path in (tmp_path / "tfds" / PLACE).parent.iterdir()] == ["1.0.0"]


def test_a_killed_conversion_is_done_again(built, tmp_path, monkeypatch):
    shutil.copytree(built[1]["tfrecord"], tmp_path / "tfds")

    def killed(shards, workers, report):
        written(shards[:2], workers, report)
        raise SystemExit

    written = conversion.write_shards
    monkeypatch.setattr(conversion, "write_shards", killed)
    monkeypatch.setattr(conversion.shutil, "rmtree", lambda *_, **__: None)  # as a killed process does not
    with pytest.raises(SystemExit):
        convert(NAME, formats="both", data_dir=tmp_path / "tfds", workers=1)
    assert len(list((tmp_path / "tfds" / PLACE).parent.iterdir())) == 2
    monkeypatch.undo()
    convert(NAME, formats="both", data_dir=tmp_path / "tfds", workers=1)
    assert content(tmp_path / "tfds") == content(built[1]["both"])
    assert [path.name for path in (tmp_path / "tfds" / PLACE).parent.iterdir()] == ["1.0.0"]


@pytest.mark.parametrize("wanted", ["tfrecord", "both"])
def test_a_format_of_which_a_file_is_missing_is_written_again(built, tmp_path, wanted):
    shutil.copytree(built[1]["both"], tmp_path / "tfds")
    sorted((tmp_path / "tfds" / PLACE).glob("*-train.tfrecord*"))[0].unlink()
    assert len(tfds_source(NAME, "train", data_dir=tmp_path / "tfds")[0]) > 5, "the other one is read"
    convert(NAME, formats=wanted, data_dir=tmp_path / "tfds", workers=1)
    assert content(tmp_path / "tfds") == content(built[1][wanted])


@pytest.mark.parametrize(
    ("kept", "cut"), [("tfrecord", 0), ("tfrecord", 500), ("array_record", 0), ("array_record", 500)]
)
def test_the_only_whole_format_is_not_removed(built, tmp_path, kept, cut):
    shutil.copytree(built[1]["both"], tmp_path / "tfds")
    shard = sorted((tmp_path / "tfds" / PLACE).glob(f"*-train.{kept}-*"))[-1]
    shard.write_bytes(shard.read_bytes()[:cut])
    before = content(tmp_path / "tfds")
    with pytest.raises(ArchiveError, match=f"{shard.name}( is damaged|: 0 examples of)"):
        convert(NAME, formats=kept, data_dir=tmp_path / "tfds", workers=1)
    assert content(tmp_path / "tfds") == before


@pytest.mark.parametrize("stopped", ["os.replace", "tfds_builders.writing.conversion.write_checksums", "os.unlink"])
def test_a_conversion_that_stops_at_the_end_is_done_again(built, tmp_path, monkeypatch, stopped):
    """Whatever was the last step that it took, the data are read, and the same command ends well."""
    shutil.copytree(built[1]["both"], tmp_path / "tfds")

    def fail(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(stopped, fail)
    with pytest.raises(OSError, match="No space left"):
        convert(NAME, formats="tfrecord", data_dir=tmp_path / "tfds", workers=1)
    monkeypatch.undo()
    assert len(tfds_source(NAME, "train", data_dir=tmp_path / "tfds")[0]) > 5
    convert(NAME, formats="tfrecord", data_dir=tmp_path / "tfds", workers=1)
    there, expected = content(tmp_path / "tfds"), content(built[1]["tfrecord"])
    assert {name: data for name, data in there.items() if not name.endswith(".unfinished")} == expected


def test_an_unknown_format_is_told(tmp_path):
    with pytest.raises(ArchiveError, match="unknown format 'riegeli'; known are both, tfrecord, array_record"):
        convert(NAME, formats="riegeli", data_dir=tmp_path)


def test_the_command_builds_and_converts(built, tmp_path, capsys):
    archive, _ = built
    place = ["--data-dir", str(tmp_path)]
    assert cli.main(["data", "build", NAME, "--archive", str(archive), *place, "--format", "array_record"]) == 0
    assert formats_of(tmp_path / PLACE) == ("array_record",)
    assert cli.main(["data", "convert", NAME, *place, "--format", "tfrecord"]) == 0
    assert f'"folder": "{tmp_path / PLACE}"' in capsys.readouterr().out
    assert formats_of(tmp_path / PLACE) == ("tfrecord",)
    assert cli.main(["data", "convert", "mlrsnet", *place, "--format", "both"]) == 2
    assert "data set 'mlrsnet' is not in" in capsys.readouterr().err
