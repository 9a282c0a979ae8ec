"""What peers would print, against scikit-learn itself and against their definitions written out."""

import dataclasses
import warnings
from functools import partial

import numpy as np
import pytest
from predicted_rows import (
    certainty_evidence,
    change_evidence,
    label_evidence,
    scene_evidence,
    search_evidence,
    shift_evidence,
)
from sklearn import metrics

from mtsccd_jax.report.meaning.definitions import SCIKIT_LEARN, pattern
from mtsccd_jax.tasks.certainty.definitions import DEFINITIONS as CERTAINTY
from mtsccd_jax.tasks.certainty.definitions import truth_of
from mtsccd_jax.tasks.change.definitions import DEFINITIONS as CHANGE
from mtsccd_jax.tasks.labels.definitions import DEFINITIONS as LABELS
from mtsccd_jax.tasks.scenes.definitions import DEFINITIONS as SCENES
from mtsccd_jax.tasks.search.definitions import DEFINITIONS as SEARCH
from mtsccd_jax.tasks.shift.definitions import DEFINITIONS as SHIFT


def scene_truth(evidence):
    return evidence.arrays["label"], evidence.arrays["prediction"]


def change_truth(evidence):
    return evidence.arrays["changed"], evidence.arrays["predicted"]


def label_truth(evidence):
    return evidence.arrays["label"], evidence.arrays["called"]


def label_scores(evidence):
    return evidence.arrays["label"], evidence.arrays["probability"]


def forecasts(evidence):
    """Truth and probabilities as scikit-learn takes them: of pairs that of a change."""
    probability = evidence.arrays["probability"]
    return truth_of(evidence.arrays), probability[:, 1] if "changed" in evidence.arrays else probability


def ranked_relevance(evidence):
    """The labels that each query shares with the images of its list, (q, g), in its order."""
    query, gallery = evidence.arrays["label"], evidence.arrays["gallery_label"][evidence.arrays["ranked"]]
    return (query[:, None] == gallery).astype(int) if query.ndim == 1 else (query[:, None] & gallery).sum(-1)


def mean_ap(evidence):
    """The mean of scikit-learn's average precision over the queries that have a relevant image."""
    lists = [line > 0 for line in ranked_relevance(evidence)]
    scores = -np.arange(len(lists[0]))
    return np.mean([metrics.average_precision_score(line, scores) for line in lists if line.any()])


def mean_ndcg(evidence):
    relevance = ranked_relevance(evidence)
    return metrics.ndcg_score(relevance, np.tile(-np.arange(relevance.shape[1]), (len(relevance), 1)))


def of(function, truth, **settings):
    return lambda evidence: function(*truth(evidence), **settings)


EVERY_CLASS = list(range(6))
# Name of a peer -> scikit-learn's own value.
REAL = {
    "scenes": {
        "accuracy_score": of(metrics.accuracy_score, scene_truth),
        'f1_score(average="micro")': of(metrics.f1_score, scene_truth, average="micro"),
        "cohen_kappa_score": of(metrics.cohen_kappa_score, scene_truth),
        'precision_score(average="macro")': of(metrics.precision_score, scene_truth, average="macro"),
        'recall_score(average="macro")': of(metrics.recall_score, scene_truth, average="macro"),
        'f1_score(average="macro")': of(metrics.f1_score, scene_truth, average="macro"),
        'f1_score(average="macro", labels=all)': of(metrics.f1_score, scene_truth, average="macro", labels=EVERY_CLASS),
        'f1_score(average="weighted")': of(metrics.f1_score, scene_truth, average="weighted"),
        "balanced_accuracy_score": of(metrics.balanced_accuracy_score, scene_truth),
    },
    "change": {
        "accuracy_score": of(metrics.accuracy_score, change_truth),
        "cohen_kappa_score": of(metrics.cohen_kappa_score, change_truth),
        "precision_score": of(metrics.precision_score, change_truth),
        "recall_score": of(metrics.recall_score, change_truth),
        "f1_score": of(metrics.f1_score, change_truth),
        'f1_score(average="macro")': of(metrics.f1_score, change_truth, average="macro"),
        'f1_score(average="weighted")': of(metrics.f1_score, change_truth, average="weighted"),
        "jaccard_score": of(metrics.jaccard_score, change_truth),
        "balanced_accuracy_score": of(metrics.balanced_accuracy_score, change_truth),
    },
    "labels": {
        **{
            f'average_precision_score(average="{average}")': of(
                metrics.average_precision_score, label_scores, average=average
            )
            for average in ("macro", "micro", "weighted")
        },
        'precision_score(average="macro")': of(metrics.precision_score, label_truth, average="macro"),
        'recall_score(average="macro")': of(metrics.recall_score, label_truth, average="macro"),
        **{
            f'f1_score(average="{average}")': of(metrics.f1_score, label_truth, average=average)
            for average in ("macro", "micro", "weighted", "samples")
        },
        "accuracy_score": of(metrics.accuracy_score, label_truth),
        "hamming_loss": of(metrics.hamming_loss, label_truth),
        "coverage_error": of(metrics.coverage_error, label_scores),
        "label_ranking_loss": of(metrics.label_ranking_loss, label_scores),
    },
    **{
        f"certainty of {kind}": {
            "accuracy_score": lambda e: metrics.accuracy_score(truth_of(e.arrays), e.arrays["probability"].argmax(1)),
            "brier_score_loss": of(metrics.brier_score_loss, forecasts),
            "log_loss": of(metrics.log_loss, forecasts),
        }
        for kind in ("change", "classes")
    },
    "search": {"average_precision_score of each query, mean": mean_ap, "ndcg_score": mean_ndcg},
}
TABLES = {"scenes": SCENES, "change": CHANGE, "labels": LABELS, "search": SEARCH}
TABLES |= {"certainty of change": CERTAINTY, "certainty of classes": CERTAINTY}
MADE = {
    "scenes": scene_evidence,
    "change": change_evidence,
    "labels": label_evidence,
    "search": search_evidence,
    "certainty of change": partial(certainty_evidence, "cfsm"),
    "certainty of classes": partial(certainty_evidence, "scene"),
}


