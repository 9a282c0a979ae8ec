"""Paths whose bytes are not UTF-8, in files, on standard output and where JAX writes."""

import json
import os
from pathlib import Path

import pytest
from commands import run

from mtsccd_jax.cli import as_json
from mtsccd_jax.errors import InputError
from mtsccd_jax.files import check_utf8, check_writable, utf8

STORED = os.fsdecode("数据".encode("gbk") + b"\xff/a\nb")


def test_json_gives_the_path_back_and_is_utf_8():
    for line in (as_json({"out": STORED, "note": "林"}), utf8(json.dumps([STORED], ensure_ascii=False)).decode()):
        assert line.encode()
        assert len(line.splitlines()) == 1
        assert STORED in (json.loads(line)["out"] if "out" in line else json.loads(line))
    assert "林" in as_json({"note": "林"})


def test_work_directories_must_be_utf_8(tmp_path):
    for check in (check_utf8, check_writable):
        check(tmp_path / "数据", "x")
        with pytest.raises(InputError, match=r"not a path in UTF-8; choose another --workdir$"):
            check(tmp_path / STORED, "choose another --workdir")


def test_errors_are_one_line_of_text_whatever_the_path(tmp_path, capsys):
    status, _, err = run(capsys, "data", "check", tmp_path / STORED)
    assert status == 2
    assert len(err.strip().splitlines()) == 1
    assert "/a b: no such archive" in err
    assert err.encode()
    status, result, _ = run(capsys, "data", "synth", "--out", tmp_path / Path(STORED).parent, "--scale", "0.0001", "-q")
    assert (status, result["out"]) == (0, str((tmp_path / STORED).parent))
