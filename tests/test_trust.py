"""What is read from disk is never run, nothing is fetched unasked, and SECURITY.md says what is trusted."""

import ast
import json
import re
import socket
import sys
import tomllib
from dataclasses import replace
from pathlib import Path

import jax
import pytest
from archive_files import write
from commands import refused, run

from mtsccd_jax.data.feature_modules import check_features
from mtsccd_jax.data.tfds_source import built_splits
from mtsccd_jax.engine.compilation import FOLDER
from mtsccd_jax.errors import InputError
from mtsccd_jax.recipes.config import Evaluation, Model
from mtsccd_jax.tasks.train import train
from tfds_builders.reading.limits import MAX_PIXELS, most_pixels, most_unpacked

ROOT = Path(__file__).parent.parent
SOURCES = [path for package in ("mtsccd_jax", "tfds_builders") for path in sorted((ROOT / package).rglob("*.py"))]
PICKLES = {
    "tfds_builders/writing/pool.py",  # pipes to workers that it started
    "tfds_builders/writing/worker.py",
    "tfds_builders/writing/beam.py",  # files with a signature of this run
    "mtsccd_jax/models/weights/torch_file.py",  # the error of PyTorch's own reader
}
OF_PICKLES = {"pickle", "_pickle", "dill", "cloudpickle", "marshal", "shelve", "joblib", "yaml"}


def calls(tree):
    """Yield the dotted name of what is called, and the call."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), node


def test_no_source_opens_pickles_or_runs_text():
    with_pickles = set()
    for path in SOURCES:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        imports = [alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names]
        imports += [node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
        if {name.partition(".")[0] for name in imports} & OF_PICKLES:
            with_pickles.add(path.relative_to(ROOT).as_posix())
        for name, call in calls(tree):
            options = {option.arg: ast.unparse(option.value) for option in call.keywords}
            assert name not in ("eval", "exec", "compile", "os.system", "os.popen", "__import__"), path
            assert options.get("shell") != "True", path
            assert name not in ("np.load", "numpy.load"), f"{path}: read_arrays reads .npz files"
            assert not name.startswith("torch.load") or options.get("weights_only") == "True", path
            assert options.get("allow_pickle", "False") == "False", path
    assert with_pickles == PICKLES


@pytest.fixture(scope="module")
def workdir(recipe, tmp_path_factory):
    small = replace(recipe, model=Model("scnn", width=0.125), evaluation=Evaluation(resamples=20))
    path = tmp_path_factory.mktemp("runs") / "run"
    train(replace(small, engine=replace(small.engine, epochs=1)), path)
    return path


@pytest.fixture
def no_network(monkeypatch):
    """Fail on any connection but to a socket of this machine's own processes."""

    def connect(self, address):
        pytest.fail(f"a connection to {address}") if self.family != socket.AF_UNIX else None

    for name in ("connect", "connect_ex"):
        monkeypatch.setattr(socket.socket, name, connect)
    monkeypatch.setattr(socket, "getaddrinfo", lambda *asked, **more: pytest.fail(f"a look-up of {asked}"))


@pytest.mark.usefixtures("no_network")
def test_nothing_is_fetched_unasked(capsys, workdir, scenes, tmp_path):
    archive = write(tmp_path / "MtSCCD")
    for command in (
        ("evaluate", workdir, "--folder", scenes, "--split", "test"),
        ("predict", workdir, scenes, "--out", tmp_path / "labels.csv"),
        ("verify", workdir),
        ("report", workdir, "--out", tmp_path / "report"),
        ("data", "check", archive),
        ("data", "build", "mtsccd_lusc", "--archive", archive, "--data-dir", tmp_path / "tfds"),
        ("audit",),
        ("explain", "scene:test", workdir),
        ("models", "--json"),
    ):
        status, _, err = run(capsys, *command)
        assert status == 0, err
    assert built_splits("mtsccd_lusc", tmp_path / "tfds")


def test_an_untrusted_work_directory_gives_no_programs(capsys, monkeypatch, workdir, scenes):
    before = jax.config.jax_compilation_cache_dir
    jax.config.update("jax_compilation_cache_dir", None)
    try:
        command = ("evaluate", workdir, "--folder", scenes, "--split", "test")
        assert run(capsys, *command, "--untrusted")[0] == 0
        assert not (workdir / FOLDER).exists()
        assert run(capsys, *command)[0] == 0
        assert (workdir / FOLDER).is_dir()
    finally:
        jax.config.update("jax_compilation_cache_dir", before)


MODULES = ("stranger_code.Feature", "os.path", "tensorflow_datasets.scripts.cli.main.X", "")


@pytest.mark.parametrize("key", ["pythonClassName", "python_class_name", "type"])
@pytest.mark.parametrize("name", MODULES)
def test_features_of_other_modules_are_not_imported(capsys, tmp_path, monkeypatch, scenes, workdir, key, name):
    (tmp_path / "stranger_code.py").write_text("raise SystemExit('run')")
    monkeypatch.syspath_prepend(tmp_path)
    place = tmp_path / "tfds" / "anything" / "1.0.0"
    place.mkdir(parents=True)
    inner = {key: name, "content": {}}
    dictionary = "tensorflow_datasets.core.features.features_dict.FeaturesDict"
    features = {"pythonClassName": dictionary, "featuresDict": {"features": {"image": inner}}}
    (place / "features.json").write_text(json.dumps(features))
    with pytest.raises(InputError, match=rf"features\.json: names '{name}', code to import; remove the data set"):
        built_splits("anything", tmp_path / "tfds")
    assert "stranger_code" not in sys.modules
    command = ("evaluate", workdir, "--dataset", "anything", "--data-dir", tmp_path / "tfds")
    assert f"names '{name}', code to import" in refused(capsys, *command)


@pytest.mark.parametrize("text", [b"[" * 100_000, b"\xff", b"{"])
def test_features_that_are_no_json_are_named(tmp_path, text):
    (tmp_path / "1.0.0").mkdir()
    (tmp_path / "1.0.0" / "features.json").write_bytes(text)
    with pytest.raises(InputError, match=r"features\.json: damaged \(.*\); remove the data set and build it again"):
        check_features(tmp_path)


def test_the_licence_of_every_dependency_is_listed():
    listed = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = {name: lines for name, lines in project["optional-dependencies"].items() if name != "test"}
    lines = [*project["dependencies"], *(line for of_extra in extras.values() for line in of_extra)]
    names = {re.split(r"[^\w.-]", line)[0] for line in lines}
    assert [name for name in sorted(names) if not re.search(rf"^\| {name} \| \w", listed, re.MULTILINE)] == []


def test_the_limits_are_those_that_are_written_down():
    text = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
    assert f"{most_pixels(0):,}, as in Pillow" in text
    assert f"{most_pixels(1 << 40):,}, as in OpenCV" in text
    assert most_unpacked(0) == (256 << 20, 65_536)
    assert most_unpacked(1 << 30) == (100 << 30, (1 << 30) // 32)
    assert f"`{MAX_PIXELS}=N`" in text
