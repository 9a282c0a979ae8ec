"""Multi-label classification: which labels a scene has, by the network's own head.

A label is called present where its probability reaches a threshold: one half, as the papers have it, or the label's own
threshold that is best on the validation split, found exactly.
"""

import numpy as np

from mtsccd_jax.data.sources import Source
from mtsccd_jax.errors import InputError
from mtsccd_jax.ops.multilabel import class_thresholds, decide, decision_counts, multilabel_metrics
from mtsccd_jax.ops.multilabel_bootstrap import bootstrap_intervals
from mtsccd_jax.report import published
from mtsccd_jax.report.rows import Row
from mtsccd_jax.tasks.feature_cache import Embedded
from mtsccd_jax.tasks.write_row import Result, interval_metrics, pictures, write_row

# Scenes shown with their true and predicted labels in the report.
PICTURES = 12


def evaluate_labels(passes: Embedded, split: str) -> Row:
    """The row of all labels of a split, written to the work directory of the network.

    Every metric of `ops.multilabel` has its 95 % interval over re-drawn scenes; thresholds stay as they are.

    Raises:
        InputError: the source has other labels than the network, no scene to choose thresholds on or to evaluate, the
            network has seen some of the scenes in another data set, or the recipe asks for an SVM.
        RunError: the network's scores are not finite.
    """
    trained, found = passes.trained, passes.labelled(split)
    settings, source = trained.recipe.labels, found.source
    if trained.recipe.scene.classifier == "svm":
        raise InputError("scene.classifier=svm: labels are named by the network's own head alone; set it to head")
    label, probability = source.column("labels"), found.images["image"].label_probability
    threshold = np.full(label.shape[1], 0.5)
    arrays = {}
    if settings.threshold == "validation":
        known = passes.labelled("validation")
        chosen_on = {"label": known.source.column("labels"), "probability": known.images["image"].label_probability}
        threshold = class_thresholds(chosen_on["label"], chosen_on["probability"], settings.objective).threshold_k
        arrays["validation"] = chosen_on
    called = decide(probability, threshold)
    tp, fp, fn = decision_counts(label, called)
    resamples, seed = trained.recipe.evaluation.resamples, trained.recipe.seed
    intervals = bootstrap_intervals(label, probability, threshold, resamples=resamples, seed=seed)
    arrays |= {
        "predictions": {
            "label": label,
            "probability": probability,
            "called": called,
            "threshold": threshold,
            "filename": names_of(source),
        },
        "patches": labelled_pictures(source),
    }
    model, data = trained.recipe.model, trained.recipe.data
    result = Result(
        protocol="multilabel",
        split=split,
        metrics=interval_metrics(multilabel_metrics(label, probability, threshold), intervals),
        confusion=np.stack([len(label) - tp - fp - fn, fp, fn, tp], 1),
        class_names=trained.class_names,
        objective=settings.objective if settings.threshold == "validation" else None,
        threshold_from="validation" if settings.threshold == "validation" else None,
        baseline=frequency_baseline(label),
        published=published.multilabel(source.dataset, model.name, data.bands, model.width, split),
        images_per_s=found.images_per_s,
        started=found.started,
        arrays=arrays,
    )
    return write_row(trained, source, result)


def frequency_baseline(label_nk: np.ndarray) -> dict[str, str | float]:
    """The predictor that scores every label of every scene by the label's share in the split."""
    share = np.broadcast_to(label_nk.mean(0), label_nk.shape)
    return {"name": "label frequencies", **multilabel_metrics(label_nk, share)}


def names_of(source: Source) -> np.ndarray:
    """What the scenes of a source are called, (n,) str.

    Raises:
        InputError: the source has no such field.
    """
    for field in ("filename", "patch_id"):
        if field in source.fields:
            return source.column(field)
    raise InputError(f"{source.name}: its scenes have no names (no field `filename` or `patch_id`)")


def labelled_pictures(source: Source) -> dict[str, np.ndarray]:
    """Pictures of a few scenes that have labels (Table 3 of the BigEarthNet v1 paper), the same whatever the network.

    `row` is the place of each in the split, by which what a network says of it is found in `predictions`.
    """
    some = np.flatnonzero(source.column("labels").any(1))
    row = np.sort(np.random.default_rng(0).permutation(some)[:PICTURES])
    return {"thumb": pictures(source, row), "row": row, "class_names": np.array(source.names["labels"])}
