"""The seven layouts read the same; what names cannot tell is found; what is wrong is named."""

import zipfile

import pytest
from archive_files import CLASSES, CODES, DATES, name, pack, scenes, write

from tfds_builders.mtsccd.archive import list_archive, list_scenes, open_mtsccd, pairs_of, with_archive_cities
from tfds_builders.mtsccd.names import CITIES, City
from tfds_builders.reading.archive import ArchiveError, open_archive

TILES = 10
TEST_SETS = {"HF": "A", "NJ": "B"}
CITY_OF = {code: city for city, code in CODES.items()}


def split_of(code: str, x: int, y: int) -> str:
    return f"test{TEST_SETS[code]}" if code in TEST_SETS else ("val" if (x + y) % 5 == 4 else "train")


def layout(number: int) -> dict[str, bytes]:
    """Return the files (content only where it is read) of the archive in one of the seven layouts."""
    files: dict[str, bytes] = {}
    lists: dict[str, list[str]] = {"train.txt": [], "val.txt": [], "test.txt": []}
    for code, phase, date, x, y, c in scenes(TILES):
        english, abbreviation, chinese = CLASSES[c - 1]
        split = split_of(code, x, y)
        time = ("T1", "time1", "A", "before", "1")[x % 5].replace("1", str(phase))
        time = {"A": "AB"[phase - 1], "before": ("before", "after")[phase - 1]}.get(time, time)
        folder, form = {
            1: (f"MtSCCD_LUSC/{split}/{(str(c), f'{c:02}', english, abbreviation, chinese)[y % 5]}", str(c)),
            2: (
                "MtSCCD_LUSC/"
                + {"train": "training", "val": "validation", "testA": "test/A", "testB": f"test/{CITY_OF['NJ']}"}[split]
                + f"/{english}",
                str(c),
            ),
            3: (f"MtSCCD_LUSC/{split}", abbreviation),
            4: (f"MtSCCD_LUCD/{split}/{time}/{c}", str(c)),
            5: (f"MtSCCD_LUCD/{split}", english),
            6: (f"MtSCCD/{CITY_OF[code]}/T{phase}/{c}", str(c)),
            7: ("MtSCCD/images", str(c)),
        }[number]
        filename = name(code, date, x, y, form)
        files[f"{folder}/{filename}"] = b""
        lists[{"train": "train.txt", "val": "val.txt"}.get(split, "test.txt")].append(f"images/{filename} {c}")
    if number == 7:
        files |= {f"MtSCCD/{path}": "\n".join(lines).encode() for path, lines in lists.items()}
    return files


def listed(files: dict[str, bytes], subset: str = "lusc", **options):
    return list_scenes(sorted(files), files.__getitem__, subset=subset, **options)


@pytest.mark.parametrize("number", range(1, 8))
@pytest.mark.parametrize("subset", ["lusc", "lucd"])
def test_every_layout_reads_the_same(number, subset):
    listing = listed(layout(number), subset)
    found = {
        (s.name.city, s.phase, s.name.date, s.name.tile_x, s.name.tile_y, s.name.label + 1) for s in listing.scenes
    }
    assert found == {(CITY_OF[code], *rest) for code, *rest in scenes(TILES)}
    assert len(listing.scenes) == len(scenes(TILES))
    assert (listing.errors, listing.bad, listing.unpaired, listing.warnings) == ([], [], [], [])
    assert len(pairs_of(listing.scenes)) == 5 * TILES


@pytest.mark.parametrize(
    ("number", "subset"), [(1, "lusc"), (2, "lusc"), (3, "lusc"), (4, "lucd"), (5, "lucd"), (7, "lusc")]
)
def test_split_folders_and_lists_are_taken(number, subset):
    for scene in listed(layout(number), subset).scenes:
        split = split_of(CODES[scene.name.city], scene.name.tile_x, scene.name.tile_y)
        assert scene.split == {"train": "train", "val": "validation"}.get(split)


