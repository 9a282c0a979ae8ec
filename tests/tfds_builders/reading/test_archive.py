"""Archives built by hand, hostile ones among them."""

import contextlib
import io
import os
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest

from tfds_builders.reading.archive import ArchiveError, extract, open_archive


def write_zip(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as packed:
        for name, data in members.items():
            packed.writestr(zipfile.ZipInfo(name), data)
    return path


def write_tar(path: Path, members: list[tarfile.TarInfo], mode: str = "w") -> Path:
    with tarfile.open(path, mode) as packed:
        for info in members:
            info.size = 3 if info.isreg() else 0
            packed.addfile(info, io.BytesIO(b"abc") if info.isreg() else None)
    return path


def tar_entry(name: str, kind: bytes = tarfile.REGTYPE, target: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


@pytest.mark.parametrize(
    "name", ["../evil.jpg", "a/../../evil.jpg", "/tmp/evil.jpg", "..\\evil.jpg", "C:\\evil.jpg", "\\\\host\\evil.jpg"]
)
def test_no_path_of_a_zip_leaves_the_target(tmp_path, name):
    packed = write_zip(tmp_path / "a.zip", {"good.jpg": b"1", name: b"2"})
    target = tmp_path / "deep" / "target"
    with pytest.raises(ArchiveError, match="outside the target"):
        extract(packed, target)
    with pytest.raises(ArchiveError, match="outside the target"):
        open_archive(packed)
    assert not target.exists()  # checked before anything is written
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["a.zip"]


@pytest.mark.parametrize("name", ["../evil.jpg", "/tmp/evil.jpg", "a/../../evil.jpg"])
def test_no_path_of_a_tar_leaves_the_target(tmp_path, name):
    packed = write_tar(tmp_path / "a.tar", [tar_entry("good.jpg"), tar_entry(name)])
    with pytest.raises(ArchiveError, match="outside the target"):
        extract(packed, tmp_path / "target")
    assert not (tmp_path / "target").exists()


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE])
def test_links_and_devices_of_a_tar_are_refused(tmp_path, kind):
    packed = write_tar(tmp_path / "a.tar", [tar_entry("good.jpg"), tar_entry("link.jpg", kind, "/etc/passwd")])
    with pytest.raises(ArchiveError, match=r"link\.jpg.*link or a device"):
        extract(packed, tmp_path / "target")
    assert not (tmp_path / "target").exists()


def test_links_of_a_zip_are_refused(tmp_path):
    info = zipfile.ZipInfo("link.jpg")
    info.create_system, info.external_attr = 3, 0o120777 << 16
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as packed:
        packed.writestr(info, "/etc/passwd")
    with pytest.raises(ArchiveError, match="link or a device"):
        extract(tmp_path / "a.zip", tmp_path / "target")


def test_a_name_twice_is_refused(tmp_path):
    write_zip(tmp_path / "a.zip", {"a.jpg": b"1", "b.jpg": b"2"})
    (tmp_path / "a.zip").write_bytes((tmp_path / "a.zip").read_bytes().replace(b"b.jpg", b"a.jpg"))
    with pytest.raises(ArchiveError, match=r"'a\.jpg' twice"):
        open_archive(tmp_path / "a.zip")


@pytest.mark.parametrize(
    ("suffix", "mode"), [(".tar", "w"), (".tar.gz", "w:gz"), (".tgz", "w:gz"), (".tar.xz", "w:xz")]
)
def test_tar_files_are_extracted(tmp_path, suffix, mode):
    packed = write_tar(tmp_path / f"a{suffix}", [tar_entry("x/y/a.jpg"), tar_entry("./b.jpg")], mode)
    assert open_archive(packed).names == ("b.jpg", "x/y/a.jpg")
    assert sorted(extract(packed, tmp_path / "out")) == ["b.jpg", "x/y/a.jpg"]
    assert (tmp_path / "out" / "x" / "y" / "a.jpg").read_bytes() == b"abc"


def test_windows_separators_and_chinese_names_are_read(tmp_path):
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as packed:
        packed.writestr("HZ_201310_1_1_XXXX.jpg", b"1")
        packed.writestr("a\\b.jpg", b"2")
    # What a Chinese Windows writes: GBK bytes and no UTF-8 flag.
    (tmp_path / "a.zip").write_bytes(data.getvalue().replace(b"XXXX", "水体".encode("gbk")))
    assert open_archive(tmp_path / "a.zip").names == ("HZ_201310_1_1_水体.jpg", "a/b.jpg")
    extract(tmp_path / "a.zip", tmp_path / "out")
    assert (tmp_path / "out" / "a" / "b.jpg").read_bytes() == b"2"


@pytest.mark.parametrize("cut", [10, 60, 150])
def test_broken_archives_are_named(tmp_path, cut):
    whole = write_zip(tmp_path / "whole.zip", {"a.jpg": b"x" * 100}).read_bytes()
    (tmp_path / "cut.zip").write_bytes(whole[:cut])
    with pytest.raises(ArchiveError, match=r"cut\.zip"):
        extract(tmp_path / "cut.zip", tmp_path / "out")


