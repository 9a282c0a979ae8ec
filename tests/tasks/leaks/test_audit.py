"""Planted copies are found with what was done to them, and others are not; lists and pages say so."""

import csv
import json

import numpy as np
import pytest
from commands import refused, run
from scenery import plain, save, scene

from mtsccd_jax.ops.hashes.perceptual import turned
from mtsccd_jax.tasks.leaks import planted

# Of each split the seeds of its scenes.
SCENES = {"train": range(24), "validation": range(100, 108), "test": range(200, 208)}


def copies() -> dict[str, np.ndarray]:
    """Copies of training scenes by path."""
    generator = np.random.default_rng(0)
    made = {f"validation/a/{kind.split()[0]}.png": kind for kind in planted.KINDS}
    return {path: planted.KINDS[kind](scene(n), generator) for n, (path, kind) in enumerate(made.items())} | {
        "test/a/same.png": scene(10),
        "test/a/turned.png": turned(scene(11), 5),
        "train/a/twin.png": scene(12),
        "test/a/of_validation.png": scene(100),
    }


def write_splits(root):
    for split, seeds in SCENES.items():
        for seed in seeds:
            save(root / split / "a" / f"{seed}.png", scene(seed))
        for seed in range(2):  # water, of which no two are told apart
            save(root / split / "b" / f"water{seed}.png", plain(hash((split, seed)) % 1000))
    for path, image in copies().items():
        save(root / path, image)
    return root


