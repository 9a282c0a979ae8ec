"""The matrix: what it asks for, that nothing is done twice, and what a kill or a failure leaves."""

import shutil
from dataclasses import replace

import pytest
from made_up_rows import results

from mtsccd_jax.cli import main
from mtsccd_jax.cli.reproduce import init_file
from mtsccd_jax.data.bands import channels, statistics
from mtsccd_jax.errors import InputError, RunError
from mtsccd_jax.recipes import EXPERIMENTS
from mtsccd_jax.recipes.config import Change, Data, Engine, Evaluation, Model, Optim, Recipe, Scene, Similarity
from mtsccd_jax.recipes.experiment import Experiment, stand_in
from mtsccd_jax.report import published, rows
from mtsccd_jax.report.published import labels, tables
from mtsccd_jax.report.workdirs import FAILURES_FILE, Failure, failures
from mtsccd_jax.tasks import reproduce as matrix
from mtsccd_jax.tasks.change import evaluate as change
from mtsccd_jax.tasks.reproduce import missing, reproduce


@pytest.fixture(scope="module")
def tuned(demo_run):
    """A tiny network that fills rows of both tables."""
    recipe = Recipe(
        name="tiny",
        summary="for tests",
        data=Data(data_dir=str(demo_run[0] / "tfds"), image_size=32),
        model=Model("scnn", width=0.125),
        optim=Optim("adamw", learning_rate=2e-3),
        engine=Engine(batch_size=64, epochs=1, eval_batch_size=64, validate=False),
        scene=Scene("svm", c=(0.1,)),
        change=Change(words=8, descriptors=2000),
        evaluation=Evaluation(resamples=20),
    )
    return Experiment(recipe, ("scene", "cdc_1", "cdc_2", "cfsm"))


@pytest.fixture(scope="module")
def learned(tuned):
    """A tiny network that learns the similarity of pairs."""
    model = replace(tuned.recipe.model, task="similarity")
    recipe = replace(tuned.recipe, name="tiny_sscd", model=model, similarity=Similarity(width=8))
    return Experiment(recipe, ("sscd",))


@pytest.fixture(scope="module")
def whole(tuned, learned, tmp_path_factory):
    """The matrix of both, run without a break."""
    root = tmp_path_factory.mktemp("matrix") / "whole"
    result = reproduce([tuned, learned], root)
    return root, result


def rows_of(root):
    """Every row below a folder by id."""
    return {row.id: row for workdir in sorted(root.iterdir()) if workdir.is_dir() for row in rows.load(workdir)}


def test_the_tables_of_the_paper_are_asked_for():
    """Table 6: twelve networks. Table 7: its 23 entries, and similarity learning on three more networks."""
    scenes, change = EXPERIMENTS["table6"], EXPERIMENTS["table7"]
    assert [tables.paper_name(item.recipe.model.name) for item in scenes] == list(tables.TABLE_6)
    entries = [(protocol, tables.paper_name(item.recipe.model.name)) for item in change for protocol in item.protocols]
    assert set(tables.TABLE_7) <= set(entries)
    assert len(entries) == len(set(entries)) == len(tables.TABLE_7) + 3
    assert {protocol for protocol, network in set(entries) - set(tables.TABLE_7)} == {"sscd"}
    trained = EXPERIMENTS["all"]
    assert len(trained) == len({item.recipe.name for item in trained}) == 16
    assert sum(len(item.protocols) for item in trained) == 12 + 26


def test_a_stand_in_is_no_network_of_the_paper():
    for item in EXPERIMENTS["all"]:
        small = stand_in(item.recipe)
        assert (small.name, small.model.init) == (f"{item.recipe.name}_stand_in", None)
        assert (small.scene, small.model.task) == (item.recipe.scene, item.recipe.model.task)
        assert tables.paper_name(small.model.name, small.model.width) is None