def test_damaged_content_is_an_archive_error(tmp_path):
    packed = write_zip(tmp_path / "a.zip", {"a.jpg": b"x" * 100})
    packed.write_bytes(packed.read_bytes().replace(b"x" * 50, b"y" * 50, 1))
    with pytest.raises(ArchiveError, match=r"a\.zip: broken.*again"):
        extract(packed, tmp_path / "out")
    truncated = write_tar(tmp_path / "b.tgz", [tar_entry(f"{i}.jpg") for i in range(40)], "w:gz")
    truncated.write_bytes(truncated.read_bytes()[:-30])
    with pytest.raises(ArchiveError, match=r"b\.tgz: broken"):
        open_archive(truncated)


def test_other_files_and_missing_ones_are_refused(tmp_path):
    (tmp_path / "a.rar").write_bytes(b"Rar!" + bytes(100))
    with pytest.raises(ArchiveError, match=r"a\.rar: neither a folder nor a zip or tar"):
        open_archive(tmp_path / "a.rar")
    with pytest.raises(ArchiveError, match="no such archive"):
        open_archive(tmp_path / "missing")


def test_a_folder_shows_its_files_and_its_packed_files(tmp_path):
    root = tmp_path / "archive"
    (root / "loose" / ".hidden").mkdir(parents=True)
    (root / "__MACOSX").mkdir()
    for junk in (".DS_Store", "loose/Thumbs.db", "loose/.hidden/a.jpg", "__MACOSX/._a.jpg"):
        (root / junk).write_bytes(b"junk")
    (root / "loose" / "a.jpg").write_bytes(b"a")
    write_zip(root / "MtSCCD_LUSC.zip", {"train/b.jpg": b"b", "__MACOSX/._b.jpg": b"junk"})
    write_tar(root / "wuhan.tar.gz", [tar_entry("c.jpg")], "w:gz")
    write_zip(root / "loose.zip", {"a.jpg": b"the same, packed"})
    archive = open_archive(root)
    assert archive.names == ("MtSCCD_LUSC/train/b.jpg", "loose/a.jpg", "wuhan/c.jpg")
    assert [archive.read(name) for name in archive.names] == [b"b", b"a", b"abc"]
    paths = archive.files(["loose/a.jpg", "wuhan/c.jpg"], tmp_path / "scratch")
    assert paths["loose/a.jpg"] == str(root / "loose" / "a.jpg")  # not copied
    assert Path(paths["wuhan/c.jpg"]).read_bytes() == b"abc"
    assert len([p for p in (tmp_path / "scratch").rglob("*") if p.is_file()]) == 1  # only what was asked for


def test_linked_folders_are_followed_once(tmp_path):
    (tmp_path / "disk").mkdir()
    (tmp_path / "disk" / "a.jpg").write_bytes(b"a")
    (tmp_path / "archive").mkdir()
    (tmp_path / "archive" / "city").symlink_to(tmp_path / "disk")
    (tmp_path / "disk" / "loop").symlink_to(tmp_path / "disk")
    assert open_archive(tmp_path / "archive").names == ("city/a.jpg",)


@pytest.mark.parametrize("cut", [0.3, 0.6, 0.97])
def test_a_cut_zip_is_incomplete(tmp_path, cut):
    data = write_zip(tmp_path / "whole.zip", {f"{i}.jpg": b"x" * 100 for i in range(20)}).read_bytes()
    (tmp_path / "cut.zip").write_bytes(data[: int(len(data) * cut)])
    with pytest.raises(ArchiveError, match=r"cut\.zip: incomplete .*; download it again"):
        open_archive(tmp_path / "cut.zip")
    (tmp_path / "second.zip").write_bytes(data[int(len(data) * cut) :])
    with pytest.raises(ArchiveError, match=r"second\.zip: (its beginning is missing|broken or incomplete)"):
        open_archive(tmp_path / "second.zip")


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "empty; download it again"),
        (b"\xef\xbb\xbf\n <!DOCTYPE html><title>Sign in</title>", "a web page instead of an archive"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0", "git lfs pull"),
        (b"Rar!" + bytes(100), "neither a folder nor a zip or tar file"),
    ],
)
def test_what_is_no_archive_says_what_it_is(tmp_path, data, said):
    (tmp_path / "MtSCCD.zip").write_bytes(data)
    for archive in (tmp_path, tmp_path / "MtSCCD.zip"):
        with pytest.raises(ArchiveError, match=rf"MtSCCD\.zip: .*{said}"):
            open_archive(archive)


@pytest.mark.parametrize("blocks", [1, 2, 3, 4, 5.5, 6.2])
@pytest.mark.parametrize("mode", ["w", "w:gz"])
def test_a_tar_file_is_whole_or_broken(tmp_path, blocks, mode):
    packed = write_tar(tmp_path / "a.tar", [tar_entry(f"{i}.jpg") for i in range(4)], mode)
    data = packed.read_bytes()
    share = blocks / 8 if mode == "w:gz" else blocks * 512 / len(data)
    packed.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(ArchiveError, match=r"a\.tar: (broken or incomplete .*; download it again|neither)"):
        open_archive(packed)