@pytest.mark.parametrize(("number", "subset"), [(1, "lucd"), (4, "lusc"), (6, "lusc"), (6, "lucd")])
def test_splits_of_the_other_subset_are_not_taken(number, subset):
    assert {scene.split for scene in listed(layout(number), subset).scenes} == {None}


def test_both_subsets_in_one_archive_are_kept_apart():
    files = layout(1) | layout(4)
    for subset, folder in (("lusc", "MtSCCD_LUSC/"), ("lucd", "MtSCCD_LUCD/")):
        listing = listed(files, subset)
        assert not listing.bad  # every image is there twice, but not within a sub-set
        assert all(scene.path.startswith(folder) for scene in listing.scenes)


def test_the_archive_may_be_the_subset_folder_itself():
    files = {path.removeprefix("MtSCCD_LUCD/"): data for path, data in layout(4).items()}
    assert {s.split for s in listed(files, "lucd", root_name="MtSCCD_LUCD").scenes} == {"train", "validation", None}
    assert {s.split for s in listed(files, "lusc", root_name="MtSCCD_LUCD").scenes} == {None}


def test_the_listing_order_does_not_matter():
    files = layout(1)
    backwards = list_scenes(sorted(files, reverse=True), files.__getitem__, subset="lusc")
    assert backwards.scenes == listed(files).scenes


@pytest.mark.parametrize(
    ("line", "list_name"),
    [
        ("{0},{1},0", "splits/train_pairs.csv"),
        ('"{0}";"{1}";1', "train.csv"),
        ("images\\{0}\timages\\{1}\tunchanged", "lists/TRAIN.txt"),
        ("{0} {1} 1 train", "pairs.txt"),
    ],
)
def test_list_files_of_several_forms(line, list_name):
    files = {f"images/{name(code, date, x, y, c)}": b"" for code, _, date, x, y, c in scenes(2)}
    pair = ("HZ_201310_0_0_1.jpg", "HZ_201810_0_0_2.jpg")
    files[list_name] = ("path1,path2,label\n" + line.format(*pair)).encode()
    assert {s.filename for s in listed(files, "lucd").scenes if s.split == "train"} == set(pair)


@pytest.mark.parametrize(
    "path",
    [
        "MtSCCD/wuhan/T1/1/HZ_201310_0_0_1.jpg",
        "MtSCCD/hangzhou/T2/1/HZ_201310_0_0_1.jpg",
        "MtSCCD/hangzhou/after/HZ_201310_0_0_1.jpg",
        "MtSCCD/hangzhou/T1/woodland/HZ_201310_0_0_1.jpg",
        "MtSCCD/201810/HZ_201310_0_0_1.jpg",
        "MtSCCD/testA/HZ_201310_0_0_1.jpg",
        "MtSCCD/test/HZ_201310_0_0_1.jpg",
    ],
)
def test_a_contradicting_folder_is_a_warning_and_the_name_decides(path):
    files = layout(6)
    del files["MtSCCD/hangzhou/T1/1/HZ_201310_0_0_1.jpg"]
    files[path] = b""
    listing = listed(files)
    assert len(listing.warnings) == 1
    assert path in listing.warnings[0]
    (scene,) = [s for s in listing.scenes if s.path == path]
    assert (scene.name.city, scene.phase, scene.name.label) == ("hangzhou", 1, 0)


def test_a_test_city_among_the_training_folders_is_a_warning():
    files = layout(3)
    files["MtSCCD_LUSC/train/HF_201412_90_90_1.jpg"] = b""
    assert "folder 'train' contradicts" in listed(files).warnings[0]


def test_unreadable_names_are_bad():
    files = layout(6) | {
        "MtSCCD/preview.png": b"",
        "MtSCCD/hangzhou/T1/XX_201310_1_1_1.jpg": b"",
        "README.txt": b"x.jpg",
    }
    bad = listed(files).bad
    assert [line.partition(":")[0] for line in bad] == ["MtSCCD/hangzhou/T1/XX_201310_1_1_1.jpg", "MtSCCD/preview.png"]