def values(task, evidence, who):
    """Name of a peer -> its value for the metric of the row that it is taken for."""
    row_metrics = {pattern(evidence.row, name): name for name in evidence.row.metrics}
    peers = [peer for peer in TABLES[task].peers if peer.who == who and evidence.row.dataset.startswith(peer.dataset)]
    return {peer.name: peer.value(evidence, row_metrics[peer.metric]) for peer in peers}


@pytest.mark.parametrize("task", TABLES)
@pytest.mark.parametrize("seed", [0, 1])
def test_peers_of_scikit_learn_are_what_it_computes(task, seed):
    evidence = MADE[task](seed=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what is undefined
        expected = {name: real(evidence) for name, real in REAL[task].items()}
    assert values(task, evidence, SCIKIT_LEARN) == pytest.approx(expected, abs=1e-6)


def test_peers_of_a_search_with_several_labels():
    evidence = search_evidence(several=True)
    found = values("search", evidence, SCIKIT_LEARN)
    assert found == pytest.approx({name: real(evidence) for name, real in REAL["search"].items()})
    assert values("search", evidence, "class-balanced search") == {"mean over classes of mAP": None}


def test_peers_by_their_definitions():
    search = search_evidence()
    relevance, label = ranked_relevance(search), search.arrays["label"]
    ap_q = np.array(
        [metrics.average_precision_score(line, -np.arange(40)) if line.any() else np.nan for line in relevance]
    )
    of_classes = [np.mean(ap_q[label == one]) for one in range(4)]  # nothing is relevant to the fifth
    assert values("search", search, "class-balanced search") == pytest.approx(
        {"mean over classes of mAP": np.mean(of_classes)}
    )
    change = change_evidence()
    f1s = metrics.f1_score(*change_truth(change), average=None)
    ious = metrics.jaccard_score(*change_truth(change), average=None)
    found = values("change", change, "Open-CD (IoUMetric of MMSegmentation)")
    assert found == pytest.approx({"mFscore": f1s.mean(), "mIoU": ious.mean()})
    labels = label_evidence()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        p, r = (
            score(*label_truth(labels), average="macro") for score in (metrics.precision_score, metrics.recall_score)
        )
    found = values("labels", labels, "papers without a library")
    assert found == pytest.approx({"F1 of macro precision and macro recall": 2 * p * r / (p + r)})
    shift = shift_evidence()
    arrays = shift.arrays
    predicted = np.choose(arrays["city"], arrays["predicted"])  # by the network that does not know the city
    named = {peer.metric: peer.value(shift, peer.metric) for peer in SHIFT.peers}
    assert named == pytest.approx(
        {
            "out_of_city_oa": metrics.accuracy_score(arrays["truth"], predicted),
            "out_of_city_kappa": metrics.cohen_kappa_score(arrays["truth"], predicted),
            "worst_city_oa": min((arrays["truth"] == predicted)[arrays["city"] == c].mean() for c in range(3)),
        }
    )
    recalls = metrics.recall_score(*scene_truth(scene_evidence()), average=None, labels=[0, 1, 2, 3])
    found = values("scenes", scene_evidence(), "remote-sensing papers")
    assert found == pytest.approx({"AA, average accuracy": recalls.mean()})


def test_undefined_values_are_none_as_libraries_have_nan():
    evidence = scene_evidence()
    alike = dataclasses.replace(evidence, row=dataclasses.replace(evidence.row, confusion=[[5, 0], [0, 0]]))
    kappas = [peer for peer in SCENES.peers if peer.metric == "kappa" and peer.who == SCIKIT_LEARN]
    assert [peer.value(alike, "kappa") for peer in kappas] == [None]
    with pytest.warns(UserWarning, match="undefined"):
        assert np.isnan(metrics.cohen_kappa_score([0] * 5, [0] * 5, labels=[0, 1]))
