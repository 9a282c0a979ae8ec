"""The files below a folder: through links, without litter, each once, and no loop hangs."""

import os

import pytest

from tfds_builders.reading.folders import tree_of


def write(root, *paths):
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).touch()


def test_litter_is_left_out_and_empty_folders_are_named(tmp_path):
    write(tmp_path, "a/1.jpg", "a/Thumbs.db", "__MACOSX/a/._1.jpg", "b/.DS_Store", "README.md", "c/d/2.jpg", "a.tfw")
    (tmp_path / "e" / "f").mkdir(parents=True)
    tree = tree_of(tmp_path)
    assert tree.files == ["a/1.jpg", "c/d/2.jpg"]
    assert tree.empty == ["b", "e", "e/f"]


def test_only_chosen_entries_are_looked_into(tmp_path):
    write(tmp_path, "a/1.jpg", "b/1.jpg", "b.txt", "a/b/2.jpg")
    assert tree_of(tmp_path, lambda name: name == "a").files == ["a/1.jpg", "a/b/2.jpg"]


def test_links_are_followed_and_loops_end(tmp_path):
    write(tmp_path, "disk/x/1.jpg", "set/a/2.jpg", "set/b/3.jpg")
    for link, target in {"set/a/more": "disk/x", "set/a/up": "set", "set/b/self": "set/b", "disk/x/a": "set/a"}.items():
        (tmp_path / link).symlink_to(tmp_path / target)
    tree = tree_of(tmp_path / "set")
    assert tree.files == ["a/2.jpg", "a/more/1.jpg", "b/3.jpg"]
    assert tree.again == []


def test_a_folder_that_two_links_show_is_told(tmp_path):
    write(tmp_path, "disk/1.jpg", "set/a/2.jpg", "set/b/3.jpg")
    for name in "ab":
        (tmp_path / "set" / name / "more").symlink_to(tmp_path / "disk")
    tree = tree_of(tmp_path / "set")
    assert tree.files == ["a/2.jpg", "a/more/1.jpg", "b/3.jpg"]
    assert tree.again == [("b/more", "a/more")]


def test_a_folder_that_cannot_be_read_is_no_empty_folder(tmp_path, monkeypatch):
    write(tmp_path, "a/1.jpg", "b/1.jpg")
    scandir = os.scandir

    def refuse(path):
        if str(path).endswith("b"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(PermissionError):
        tree_of(tmp_path)
