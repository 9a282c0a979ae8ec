"""What torchmetrics would print, against torchmetrics itself: skipped where it is not installed."""

import contextlib
import importlib.util
import warnings

import numpy as np
import pytest
from predicted_rows import certainty_evidence, change_evidence, label_evidence, scene_evidence, search_evidence

from mtsccd_jax.report.meaning.definitions import TORCHMETRICS, pattern
from mtsccd_jax.tasks.certainty.definitions import DEFINITIONS as CERTAINTY
from mtsccd_jax.tasks.certainty.definitions import truth_of
from mtsccd_jax.tasks.change.definitions import DEFINITIONS as CHANGE
from mtsccd_jax.tasks.labels.definitions import DEFINITIONS as LABELS
from mtsccd_jax.tasks.scenes.definitions import DEFINITIONS as SCENES
from mtsccd_jax.tasks.search.definitions import DEFINITIONS as SEARCH


@pytest.fixture(scope="module")
def library():
    """The library, which imports torchvision where that is installed."""
    if not importlib.util.find_spec("torchmetrics"):
        pytest.skip(
            "torchmetrics is not installed: pip install torch && pip install --no-deps torchmetrics lightning-utilities"
        )
    import torch_reference

    with warnings.catch_warnings(), contextlib.suppress(ImportError):
        warnings.simplefilter("ignore")
        torch_reference.import_torchvision()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import torchmetrics
    return torchmetrics


def computed(metric, *arrays):
    """The value of a metric of torchmetrics on predictions, truth and what else it takes."""
    import torch

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return float(metric(*map(torch.from_numpy, arrays)).mean())


def found(table, evidence):
    """(metric of ours, name there) -> value, of torchmetrics and of ConfigILM, which calls it."""
    names = {pattern(evidence.row, name): name for name in evidence.row.metrics}
    peers = [peer for peer in table.peers if TORCHMETRICS in peer.who and evidence.row.dataset.startswith(peer.dataset)]
    return {(peer.metric, peer.name): peer.value(evidence, names[peer.metric]) for peer in peers}


def test_scenes(library):
    of = library.classification
    evidence = scene_evidence()
    pair = evidence.arrays["prediction"], evidence.arrays["label"]
    expected = {
        ("oa", "MulticlassAccuracy(num_classes)"): of.MulticlassAccuracy(6),
        ("oa", 'MulticlassAccuracy(average="micro")'): of.MulticlassAccuracy(6, average="micro"),
        ("kappa", "MulticlassCohenKappa"): of.MulticlassCohenKappa(6),
        ("f1", "MulticlassF1Score(num_classes)"): of.MulticlassF1Score(6),
        ("balanced", 'MulticlassRecall(average="macro")'): of.MulticlassRecall(6, average="macro"),
    }
    real = {name: computed(metric, *pair) for name, metric in expected.items()}
    assert found(SCENES, evidence) == pytest.approx(real, abs=1e-6)


def test_change(library):
    of = library.classification
    evidence = change_evidence()
    pair = evidence.arrays["predicted"].astype(int), evidence.arrays["changed"].astype(int)
    expected = {
        ("oa", "BinaryAccuracy"): of.BinaryAccuracy(),
        ("oa", "MulticlassAccuracy(num_classes=2)"): of.MulticlassAccuracy(2),
        ("kappa", "BinaryCohenKappa"): of.BinaryCohenKappa(),
        ("f1", "BinaryF1Score"): of.BinaryF1Score(),
        ("f1", "MulticlassF1Score(num_classes=2)"): of.MulticlassF1Score(2),
    }
    real = {name: computed(metric, *pair) for name, metric in expected.items()}
    assert found(CHANGE, evidence) == pytest.approx(real, abs=1e-6)


def test_labels(library):
    of = library.classification
    evidence = label_evidence()
    pair = evidence.arrays["probability"], evidence.arrays["label"].astype(int)
    macro = {"task": "multilabel", "num_labels": 7, "average": "macro"}
    micro = macro | {"average": "micro"}
    of_images = library.F1Score(**micro, multidim_average="samplewise")
    samplewise = 'MultilabelF1Score(average="micro", multidim_average="samplewise"), mean'
    expected = {
        ("ap_macro", "MultilabelAveragePrecision(num_labels)"): of.MultilabelAveragePrecision(7),
        ("ap_macro", "AveragePrecision, macro"): library.AveragePrecision(**macro),
        ("f1_macro", "MultilabelF1Score(num_labels)"): of.MultilabelF1Score(7),
        ("f1_macro", "F1Score, macro"): library.F1Score(**macro),
        ("f1_micro", 'MultilabelF1Score(average="micro")'): of.MultilabelF1Score(7, average="micro"),
        ("f1_micro", "F1Score, micro"): library.F1Score(**micro),
        # It wants a third axis.
        ("f1_samples", samplewise): lambda *nk: of_images(*(array[:, :, None] for array in nk)),
        ("subset_accuracy", "MultilabelExactMatch"): of.MultilabelExactMatch(7),
        ("subset_accuracy", "MultilabelAccuracy(num_labels)"): of.MultilabelAccuracy(7),
    }
    real = {name: computed(metric, *pair) for name, metric in expected.items()}
    assert found(LABELS, evidence) == pytest.approx(real, abs=1e-6)


@pytest.mark.parametrize("several", [False, True])
def test_search(library, several):
    of = library.retrieval
    evidence = search_evidence(several=several)
    query, gallery = evidence.arrays["label"], evidence.arrays["gallery_label"][evidence.arrays["ranked"]]
    shared = (query[:, None] == gallery).astype(int) if query.ndim == 1 else (query[:, None] & gallery).sum(-1)
    queries, hits = shared.shape
    score = np.tile(1 - np.arange(hits) / hits / 2, queries).astype(np.float32)
    of_query = np.repeat(np.arange(queries), hits)
    expected = {
        ("map", "RetrievalMAP"): (of.RetrievalMAP(), shared > 0),
        ("ndcg", "RetrievalNormalizedDCG"): (of.RetrievalNormalizedDCG(), shared),
        ("map_at_k_of_found", "RetrievalMAP(top_k=k)"): (of.RetrievalMAP(top_k=5), shared > 0),
        ("precision_at_k", "RetrievalPrecision(top_k=k)"): (of.RetrievalPrecision(top_k=5), shared > 0),
        ("ndcg_at_k", "RetrievalNormalizedDCG(top_k=k)"): (of.RetrievalNormalizedDCG(top_k=5), shared),
    }
    real = {
        name: computed(metric, score, relevance.ravel().astype(int), of_query)
        for name, (metric, relevance) in expected.items()
    }
    assert found(SEARCH, evidence) == pytest.approx(real, abs=1e-6)


def test_certainty(library):
    of = library.classification
    for method, metric in (("cfsm", of.BinaryCalibrationError()), ("scene", of.MulticlassCalibrationError(4))):
        evidence = certainty_evidence(method)
        probability = evidence.arrays["probability"]
        said = probability[:, 1] if method == "cfsm" else probability
        real = {("ece", "CalibrationError"): computed(metric, said, truth_of(evidence.arrays))}
        assert found(CERTAINTY, evidence) == pytest.approx(real, abs=1e-6)