def test_duplicates_within_a_subset_are_bad():
    files = layout(6)
    same, other = "MtSCCD/hangzhou/T1/1/HZ_201310_0_0_1.png", "MtSCCD/hangzhou/T1/2/HZ_201310_00_01_7.jpg"
    listing = listed(files | {same: b"", other: b""})
    assert len(listing.bad) == 2
    assert all("2 files for one tile and date" in line for line in listing.bad)
    hangzhou = {(s.name.tile_x, s.name.tile_y, s.phase) for s in listing.scenes if s.name.city == "hangzhou"}
    assert (0, 0, 1) in hangzhou  # one of two that agree is kept
    assert (0, 1, 1) not in hangzhou  # classes differ: nobody knows which is right


def test_a_tile_with_one_date_is_unpaired():
    files = layout(6)
    del files["MtSCCD/wuhan/T2/2/WH_202109_0_0_2.jpg"]
    listing = listed(files, "lucd")
    assert listing.unpaired == ["MtSCCD/wuhan/T1/1/WH_201307_0_0_1.jpg: the tile's other date is missing"]
    assert (listing.bad, listing.errors) == ([], [])


def test_a_city_with_one_date_is_an_error():
    files = {path: data for path, data in layout(6).items() if "SH_201911" not in path}
    (error,) = listed(files).errors
    assert error.startswith("shanghai: only date 201007")


def test_a_third_date_is_bad_where_the_two_are_known():
    files = layout(6) | {"MtSCCD/wuhan/T1/1/WH_201801_50_50_1.jpg": b""}
    assert listed(files).bad == [
        "MtSCCD/wuhan/T1/1/WH_201801_50_50_1.jpg: date 201801, but the dates of wuhan are 201307 and 202109"
    ]
    suzhou = {f"SZ_20150{month}_1_1_1.jpg": b"" for month in (1, 2, 3)}
    (error,) = listed(files | suzhou, cities=(*CITIES, City("suzhou", "SZ"))).errors
    assert error.startswith("suzhou: 3 dates (201501, 201502, 201503)")


def test_absent_cities_and_classes_are_told():
    files = {path: data for path, data in layout(6).items() if "WH_" not in path and "HZ_201310_1_1" not in path}
    absent = listed(files).absent
    assert "wuhan: no image of this city" in absent
    assert len(absent) == 1
    few = {path: data for path, data in layout(6).items() if not path.endswith(("_3.jpg", "_10.jpg"))}
    assert "hefei: no image of class 3, 10" in listed(few).absent


def test_nothing_readable_is_an_error():
    with pytest.raises(ArchiveError, match=r"no image with a readable name; the first: a/holiday\.jpg"):
        listed({"a/holiday.jpg": b""})


@pytest.mark.parametrize("shift", [-1, 0])
def test_class_numbers_from_zero_are_an_error_unless_10_occurs(shift):
    names = [name(code, date, x, y, c + shift) for code, _, date, x, y, c in scenes(TILES)]
    listing = listed(dict.fromkeys(names, b""))
    said = [line for line in listing.errors if "count the classes from 0" in line]
    assert len(said) == (shift < 0)
    assert not [line for line in listing.bad if "class '0'" in line]
    if said:
        assert said[0].startswith("HF_201412_0_0_0.jpg: class 0, and no image has class 10")
        assert said[0].endswith(f"({sum(n.endswith('_0.jpg') for n in names)} have class 0)")


def test_a_single_class_0_is_a_bad_file():
    names = [name(code, date, x, y, c) for code, _, date, x, y, c in scenes(TILES)]
    listing = listed(dict.fromkeys([*names, "HZ_201310_9_9_0.jpg"], b""))
    assert (listing.errors, len(listing.bad)) == ([], 1)
    with pytest.raises(ArchiveError, match="count the classes from 0"):
        listed({"HZ_201310_9_9_0.jpg": b""})


