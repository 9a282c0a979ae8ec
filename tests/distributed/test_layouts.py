"""The same numbers from one checkpoint, on eight devices of one process, of two and of four."""

import json
import shutil

import many_processes
import numpy as np
import pytest

from mtsccd_jax.report.rows import load, load_artefact

# What may differ between two rows of one result.
_OF_THE_RUN = {"times", "images_per_s", "checksums", "device"}
# Arrays of artefacts that no row is computed from, or that tell of the training alone.
_APART = {("training", "images_per_s")}


@pytest.fixture(scope="module")
def results(demo_run, run_copy, scenes, tmp_path_factory):
    """The work directory of each layout, all evaluated from one checkpoint, by the number of processes."""
    data_dir, found = demo_run[0] / "tfds", {}
    few = tmp_path_factory.mktemp("few") / "images"  # fewer than devices
    few.mkdir()
    for place, image in enumerate(sorted((scenes / "plain").iterdir())[:3]):
        shutil.copy(image, few / f"{place}.png")
    for processes in (1, 2, 4):
        workdir = tmp_path_factory.mktemp(f"by_{processes}") / "run"
        shutil.copytree(run_copy, workdir)
        cfsm = ["--method", "cfsm"] if processes == 4 else []  # each compiles for itself, on the cores of all
        commands = [
            ["evaluate", workdir, "--data-dir", data_dir, "--split", "test_a"],
            ["change", workdir, "--data-dir", data_dir, "--split", "test_b", "--objective", "balanced", *cfsm],
            ["embed", workdir, "--data-dir", data_dir, "--split", "test_b", "--out", workdir / "features.npz"],
            ["predict", workdir, few, "--out", workdir / "labels.csv"],
        ]
        if processes < 4:
            commands += [
                ["evaluate", workdir, "--data-dir", data_dir, "--split", "test_a", "--set", "scene.classifier=svm"],
                ["retrieve", workdir, "--data-dir", data_dir, "--split", "test_a"],
                ["retrieve", workdir, "--data-dir", data_dir, "--query", few / "0.png"],
                ["certainty", workdir, "--data-dir", data_dir, "--split", "test_a", "--method", "cfsm"],
            ]
        ended = many_processes.run(processes, 8 // processes, *commands)
        assert [one.status for one in ended] == [0] * processes, ended
        assert [len(one.answers()) for one in ended] == [len(commands)] + [0] * (processes - 1)
        found[processes] = workdir
    return found


def pairs_of(one, many):
    """Each row of many processes with that of one."""
    by_id = {row.id: row for row in one}
    return [(by_id[row.id], row) for row in many]


@pytest.mark.parametrize("processes", [2, 4])
def test_rows_are_equal_to_the_last_count(results, processes):
    one, many = (load(results[number]) for number in (1, processes))
    asked = ["scene", "cfsm"]
    if processes == 2:
        asked += ["cdc_1", "cdc_2", "scene", "retrieval", "cfsm_certainty"]
    assert [row.protocol for row in many] == asked
    assert any(row.threshold is not None for row in many)
    for row, other in pairs_of(one, many):
        shown = [{k: v for k, v in vars(each).items() if k not in _OF_THE_RUN} for each in (row, other)]
        assert json.dumps(shown[0], sort_keys=True) == json.dumps(shown[1], sort_keys=True)


@pytest.mark.parametrize("processes", [2, 4])
def test_saved_arrays_are_equal_to_rounding(results, processes):
    for row, other in pairs_of(*(load(results[number]) for number in (1, processes))):
        assert row.artefacts.keys() == other.artefacts.keys()
        for name in row.artefacts:
            arrays, others = (load_artefact(results[n], r, name) for n, r in ((1, row), (processes, other)))
            for key, array in arrays.items():
                if (name, key) in _APART:
                    continue
                if array.dtype.kind == "f":
                    np.testing.assert_allclose(others[key], array, rtol=1e-6, atol=1e-6, err_msg=f"{name} {key}")
                else:
                    np.testing.assert_array_equal(others[key], array, err_msg=f"{name} {key}")


@pytest.mark.parametrize("processes", [2, 4])
def test_written_files_are_equal(results, processes):
    one, many = (np.load(results[number] / "features.npz") for number in (1, processes))
    assert one.files == many.files
    for name in one.files:
        if name == "features":
            np.testing.assert_allclose(many[name], one[name], rtol=1e-5, atol=1e-5)
        else:
            np.testing.assert_array_equal(many[name], one[name])
    lines = [(results[number] / "labels.csv").read_text().splitlines() for number in (1, processes)]
    assert len(lines[0]) == 4
    assert lines[0] == lines[1]
