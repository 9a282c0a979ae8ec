"""Scene rows are recomputed, and whatever was tampered with is named."""

import numpy as np
import pytest
from damaged_rows import keys, metric_keys, off, resaved
from made_up_runs import make_workdir


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """(work directory, scene row); damaged artefacts are written beside its own."""
    path = tmp_path_factory.mktemp("scenes") / "run"
    return path, make_workdir(path, share=0.03, splits=("test_a",), protocols=())[0]


def test_every_number_is_checked(made):
    workdir, row = made
    assert keys(workdir, row) == set()
    assert keys(workdir, row, metrics=off(row.metrics)) == metric_keys(row.metrics)
    assert keys(workdir, row, baseline=row.baseline | {"oa": 0.5, "name": "none"}) == {"baseline.oa", "baseline.name"}
    assert keys(workdir, row, class_names=row.class_names[::-1]) == {"class_names"}
    moved = np.add(row.confusion, np.eye(10, k=1, dtype=int) - np.eye(10, k=-1, dtype=int))
    assert keys(workdir, row, confusion=moved.tolist()) == {"confusion"}, "which still sums to n"


def test_classes_predicted_by_an_svm_are_those_of_its_largest_decision_value(made):
    workdir, row = made

    def decide(arrays):
        arrays["decision"] = np.eye(10, dtype=np.float32)[arrays["prediction"]] - 0.5

    decided = resaved(workdir, row, "predictions", decide)
    assert keys(workdir, decided) == set()

    def contradict(arrays):
        arrays["decision"][3] = -arrays["decision"][3]

    contradicted = resaved(workdir, decided, "predictions", contradict)
    assert keys(workdir, contradicted) == {"artefacts.predictions.prediction"}