def test_a_text_called_like_an_image_is_no_list():
    files = layout(6)
    notes = {path.replace(".jpg", ".txt"): b"" for path in files}
    read = []
    list_scenes([*files, *notes, "MtSCCD/train.txt"], lambda path: read.append(path) or b"", subset="lusc")
    assert read == ["MtSCCD/train.txt"]


def test_packed_files_in_the_archive_are_named(tmp_path):
    for city in ("hefei", "wuhan"):
        write(tmp_path / city, 1)
        pack(tmp_path / city, tmp_path / "cities" / "MtSCCD" / f"{city}.zip")
    pack(tmp_path / "cities", tmp_path / "nested.zip")
    with pytest.raises(ArchiveError, match=r"nested\.zip: 'MtSCCD/hefei\.zip' is packed in it; unpack both"):
        open_mtsccd(tmp_path / "nested.zip")
    files = layout(6) | {"MtSCCD/more/wuhan.rar": b""}
    assert listed(files).warnings == ["MtSCCD/more/wuhan.rar: packed, and passed over; unpack it where it lies"]


def test_missing_and_empty_archives_say_what_to_do(tmp_path):
    hint = r"sites\.google\.com/view/zhouwx/dataset \(the paper prints .*zhouxw"
    with pytest.raises(ArchiveError, match=f"no such archive; .*{hint}"):
        open_mtsccd(tmp_path / "missing")
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "notes.txt").write_text("nothing")
    with pytest.raises(ArchiveError, match=f"holds no image; .*{hint}"):
        open_mtsccd(tmp_path / "empty")


def test_a_shared_folder_gives_only_what_is_called_mtsccd(tmp_path):
    write(tmp_path, 1)
    (tmp_path / "imagenet").mkdir()
    (tmp_path / "imagenet" / "n01440764_10026.JPEG").write_bytes(b"")
    with zipfile.ZipFile(tmp_path / "mtsccd_extra.zip", "w") as packed:
        packed.writestr("HZ_201310_9_9_1.jpg", b"")
    (tmp_path / "cities.toml").write_text('[[city]]\nname = "suzhou"\nrole = "train"\n')
    archive = open_mtsccd(tmp_path, shared_folder=True)
    assert len([n for n in archive.names if n.endswith(".jpg")]) == 11
    assert not any("imagenet" in n for n in archive.names)
    assert with_archive_cities(CITIES, archive)[-1].name == "suzhou"
    assert len(open_mtsccd(tmp_path).names) == 13


def test_cities_toml_beside_or_inside_the_archive(tmp_path):
    root = write(tmp_path / "archive", 1)
    text = '[[city]]\nname = "suzhou"\ncode = "SZ"\nrole = "test"\n'
    (tmp_path / "cities.toml").write_text(text)
    assert with_archive_cities(CITIES, open_archive(root))[-1] == City("suzhou", "SZ", role="test_suzhou")
    (root / "MtSCCD" / "cities.toml").write_text(text)
    with pytest.raises(ArchiveError, match=r"more than one cities\.toml"):
        with_archive_cities(CITIES, open_archive(root))
    (tmp_path / "cities.toml").unlink()
    assert with_archive_cities(CITIES, open_archive(root))[-1].name == "suzhou"
    (root / "MtSCCD" / "cities.toml").write_text('[[city]]\nname = "hefei"\nrole = "train"\n')
    with pytest.raises(ArchiveError, match=r"cities\.toml: city 'hefei' is the split test_a"):
        with_archive_cities(CITIES, open_archive(root))


def test_the_packed_archive_reads_like_the_folder(tmp_path):
    root = write(tmp_path / "MtSCCD_LUSC", 2)
    packed = pack(root, tmp_path / "other.zip")
    assert list_archive(open_archive(packed), "lusc").scenes == list_archive(open_archive(root), "lusc").scenes
    assert len(list_archive(open_archive(packed), "lucd").scenes) == 2 * 2 * len(DATES)
