"""One city left out after the other: networks, rows, what is kept, and the page."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest

from mtsccd_jax.cli import main
from mtsccd_jax.data.sources import open_pairs, open_source
from mtsccd_jax.errors import InputError
from mtsccd_jax.recipes.config import Data, Engine, Evaluation, Model, Optim, Recipe, essentials, to_dict
from mtsccd_jax.recipes.experiment import Experiment
from mtsccd_jax.report import rows
from mtsccd_jax.tasks.shift.leave_one_out import reproduce_by_city, sum_up

CITIES = ("hangzhou", "shanghai", "wuhan", "nanjing", "hefei")


@pytest.fixture(scope="module")
def tiny(demo_run):
    recipe = Recipe(
        name="tiny",
        summary="for tests",
        data=Data(data_dir=str(demo_run[0] / "tfds"), image_size=16, input="stream"),  # all share one program
        model=Model("scnn", width=0.125),
        optim=Optim("adamw", learning_rate=2e-3),
        engine=Engine(batch_size=64, epochs=1, eval_batch_size=64, validate=False),
        evaluation=Evaluation(resamples=20),
    )
    return Experiment(recipe, ("scene", "cfsm"))


@pytest.fixture(scope="module")
def whole(tiny, tmp_path_factory):
    root = tmp_path_factory.mktemp("by city") / "runs"
    return root, reproduce_by_city([tiny], root)


def shift_rows(root):
    return {row.protocol: row for row in rows.load(root / "by_city" / "tiny-0")}


def test_every_city_is_left_out_and_judged(whole):
    root, result = whole
    assert (result.rows, result.done, result.failures) == (5 * 5 * 2 + 2, 5 * 5 * 2 + 2, ())
    assert sorted(path.name for path in root.iterdir() if path.is_dir() and path.name != "by_city") == sorted(
        f"tiny_without_{city}-0" for city in CITIES
    )
    for city in CITIES:
        found = rows.load(root / f"tiny_without_{city}-0")
        assert {(row.protocol, row.split) for row in found} == {
            (protocol, f"test_{name}") for protocol in ("scene", "cfsm") for name in CITIES
        }
        assert {row.recipe["data"]["leave_out"] for row in found} == {city}
        assert {row.published for row in found} == {None}, "a test split of ours is none of the paper's"


@pytest.mark.parametrize("protocol", ["scene", "cfsm"])
def test_the_summary_holds_the_predictions_of_all(whole, tiny, protocol):
    root, _ = whole
    row = shift_rows(root)[f"{protocol}_shift"]
    arrays = rows.load_artefact(root / "by_city" / "tiny-0", row, "predictions")
    assert (row.class_names, row.split, row.generated) == (list(CITIES), "every_city", True)
    assert essentials(row.recipe) == essentials(to_dict(tiny.recipe))
    open_split, (truth, predicted) = {
        "scene": (open_source, ("label", "prediction")),
        "cfsm": (open_pairs, ("changed", "predicted")),
    }[protocol]
    for c, city in enumerate(CITIES):
        inside = arrays["city"] == c
        source = open_split(replace(tiny.recipe.data, leave_out=city), f"test_{city}")
        np.testing.assert_array_equal(arrays["truth"][inside], source.column(truth))
        for f, left_out in enumerate(CITIES):
            workdir = root / f"tiny_without_{left_out}-0"
            own = next(r for r in rows.load(workdir) if (r.protocol, r.split) == (protocol, f"test_{city}"))
            made = rows.load_artefact(workdir, own, "predictions")
            np.testing.assert_array_equal(arrays["predicted"][f, inside], made[predicted])
            if left_out == city:
                name = f"out_of_city_kappa_{city}"
                assert row.metrics[name]["value"] == pytest.approx(own.metrics["kappa"]["value"], abs=1e-12)


def test_what_is_there_is_kept_and_what_changed_is_made_again(whole, tiny):
    root, _ = whole
    before = {path: path.read_bytes() for path in root.rglob("rows.jsonl")}
    assert reproduce_by_city([tiny], root).done == 52
    assert {path: path.read_bytes() for path in root.rglob("rows.jsonl")} == before
    place = root / "by_city" / "tiny-0" / "rows.jsonl"
    first, second = place.read_text().splitlines()
    place.write_text(first + "\n")
    assert len(list(sum_up(tiny, CITIES, root))) == 2
    again = shift_rows(root)
    assert again.keys() == {"scene_shift", "cfsm_shift"}
    assert again[json.loads(second)["protocol"]].metrics == json.loads(second)["metrics"]


def test_rows_of_another_objective_are_no_part_of_it(whole, tiny, tmp_path):
    root = shutil.copytree(whole[0], tmp_path / "copy")
    workdir = root / "tiny_without_hefei-0"
    row = next(row for row in rows.load(workdir) if (row.protocol, row.split) == ("cfsm", "test_hefei"))
    rows.append(workdir, replace(row, id="0" * 16, objective="oa", artefacts={}))
    assert list(sum_up(tiny, CITIES, root)) == list(shift_rows(whole[0]).values())


def test_verify_recomputes_the_summary(whole, capsys):
    root, _ = whole
    assert main(["verify", str(root / "by_city"), "-q"]) == 0
    assert json.loads(capsys.readouterr().out)["mismatches"] == 0
    place = root / "by_city" / "tiny-0" / "rows.jsonl"
    kept = place.read_bytes()
    value = json.loads(kept.splitlines()[0])["metrics"]["gap_oa"]["value"]
    place.write_bytes(kept.replace(f'"gap_oa":{{"value":{value}'.encode(), b'"gap_oa":{"value":0.987', 1))
    try:
        assert main(["verify", str(root / "by_city"), "-q"]) == 3
        keys = {difference["key"] for difference in json.loads(capsys.readouterr().out)["differences"]}
        assert "metrics.gap_oa.value" in keys
    finally:
        place.write_bytes(kept)


def test_the_page_shows_the_gap_and_not_every_network(whole, tmp_path):
    root, _ = whole
    assert main(["report", str(root), "--out", str(tmp_path), "-q"]) == 0
    page = (tmp_path / "index.html").read_text()
    assert "In a city it has not seen" in page
    assert "Scene classification in a city that the network has not seen: overall accuracy" in page
    assert "CFSM in a city that the network has not seen: kappa" in page
    assert "without Hefei" in page
    assert "tiny_without_hefei" not in page
    assert main(["report", str(root / "tiny_without_hefei-0"), "--out", str(tmp_path / "one"), "-q"]) == 0
    assert "tiny_without_hefei" in (tmp_path / "one" / "index.html").read_text()


def test_data_without_cities_are_refused(tiny, tmp_path, capsys):
    import cv2

    for split in ("train", "validation", "test"):
        (tmp_path / split / "class").mkdir(parents=True)
        cv2.imwrite(str(tmp_path / split / "class" / "1.png"), np.zeros((8, 8, 3), np.uint8))
    data = replace(tiny.recipe.data, folder=str(tmp_path), dataset=None)
    with pytest.raises(InputError, match="to leave a city out, scenes need the fields city"):
        reproduce_by_city([replace(tiny, recipe=replace(tiny.recipe, data=data))], tmp_path / "runs")
    assert main(["reproduce", "mlrsnet", "--leave-one-city-out", "-q"]) == 2
    assert "--leave-one-city-out: belongs to the tables of MtSCCD" in capsys.readouterr().err