def test_every_published_row_of_several_labels_has_a_recipe():
    """Three networks of BigEarthNet v1 on two splits, seven of reBEN on three modalities, eight of MLRSNet on three."""
    sizes = {name: len(EXPERIMENTS[name]) for name in ("bigearthnet_v1", "bigearthnet_v2", "mlrsnet")}
    assert sizes == {"bigearthnet_v1": 3 * 2, "bigearthnet_v2": 7 * 3, "mlrsnet": 8 * 3}
    found = set()
    for name in sizes:
        for item in EXPERIMENTS[name]:
            data, model = item.recipe.data, item.recipe.model
            dataset = data.dataset if "/" in data.dataset else f"{data.dataset}/{data.config}"
            assert item.protocols == ("multilabel",)
            assert model.task == "labels"
            assert channels(data) == len(statistics(data)[0])
            if value := published.multilabel(dataset, model.name, data.bands):
                found.add((value.source, value.model, tuple(value.metrics.items())))
            small = stand_in(item.recipe)
            assert (small.data, small.model.hidden, small.model.task) == (data, model.hidden, "labels")
            assert published.multilabel(dataset, small.model.name, data.bands, small.model.width) is None
    expected = {
        (source.name, entry.model, tuple(entry.metrics.items()))
        for source in labels.SOURCES
        for entry in source.entries
        if not entry.repeated
    }
    assert found == expected


def test_options_of_mtsccd_are_refused_for_other_tables(tmp_path, capsys):
    for option in (["--split", "paired"], ["--folder", str(tmp_path)], ["--pairs", str(tmp_path)]):
        assert main(["reproduce", "mlrsnet", *option, "-q"]) == 2
        assert f"{option[0]}: belongs to the tables of MtSCCD" in capsys.readouterr().err
    assert main(["reproduce", "bigearthnet_v2", "--only", "resnet5", "-q"]) == 2
    assert "--only resnet5: could be resnet50, " in capsys.readouterr().err


def test_every_row_is_there_and_is_found_again(whole, tuned, learned, monkeypatch):
    root, result = whole
    assert (result.rows, result.done, result.failures) == (3 + 2 + 2 + 2 + 2, 11, ())
    assert sorted(path.name for path in root.iterdir()) == ["tiny-0", "tiny_sscd-0"]
    found = {(row.protocol, row.split) for row in rows_of(root).values()}
    assert ("cdc_2", "test_b") in found
    assert len(found) == 11
    monkeypatch.setattr(matrix, "train", lambda *arguments, **options: pytest.fail("trained again"))
    assert reproduce([tuned, learned], root) == result
    workdir, fingerprint = root / "tiny-0", matrix._fingerprint

    def left(recipe):
        return missing(replace(tuned, recipe=recipe), workdir, fingerprint)

    assert left(tuned.recipe) == []
    assert len(left(replace(tuned.recipe, change=replace(tuned.recipe.change, words=9)))) == 9
    assert len(left(replace(tuned.recipe, model=replace(tuned.recipe.model, init="a/b.pth")))) == 9
    assert len(missing(tuned, workdir, lambda data, protocol, split: f"other {split}")) == 9


def test_a_matrix_that_is_killed_ends_with_the_same_rows(whole, tuned, learned, tmp_path, monkeypatch):
    """Killed while it writes a row, its artefacts written already."""
    root, kept = tmp_path / "killed", 4
    shutil.copytree(whole[0] / "tiny-0", root / "tiny-0")  # trained, and so many rows written
    file = root / "tiny-0" / rows.ROWS_FILE
    file.write_bytes(b"".join(file.read_bytes().splitlines(keepends=True)[:kept]))
    append, written = rows.append, []

    def killed(workdir, row):
        if written:
            raise KeyboardInterrupt
        written.append(row.id)
        append(workdir, row)

    monkeypatch.setattr(rows, "append", killed)
    with pytest.raises(KeyboardInterrupt):
        reproduce([tuned, learned], root)
    monkeypatch.setattr(rows, "append", append)
    assert len(rows_of(root)) == kept + 1
    reproduce([tuned, learned], root)
    expected, found = rows_of(whole[0]), rows_of(root)
    assert results(found.values()) == results(expected.values())