def test_a_damaged_header_does_not_end_a_tar_file(tmp_path):
    packed = write_tar(tmp_path / "a.tar", [tar_entry(f"{i}.jpg") for i in range(4)])
    data = bytearray(packed.read_bytes())
    data[2 * 1024] ^= 1  # in the third header
    packed.write_bytes(data)
    with pytest.raises(ArchiveError, match=r"a\.tar: broken"):
        open_archive(packed)


@pytest.mark.parametrize("kind", ["zip", "tar", "tar.gz"])
def test_damage_of_any_kind_is_an_archive_error(tmp_path, kind):
    path = tmp_path / f"a.{kind}"
    if kind == "zip":
        write_zip(path, {f"{i}.jpg": b"x" * 10 for i in range(3)})
    else:
        write_tar(path, [tar_entry(f"{i}.jpg") for i in range(3)], "w:gz" if kind == "tar.gz" else "w")
    data, rng = path.read_bytes(), np.random.default_rng(0)
    for _ in range(150):
        damaged = bytearray(data[: rng.integers(1, len(data) + 1)] if rng.random() < 0.2 else data)
        for place in rng.integers(0, len(damaged), 1 + rng.integers(3)):
            damaged[place] = rng.integers(256)
        path.write_bytes(damaged)
        with contextlib.suppress(ArchiveError):
            archive = open_archive(path, keep=lambda name: name.startswith("1"))
            archive.files(archive.names, tmp_path / "out")


def test_content_is_kept_in_the_one_pass_over_a_packed_file(tmp_path, monkeypatch):
    write_tar(tmp_path / "a.tgz", [tar_entry(f"{i}.{kind}") for i in range(30) for kind in ("jpg", "txt")], "w:gz")
    write_zip(tmp_path / "b.zip", {f"{i}.{kind}": b"abc" for i in range(30) for kind in ("jpg", "txt")})
    opened = []
    for module, name in ((zipfile, "ZipFile"), (tarfile, "open")):
        real = getattr(module, name)
        monkeypatch.setattr(
            module, name, lambda *a, real=real, **k: opened.append((*a, *k.values())[0]) or real(*a, **k)
        )
    monkeypatch.setattr(tarfile, "is_tarfile", lambda path: True)
    archive = open_archive(tmp_path, keep=lambda name: name.endswith(".txt"))
    assert [archive.read(name) for name in archive.names if name.endswith(".txt")] == [b"abc"] * 60
    assert sorted(Path(file.name).name for file in opened) == ["a.tgz", "b.zip"]


def test_names_of_a_folder_are_text_and_their_files_are_found(tmp_path):
    root = os.fsencode(tmp_path / "a")
    stored = {"林地".encode("gbk") + b"/1.jpg": "林地/1.jpg", b"x\xff/2.jpg": "x\\xff/2.jpg", b"n\n.txt": "n\\n.txt"}
    for name in stored:
        path = os.path.join(root, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        Path(os.fsdecode(path)).write_bytes(name)
    archive = open_archive(tmp_path / "a")
    assert archive.names == tuple(sorted(stored.values()))
    paths = archive.files(archive.names, tmp_path / "scratch")
    for name, text in stored.items():
        assert archive.read(text) == Path(paths[text]).read_bytes() == name


def test_one_name_in_two_ways_to_write_it_is_refused(tmp_path):
    root = os.fsencode(tmp_path / "a")
    os.mkdir(root)
    for name in ("林.jpg".encode(), "林.jpg".encode("gbk")):
        Path(os.fsdecode(os.path.join(root, name))).touch()
    with pytest.raises(ArchiveError, match=r"two files called '林\.jpg'"):
        open_archive(tmp_path / "a")


def test_two_packed_files_of_one_name_are_refused(tmp_path):
    write_zip(tmp_path / "wuhan.zip", {"a.jpg": b"1"})
    write_tar(tmp_path / "wuhan.tar", [tar_entry("a.jpg")])
    with pytest.raises(ArchiveError, match=r"'wuhan/a\.jpg' twice, in two packed files"):
        open_archive(tmp_path)


def test_names_too_long_or_too_like_for_this_system_are_copied(tmp_path):
    names = ["林" * 120 + ".jpg", "a.JPG", "a.jpg"]
    packed = write_zip(tmp_path / "a.zip", {name: name.encode() for name in names})
    paths = open_archive(packed).files(names, tmp_path / "scratch")
    assert [Path(paths[name]).read_bytes().decode() for name in names] == names


def test_a_zip_that_lies_about_its_encoding_is_an_archive_error(tmp_path):
    packed = write_zip(tmp_path / "a.zip", {"林.jpg": b"1"})
    packed.write_bytes(packed.read_bytes().replace("林".encode(), b"\xff\xfe\xfd"))
    with pytest.raises(ArchiveError, match=r"a\.zip: broken"):
        open_archive(packed)
