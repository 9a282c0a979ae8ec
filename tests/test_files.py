"""Paths whose bytes are not UTF-8, and paths as people write them on a command line, in a `--set`, or in Python."""

import errno
import fcntl
import json
import os
from pathlib import Path

import pytest
from commands import refused, run

from mtsccd_jax.cli.output import as_json
from mtsccd_jax.errors import InputError
from mtsccd_jax.files import check_utf8, check_writable, local_path, locked, replacing, utf8
from mtsccd_jax.recipes import get_recipe
from mtsccd_jax.recipes.config import override
from tfds_builders.synthetic.mtsccd import write_archive

STORED = os.fsdecode("数据".encode("gbk") + b"\xff/a\nb")
ELSEWHERE = ("gs://bucket/tfds", "s3://bucket", "http://host/x", "https://host/x.pth", "file:///data", "hdfs:/x")


def test_json_gives_the_path_back_and_is_utf_8():
    for line in (as_json({"out": STORED, "note": "林"}), utf8(json.dumps([STORED], ensure_ascii=False)).decode()):
        assert line.encode()
        assert len(line.splitlines()) == 1
        assert STORED in (json.loads(line)["out"] if "out" in line else json.loads(line))
    assert "林" in as_json({"note": "林"})


@pytest.mark.parametrize("mask", [0o022, 0o027, 0o002])
def test_files_are_for_whom_the_umask_says(tmp_path, mask):
    before = os.umask(mask)
    try:
        with replacing(tmp_path / "new" / "a") as stream:
            stream.write(b"x")
        write_archive(tmp_path / "archive", scale=0.0001)
    finally:
        os.umask(before)
    assert (tmp_path / "new" / "a").stat().st_mode & 0o777 == 0o666 & ~mask
    folders = [path for path in tmp_path.rglob("*") if path.is_dir()]
    assert {path.stat().st_mode & 0o777 for path in folders} == {0o777 & ~mask}


def test_a_file_that_fails_leaves_the_one_before_and_nothing_beside_it(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(b"before")
    with pytest.raises(TypeError), replacing(path) as stream:
        stream.write("no bytes")
    assert [(each.name, each.read_bytes()) for each in tmp_path.iterdir()] == [("a", b"before")]


def test_work_directories_must_be_utf_8(tmp_path):
    for check in (check_utf8, check_writable):
        check(tmp_path / "数据", "x")
        with pytest.raises(InputError, match=r"not a path in UTF-8; choose another --workdir$"):
            check(tmp_path / STORED, "choose another --workdir")


def test_errors_are_one_line_of_text_whatever_the_path(tmp_path, capsys):
    status, _, err = run(capsys, "data", "check", tmp_path / STORED)
    assert status == 2
    assert len(err.strip().splitlines()) == 1
    assert r"/a\nb: no such archive" in err
    assert err.encode()
    status, result, _ = run(capsys, "data", "synth", "--out", tmp_path / Path(STORED).parent, "--scale", "0.0001", "-q")
    assert (status, result["out"]) == (0, str((tmp_path / STORED).parent))


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("~/x", "{home}/x"),
        ("~", "{home}"),
        ("./~x", "{here}/~x"),  # no later `expanduser` may take it for a home
        ("~nobody-of-this-name/x", "{here}/~nobody-of-this-name/x"),
        ("a/~/b", "a/~/b"),
        (".", "."),
        ("a b/50%/set[1]", "a b/50%/set[1]"),
        ("tfds:v1", "tfds:v1"),
        (Path("数据集"), "数据集"),
    ],
)
def test_the_home_is_found_and_other_names_stay(monkeypatch, tmp_path, text, path):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    assert local_path(text, "path") == Path(path.format(home=tmp_path / "home", here=tmp_path))


@pytest.mark.parametrize("text", [*ELSEWHERE, Path("gs://bucket"), "", " "])
def test_what_is_no_path_of_this_machine_is_refused(text):
    with pytest.raises(InputError, match=r"^--data-dir.*(is no folder or file of this machine|the path is empty); "):
        local_path(text, "--data-dir")


@pytest.mark.parametrize("place", [*ELSEWHERE[:2], ELSEWHERE[4], ""])
@pytest.mark.parametrize(
    "command",
    [
        ("data", "build", "mtsccd_lusc", "--archive", "{file}", "--data-dir={place}"),
        ("data", "synth", "--out", "{place}"),
        ("data", "check", "{place}"),
        ("train", "demo", "--workdir={place}"),
        ("train", "demo", "--set", "data.folder={place}"),
        ("train", "demo", "--init", "{place}"),
        ("report", "{place}"),
        ("bench", "threshold", "--out", "{place}"),
        ("evaluate", "{place}"),
    ],
)
def test_every_command_refuses_them_before_a_folder_is_made(capsys, monkeypatch, tmp_path, command, place):
    monkeypatch.chdir(tmp_path)
    line = refused(capsys, *(part.format(place=place, file=__file__) for part in command))
    assert "of this machine" in line or "the path is empty" in line
    assert not list(tmp_path.iterdir())


def test_a_file_is_no_folder(capsys):
    for command in (("evaluate", __file__), ("train", "demo", "--data-dir", __file__), ("report", __file__)):
        assert f"{__file__} is a file; name a folder" in refused(capsys, *command)


def test_settings_take_the_home_and_keep_what_is_no_path(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    data = override(get_recipe("demo"), ["data.folder=~/x", "data.data_dir=none", "model.init=hf:timm/resnet18"])
    assert data.data.folder == str(tmp_path / "x")
    assert (data.data.data_dir, data.model.init) == (None, "hf:timm/resnet18")


def test_what_killed_processes_were_writing_is_removed_and_what_others_write_is_not(tmp_path, caplog):
    names = (".a.0123abcd.unfinished", ".b.456789ef.unfinished", ".c.z.settings", ".notes.unfinished")
    for name in names:
        (tmp_path / name).write_bytes(b"half")
    with (tmp_path / names[1]).open("rb") as living:
        fcntl.flock(living, fcntl.LOCK_EX)
        with caplog.at_level("INFO"), replacing(tmp_path / "d") as stream:
            assert sum(path.name.endswith(".unfinished") for path in tmp_path.iterdir()) == 3
            stream.write(b"whole")
    assert sorted(path.name for path in tmp_path.iterdir()) == [*names[1:], "d"]
    assert caplog.messages == [f"{tmp_path / names[0]}: removed, a killed process was writing it"]


def test_where_nothing_can_be_locked_files_are_written_and_none_is_removed(tmp_path, monkeypatch, caplog):
    def refuse(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    (tmp_path / ".a.x.unfinished").write_bytes(b"half")
    for _ in range(2):
        with locked(tmp_path / "lock"), replacing(tmp_path / "d") as stream:
            stream.write(b"whole")
    assert (tmp_path / "d").read_bytes() == b"whole"
    assert (tmp_path / ".a.x.unfinished").exists()
    assert len(caplog.messages) == 1
    assert "has no locks (No locks available); let one process at a time write here" in caplog.text