def test_what_fails_is_written_down_and_the_rest_goes_on(whole, tuned, learned, tmp_path, monkeypatch):
    root = tmp_path / "failing"
    shutil.copytree(whole[0], root)
    for workdir in root.iterdir():
        (workdir / rows.ROWS_FILE).unlink()
    cdc_2 = change.cdc_2

    def failing(cache, split):
        raise RunError("the SVM did\nnot converge")

    monkeypatch.setattr(change, "cdc_2", failing)
    result = reproduce([tuned, learned], root)
    reason = "the SVM did not converge"
    expected = tuple(Failure("tiny", "cdc_2", split, 0, reason) for split in ("test_a", "test_b"))
    assert result.failures == expected
    assert (result.rows, result.done) == (11, 9)
    assert tuple(failures(root)) == expected
    assert reproduce([learned], root).failures == ()
    assert tuple(failures(root)) == expected  # not forgotten where another network is run
    monkeypatch.setattr(change, "cdc_2", cdc_2)
    assert reproduce([tuned, learned], root).done == 11
    assert not (root / FAILURES_FILE).exists()


def test_other_training_options_are_refused_before_anything_is_touched(whole, tuned, learned, tmp_path):
    root = shutil.copytree(whole[0], tmp_path / "trained")
    other = replace(tuned, recipe=replace(tuned.recipe, optim=Optim("adamw", learning_rate=1e-3)))
    with pytest.raises(InputError, match=r"tiny-0: holds another run; differing: optim\.learning_rate"):
        reproduce([learned, other], root)
    assert not (root / FAILURES_FILE).exists()


def test_both_splits_lie_in_one_folder(tuned, tmp_path):
    paired = replace(tuned.recipe, data=replace(tuned.recipe.data, config="paired"))
    assert matrix.work_directory(tuned.recipe, tmp_path).name == "tiny-0"
    assert matrix.work_directory(paired, tmp_path).name == "tiny-paired-0"


def test_a_network_that_cannot_be_trained_fails_all_its_rows(tuned, tmp_path):
    recipe = replace(tuned.recipe, model=replace(tuned.recipe.model, init=str(tmp_path / "alexnet.pth")))
    result = reproduce([replace(tuned, recipe=recipe)], tmp_path / "root")
    assert (result.rows, result.done, len(result.failures)) == (9, 0, 9)
    assert {failure.reason for failure in result.failures} == {
        f"{tmp_path}/alexnet.pth: no such weight file; give a .safetensors, a .pth or hf:OWNER/NAME"
    }


def test_data_that_cannot_be_read_end_the_matrix_at_once(tuned, tmp_path):
    nowhere = replace(tuned.recipe, data=replace(tuned.recipe.data, data_dir=str(tmp_path)))
    with pytest.raises(InputError, match="mtsccd-jax data build mtsccd_lusc"):
        reproduce([replace(tuned, recipe=nowhere)], tmp_path / "root")


def test_published_weights_are_found_by_the_name_of_the_network(tmp_path):
    for name in ("vgg16-397923af.pth", "vgg16_bn-6c64b313.pth", "resnet50.a1_in1k.safetensors", "resnet50.txt"):
        (tmp_path / name).touch()
    assert init_file(tmp_path, "resnet50").name == "resnet50.a1_in1k.safetensors"
    assert init_file(tmp_path, "alexnet").name == "alexnet.safetensors"  # which is not there, and said so when read
    with pytest.raises(InputError, match=r"vgg16-397923af\.pth, vgg16_bn-6c64b313\.pth could all be vgg16"):
        init_file(tmp_path, "vgg16")
    (tmp_path / "vgg16.safetensors").touch()
    assert init_file(tmp_path, "vgg16").name == "vgg16.safetensors"
    with pytest.raises(InputError, match="no such folder"):
        init_file(tmp_path / "nothing", "vgg16")
