"""Laws of every build, data set by data set: who reads it, what is refused, and what does not change its bytes."""

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import bigearthnet_v1_files
import bigearthnet_v2_files
import mlrsnet_files
import numpy as np
import pytest
import tensorflow_datasets as tfds
from archive_files import write

from tfds_builders import BUILDERS, ArchiveError, build
from tfds_builders.catalog import DATA_SETS, TITLES


@dataclass(frozen=True)
class Case:
    """A data set with a small archive; `change` makes another archive of it, `empty` leaves a split without images."""

    data_set: str
    config: str
    write: Callable[[Path], Path]
    change: Callable[[Path], object]
    empty: Callable[[Path], object]
    splits: dict[str, int]


def lose(pattern: str) -> Callable[[Path], None]:
    """Return a function that removes what `pattern` finds below a folder."""

    def remove(root: Path) -> None:
        found = list(root.glob(pattern))
        assert found
        for path in found:
            shutil.rmtree(path) if path.is_dir() else path.unlink()

    return remove


def relabel(root: Path) -> None:
    rows = bigearthnet_v2_files.rows(recommended=True)
    rows[0]["labels"] = ["Pastures"]
    bigearthnet_v2_files.write_table(root / bigearthnet_v2_files.RECOMMENDED, rows)


def without_test_rows(root: Path) -> None:
    rows = [row for row in bigearthnet_v2_files.rows(recommended=True) if row["split"] != "test"]
    bigearthnet_v2_files.write_table(root / bigearthnet_v2_files.RECOMMENDED, rows)


def other_label(root: Path) -> None:
    cells = mlrsnet_files.rows("park", 8)
    cells[2][9] = str(1 - int(cells[2][9]))
    mlrsnet_files.write_csv(root / "labels" / "park.csv", cells)


CASES = [
    Case(
        "mtsccd_lusc",
        "official",
        lambda root: write(root, 10),
        lambda root: write(root, 11),
        lose("**/HF_*.jpg"),
        {"train": 51, "validation": 9, "test_a": 20, "test_b": 20},
    ),
    Case(
        "mtsccd_lucd",
        "paired",
        lambda root: write(root, 10),
        lambda root: write(root, 11),
        lose("**/NJ_*.jpg"),
        {"train": 24, "validation": 6, "test_a": 10, "test_b": 10},
    ),
    Case(
        "bigearthnet_v1",
        "rgb_19",
        bigearthnet_v1_files.write,
        lose("BigEarthNet-v1.0/S2A_MSIL2A_20170701T093031_0_0"),
        lose("BigEarthNet-v1.0/S2B_MSIL2A_20180204T94161_57_38"),
        {"train": 3, "validation": 1, "test": 1},
    ),
    Case(
        "bigearthnet_v2",
        "official",
        bigearthnet_v2_files.write,
        relabel,
        without_test_rows,
        {"train": 3, "validation": 2, "test": 2},
    ),
    Case(
        "mlrsnet",
        "official",
        mlrsnet_files.write_mlrsnet,
        other_label,
        lose("Images/*/*.jpg"),
        {"train": 16, "validation": 4, "test": 20},
    ),
]


@pytest.fixture(scope="module", params=CASES, ids=lambda case: case.data_set)
def case(request) -> Case:
    return request.param


@pytest.fixture(scope="module")
def archive(case, tmp_path_factory) -> Path:
    return case.write(tmp_path_factory.mktemp("archive") / "archive")


@pytest.fixture(scope="module")
def built(case, archive, tmp_path_factory) -> Path:
    """The folder of a build by two processes."""
    data_dir = tmp_path_factory.mktemp("data")
    seen: list[tuple[int, int]] = []
    result = build(
        case.data_set,
        archive=archive,
        data_dir=data_dir,
        config=case.config,
        workers=2,
        progress=lambda done, total: seen.append((done, total)),
    )
    assert (result.splits, result.skipped, result.absent) == (case.splits, [], 0)
    assert seen == sorted(seen)
    assert seen[-1] == (sum(case.splits.values()),) * 2
    return data_dir


def test_both_calls_read_the_same_examples(case, built):
    name = f"{case.data_set}/{case.config}"
    for split, examples in case.splits.items():
        by_tf = list(tfds.as_numpy(tfds.load(name, split=split, data_dir=built)))
        source = tfds.data_source(name, split=split, data_dir=built)
        assert len(by_tf) == len(source) == examples
        for one, other in zip(by_tf, source, strict=True):
            assert one.keys() == other.keys()
            for field in one:
                if not field.startswith("image"):  # JPEG is decoded by two libraries
                    np.testing.assert_array_equal(one[field], other[field])