def read_csv(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    return write_splits(tmp_path_factory.mktemp("tree") / "archive")


@pytest.fixture(scope="module")
def audited(tree, tmp_path_factory):
    """(folder of the audit, its JSON)."""
    from mtsccd_jax.cli import main

    out = tmp_path_factory.mktemp("audit") / "out"
    assert main(["data", "audit", str(tree), "--out", str(out), "-q"]) == 0
    return out, json.loads((out / "audit.json").read_text())


def test_all_copies_are_found_and_nothing_else(audited):
    found = {(row["kept_name"], row["copy_name"]): row for row in read_csv(audited[0] / "pairs.csv")}
    expected = {(f"train/a/{n}.png", path) for n, path in enumerate(list(copies())[:6])} | {
        ("train/a/10.png", "test/a/same.png"),
        ("train/a/11.png", "test/a/turned.png"),
        ("train/a/12.png", "train/a/twin.png"),
        ("validation/a/100.png", "test/a/of_validation.png"),
    }
    assert found.keys() == expected
    kinds = {name: row["kind"] for (_, name), row in found.items()}
    assert [name for name, kind in kinds.items() if kind == "exact"] == [
        "test/a/same.png",
        "test/a/of_validation.png",
        "train/a/twin.png",
    ]
    relations = {name: row["relation"] for (_, name), row in found.items()}
    assert relations["test/a/turned.png"] == "turned 90°, flipped left to right"
    assert relations["validation/a/crop.png"] == "crop of 80%"
    assert relations["validation/a/brightness.png"] == "same frame"
    assert [name for (_, name), row in found.items() if row["leak"] == "0"] == ["train/a/twin.png"]


def test_counts_are_those_of_the_pairs(audited):
    told = audited[1]
    assert (told["images"], told["pairs"], told["leaks"], told["excluded"]) == (24 + 8 + 8 + 6 + 10, 10, 9, 9)
    assert told["kinds"] == {"exact": 3, "near": 7, "hash": 0}
    of_splits = {(entry["first"], entry["second"]): entry["exact"] + entry["near"] for entry in told["splits"]}
    name = "folder:archive"
    assert {where: n for where, n in of_splits.items() if n} == {
        (f"{name} train", f"{name} validation"): 6,
        (f"{name} train", f"{name} test"): 2,
        (f"{name} train", f"{name} train"): 1,
        (f"{name} validation", f"{name} test"): 1,
    }
    assert told["plain_images"] == 6
    assert all(entry["found"] == entry["of"] > 5 for entry in told["planted"].values())


def test_the_list_names_the_later_rows_and_every_split(audited):
    lines = read_csv(audited[0] / "exclude.csv")
    assert [line["split"] for line in lines if not line["row"]] == ["train", "validation", "test"]
    named = {line["name"]: (line["kept_split"], line["kept_name"]) for line in lines if line["row"]}
    assert named.keys() == {path for path in copies() if path != "train/a/twin.png"}
    assert named["test/a/of_validation.png"] == ("validation", "validation/a/100.png")


def test_the_page_shows_the_pairs(audited):
    page = (audited[0] / "index.html").read_text()
    assert page.count("<img ") == 2 * 10
    assert "10 pairs of copies among 56 images: 3 exact, 7 near." in page
    assert "9 rows of validation and test splits" in page


def test_a_hash_list_stands_for_images(audited, tmp_path, capsys):
    images = tmp_path / "images"
    save(images / "one.png", scene(13))
    save(images / "turned.png", turned(scene(14), 3))
    save(images / "other.png", scene(900))
    arguments = ("data", "audit", images, "--against", audited[0] / "hashes.npz", "--out", tmp_path / "out")
    status, told, _ = run(capsys, *arguments)
    assert (status, told["kinds"]) == (0, {"exact": 1, "near": 0, "hash": 1})
    pairs = {row["kept_name"] + row["copy_name"]: row["kind"] for row in read_csv(tmp_path / "out" / "pairs.csv")}
    assert pairs == {"one.pngtrain/a/13.png": "exact", "turned.pngtrain/a/14.png": "hash"}
    assert "A hash list has no pictures." in (tmp_path / "out" / "index.html").read_text()


def test_what_is_only_compared_with_is_not_compared_within(tree, tmp_path, capsys):
    images = tmp_path / "images"
    save(images / "again.png", scene(12))
    status, told, _ = run(capsys, "data", "audit", images, "--against", tree, "--out", tmp_path / "out")
    pairs = {(row["kept_name"], row["copy_name"]) for row in read_csv(tmp_path / "out" / "pairs.csv")}
    assert (status, told["images"], told["leaks"]) == (0, 57, 0)
    assert pairs == {("again.png", "train/a/12.png"), ("again.png", "train/a/twin.png")}


def test_both_dates_of_a_pair_are_no_copies(tmp_path, capsys):
    root = tmp_path / "pairs"
    lines = []
    for n in range(6):
        dates = [scene(n), np.clip(scene(n) * 0.9, 0, 255).astype(np.uint8)]  # the same ground, darker
        for side, image in zip("AB", dates, strict=True):
            save(root / side / f"{n}.png", image)
        lines.append(f"{n}.png,{n}.png,0,{'train' if n < 4 else 'test'}\n")
    save(root / "A" / "again.png", scene(2))
    save(root / "B" / "again.png", scene(77))
    lines.append("again.png,again.png,1,test\n")
    (root / "pairs.csv").write_text("A,B,changed,split\n" + "".join(lines))
    status, told, _ = run(capsys, "data", "audit", root, "--out", tmp_path / "out")
    found = {(row["kept_name"], row["copy_name"], row["kind"]) for row in read_csv(tmp_path / "out" / "pairs.csv")}
    assert status == 0
    assert ("2.png", "again.png", "exact") in found
    assert {kept for kept, _, _ in found} == {"2.png"}, "of the other places both dates look alike"
    assert told["excluded"] == 1


def test_unreadable_images_are_named_or_left_out(tmp_path, capsys):
    for seed in range(5):
        save(tmp_path / "images" / f"{seed}.png", scene(seed))
    (tmp_path / "images" / "bad.png").write_bytes(b"no image")
    arguments = ("data", "audit", tmp_path / "images", "--out", tmp_path / "out")
    assert "bad.png is damaged or not an image" in refused(capsys, *arguments)
    status, told, said = run(capsys, *arguments, "--skip-bad")
    assert (status, told["images"], told["skipped"], told["pairs"], told["leaks"]) == (0, 5, 1, 0, 0)
    assert "skipped: " in said
    assert "No copies were found among 5 images." in said
    assert [line["row"] for line in read_csv(tmp_path / "out" / "exclude.csv")] == [""]


def test_wrong_input_is_one_line(tree, audited, tmp_path, capsys):
    out, hashes = ("--out", tmp_path / "out"), audited[0] / "hashes.npz"
    assert "is not in" in refused(capsys, "data", "audit", "mtsccd_lusc", "--data-dir", tmp_path, *out)
    assert "given by --against" in refused(capsys, "data", "audit", hashes, *out)
    assert "no hash list" in refused(capsys, "data", "audit", tree, "--against", _npz(tmp_path / "other.npz"), *out)
    assert "not a readable .npz" in refused(capsys, "data", "audit", tree, "--against", __file__, *out)
    assert "both called folder:archive" in refused(capsys, "data", "audit", tree, tree, *out)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "index.html").write_text("mine")
    assert "no report of mtsccd-jax" in refused(capsys, "data", "audit", tree, *out)


def _npz(path):
    np.savez(path, name=np.array(["a"]))
    return path
