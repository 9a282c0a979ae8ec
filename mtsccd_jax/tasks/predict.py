"""A trained network on anybody's images: labels as a table, features as arrays."""

import csv
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mtsccd_jax.data.folder_source import image_files, pair_files
from mtsccd_jax.data.sources import Source
from mtsccd_jax.engine.evaluate import Embedding, Trained, embed
from mtsccd_jax.errors import InputError
from mtsccd_jax.files import replacing
from mtsccd_jax.ops.multilabel import decide
from mtsccd_jax.progress import console
from mtsccd_jax.report.rows import load, load_artefact
from mtsccd_jax.tasks.change.evaluate import feature_distance, row_scale, supported_methods


@dataclass(frozen=True)
class Predicted:
    """How many images were labelled, and what was left out because it cannot be read."""

    images: int
    skipped: tuple[str, ...]


def predict(trained: Trained, images: Path, out: Path, *, skip_bad: bool = False) -> Predicted:
    """What was labelled; writes one CSV line an image, or a pair where the folder holds A/ and B/.

    Columns: filename, label, probability and `p_<class>` of each class. Of pairs: these of both dates (`_t1`, `_t2`),
    `changed_cdc_1` (the labels differ), `distance`, and `changed_cfsm` (distance >= threshold) where CFSM has been run
    in this work directory with the recipe's metric, scale and objective; its threshold is the newest one's. Of a
    network that names several labels: filename, labels (those that are called, joined by "; ") and `p_<label>` of each.

    Raises:
        InputError: the images cannot be read, or the network sees bands or cannot say whether a pair changed.
    """
    size, several = trained.recipe.data.image_size, trained.recipe.model.task == "labels"
    if trained.recipe.data.bands:
        raise InputError(
            f"{trained.workdir}: the network sees bands and not images, so it cannot name those of a folder; for data "
            "sets of bands there are `evaluate` and `embed`, for the folder of one patch `retrieve --query`"
        )
    of_pairs = (images / "A").is_dir() and (images / "B").is_dir()
    if of_pairs:
        supported_methods(trained)
    source: Source = (pair_files if of_pairs else image_files)(images, image_size=size, skip_bad=skip_bad)
    for line in source.skipped:
        console.print(f"skipped: {line}", style="yellow", markup=False)
    embeddings, _ = embed(trained, source)
    columns: dict[str, np.ndarray] = {}
    for field, embedding in embeddings.items():
        suffix = field.removeprefix("image")
        columns[f"filename{suffix}"] = source.column(f"filename{suffix}")
        said = (_labels if several else _class)(trained, embedding)
        columns |= {f"{name}{suffix}": values for name, values in said.items()}
    if of_pairs:
        columns |= _changes(trained, embeddings["image_t1"], embeddings["image_t2"])
    _write_csv(out, columns)
    return Predicted(len(source) * len(source.image_fields), source.skipped)


def _labels(trained: Trained, embedding: Embedding) -> dict[str, np.ndarray]:
    """The columns of an image: the labels that are called, and the probability of each."""
    probability, names = embedding.label_probability, np.array(trained.class_names)
    called = decide(probability, label_thresholds(trained))
    columns = {"labels": np.array(["; ".join(names[row]) for row in called])}
    return columns | {f"p_{name}": _digits(probability[:, k]) for k, name in enumerate(trained.class_names)}


def label_thresholds(trained: Trained) -> np.ndarray | float:
    """From which probability on a label is called, one or (k,): one half, or as last chosen by the recipe's objective.

    Raises:
        InputError: the recipe wants chosen thresholds and no evaluation has chosen any, or they are gone.
    """
    if trained.recipe.labels.threshold == "half":
        return 0.5
    objective = trained.recipe.labels.objective
    chosen = [row for row in load(trained.workdir) if row.protocol == "multilabel" and row.objective == objective]
    found = load_artefact(trained.workdir, chosen[-1], "predictions") if chosen else None
    if found is None:
        raise InputError(
            f"{trained.workdir}: labels.threshold=validation, and no thresholds by {objective} are there; run "
            "`mtsccd-jax evaluate` first, or train with labels.threshold=half"
        )
    return found["threshold"]


def _class(trained: Trained, embedding: Embedding) -> dict[str, np.ndarray]:
    """The columns of one date: the most probable class, its probability, and that of every class."""
    probability, prediction = embedding.probability, embedding.prediction
    columns = {
        "label": np.array(trained.class_names)[prediction],
        "probability": _digits(probability.max(-1)),
    }
    return columns | {f"p_{name}": _digits(probability[:, k]) for k, name in enumerate(trained.class_names)}


def _changes(trained: Trained, t1: Embedding, t2: Embedding) -> dict[str, np.ndarray]:
    """The columns of a pair: whether the labels differ, the feature distance, and whether it reaches the threshold.

    Where distances are scaled by those of validation pairs, the distance is scaled as in the row of the threshold.
    """
    distance, settings = feature_distance(trained, t1, t2), trained.recipe.change
    columns = {"changed_cdc_1": (t1.prediction != t2.prediction).astype(int), "distance": distance}
    chosen = [
        row
        for row in load(trained.workdir)
        if row.protocol == "cfsm"
        and row.objective == settings.objective
        and (row.recipe["change"]["metric"], row.recipe["change"]["scale"]) == (settings.metric, settings.scale)
    ]
    if chosen:
        threshold = chosen[-1].threshold
        columns["distance"] = distance = row_scale(trained.workdir, chosen[-1])(distance)
        columns["changed_cfsm"] = (distance >= (np.inf if threshold is None else threshold)).astype(int)
    return columns


def embed_to_file(trained: Trained, source: Source, out: Path) -> tuple[int, int]:
    """The shape (n, d) of the features written to an NPZ file, with every column of the source beside them.

    Scenes: `features`. Pairs: `features_t1`, `features_t2` and their `distance`.
    """
    if out.suffix != ".npz":
        raise InputError(f"--out {out}: expected a file name that ends in .npz")
    embeddings, _ = embed(trained, source)
    arrays: dict[str, Any] = {
        f"features{field.removeprefix('image')}": item.features for field, item in embeddings.items()
    }
    if len(embeddings) == 2:
        arrays["distance"] = feature_distance(trained, embeddings["image_t1"], embeddings["image_t2"])
    arrays |= {
        name: source.column(name) for name in source.fields if name not in (*source.image_fields, *source.band_fields)
    }
    with replacing(out) as stream:
        np.savez(stream, **arrays)
    first = next(iter(embeddings.values())).features
    return first.shape[0], first.shape[1]


def _digits(value_n: np.ndarray) -> np.ndarray:
    """Probabilities to six places, as a table has them."""
    return value_n.astype(np.float64).round(6)


def _write_csv(out: Path, columns: dict[str, np.ndarray]) -> None:
    """Writes named columns as a table, whole or not at all."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(columns)
    writer.writerows(zip(*(values.tolist() for values in columns.values()), strict=True))
    with replacing(out) as stream:
        stream.write(text.getvalue().encode())