def test_the_number_of_processes_does_not_change_a_byte(case, archive, built, tmp_path):
    build(case.data_set, archive=archive, data_dir=tmp_path, config=case.config, workers=1)
    made = sorted(built.rglob("*record-*"))
    assert len(made) == 2 * len(case.splits)
    for path in made:
        assert path.read_bytes() == (tmp_path / path.relative_to(built)).read_bytes()


def test_building_again_keeps_the_data_but_only_of_the_same_archive(case, archive, built, tmp_path, capsys):
    options = {"data_dir": built, "config": case.config, "workers": 1}
    (info,) = built.rglob("dataset_info.json")
    written = info.stat().st_mtime_ns
    assert build(case.data_set, archive=archive, **options).splits == case.splits
    assert info.stat().st_mtime_ns == written
    shutil.copytree(archive, tmp_path / "other")
    case.change(tmp_path / "other")
    with pytest.raises(ArchiveError, match=r"built from another archive; remove it"):
        build(case.data_set, archive=tmp_path / "other", **options)
    assert capsys.readouterr().out == ""


def test_litter_notes_and_the_data_themselves_make_no_other_archive(case, archive, built, tmp_path):
    root = shutil.copytree(archive, tmp_path / "archive")
    for folder in [root, *(path for path in root.rglob("*") if path.is_dir())]:
        for litter in ("README.txt", "Thumbs.db", "._a.jpg", "a.tif.aux.xml"):
            (folder / litter).write_text("x")
    (root / "NOTES.txt").write_text("downloaded on Monday")
    shutil.copytree(built, root / "tfds")
    options = {"config": case.config, "workers": 1}
    assert build(case.data_set, archive=root, data_dir=root / "tfds", **options).splits == case.splits
    assert build(case.data_set, archive=root, data_dir=tmp_path / "anew", **options).splits == case.splits


def test_an_empty_split_is_an_error_even_when_skipping(case, archive, tmp_path):
    shutil.copytree(archive, tmp_path / "archive")
    case.empty(tmp_path / "archive")
    options = {"archive": tmp_path / "archive", "data_dir": tmp_path / "data", "config": case.config, "workers": 1}
    with pytest.raises(ArchiveError, match=r"split '\w+' would be empty; is a part of the archive missing"):
        build(case.data_set, skip_bad=True, **options)
    assert not list((tmp_path / "data").rglob("1.0.0*"))


def test_a_missing_archive_says_where_to_get_it(case, tmp_path):
    title = TITLES[case.data_set].partition(" ")[0]
    with pytest.raises(ArchiveError, match=f"missing: no such archive; download {title}"):
        build(case.data_set, archive=tmp_path / "missing", data_dir=tmp_path)
    with pytest.raises(ArchiveError, match=rf"no archive given\. Manual directory .* download {title}"):
        tfds.builder(case.data_set, data_dir=tmp_path / "none").download_and_prepare()


def test_unknown_configurations_and_data_sets_are_refused(case, archive, tmp_path):
    with pytest.raises(ArchiveError, match=f"{case.data_set}: unknown configuration 'pairs'; it has official, "):
        build(case.data_set, archive=archive, data_dir=tmp_path, config="pairs")
    with pytest.raises(ArchiveError, match=r"unknown data set 'mtsccd'; known are .*, mtsccd_lucd, mtsccd_lusc"):
        build("mtsccd", archive=archive, data_dir=tmp_path)


def test_the_info_describes_features_and_source(case, built):
    builder = tfds.builder(f"{case.data_set}/{case.config}", data_dir=built)
    assert builder.info.metadata["generated"] is False
    (features,) = built.rglob("features.json")
    assert set(json.loads(features.read_text())["featuresDict"]["features"]) == set(builder.info.features)


@pytest.mark.parametrize("name", DATA_SETS)
def test_the_builders_are_complete_dataset_folders(name):
    builder_cls = BUILDERS[name]
    metadata = builder_cls.get_metadata()
    assert builder_cls.name == name
    assert TITLES[name].partition(" ")[0] in metadata.description
    assert "@" in metadata.citation
    assert metadata.tags
    assert set(metadata.tags) <= set(tfds.core.dataset_metadata.valid_tags())
    configs = list(builder_cls.builder_configs.values())
    assert configs[0].name == "official"
    assert len(configs) > 1
    for config in configs:
        assert config.description
        assert f"`{config.name}`" in metadata.description
