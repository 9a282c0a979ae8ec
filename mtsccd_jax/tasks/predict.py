"""A trained network on anybody's images: predictions as a table, features as arrays."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mtsccd_jax.data.folder_source import image_files, pair_files
from mtsccd_jax.data.sources import Source
from mtsccd_jax.engine.evaluate import Trained, embed
from mtsccd_jax.errors import InputError
from mtsccd_jax.files import AnyPath, replacing
from mtsccd_jax.progress import console
from mtsccd_jax.tasks.certainty import evaluate as certainty
from mtsccd_jax.tasks.change import evaluate as change
from mtsccd_jax.tasks.table import BY_HEAD
from mtsccd_jax.tasks.write_csv import write_csv


@dataclass(frozen=True)
class Predicted:
    """The number of images that were predicted, and what was left out because it cannot be read."""

    images: int
    skipped: tuple[str, ...]


def predict(trained: Trained, images: AnyPath, out: AnyPath, *, skip_bad: bool = False) -> Predicted:
    """Write one CSV line for each image, or for each pair where the folder holds A/ and B/.

    Columns: filename, label, probability and `p_<class>` of each class. Of pairs: these of both dates (`_t1`, `_t2`),
    `changed_cdc_1` (the labels differ), `distance`, and `changed_cfsm` (distance >= threshold) where CFSM has been run
    in this work directory with the recipe's metric, scale and objective; its threshold is the newest one's; likewise
    `p_changed`, the calibrated probability, where `certainty` has been. Of a network that predicts several labels:
    filename, labels (joined by "; ") and `p_<label>` of each. A name that a spreadsheet would run as a formula begins
    with an apostrophe.

    Raises:
        InputError: the images cannot be read, or the network sees bands or cannot decide whether a pair changed.
    """
    if trained.recipe.data.bands:
        raise InputError(
            f"{trained.workdir}: the network sees bands and not images, so it cannot name those of a folder; for data "
            "sets of bands there are `evaluate` and `embed`, for the folder of one patch `retrieve --query`"
        )
    images = Path(images)
    of_pairs = (images / "A").is_dir() and (images / "B").is_dir()
    if of_pairs:
        change.supported_methods(trained)
    read = pair_files if of_pairs else image_files
    source: Source = read(images, image_size=trained.recipe.data.image_size, skip_bad=skip_bad)
    for line in source.skipped:
        console.print(f"skipped: {line}", style="yellow", markup=False)
    embeddings, _ = embed(trained, source)
    predicted_columns = BY_HEAD[trained.recipe.model.task].predicted_columns
    assert predicted_columns is not None
    columns: dict[str, np.ndarray] = {}
    for field, embedding in embeddings.items():
        suffix = field.removeprefix("image")
        columns[f"filename{suffix}"] = source.column(f"filename{suffix}")
        columns |= {f"{name}{suffix}": values for name, values in predicted_columns(trained, embedding).items()}
    if of_pairs:
        columns |= change.predicted_columns(trained, embeddings) | certainty.predicted_columns(trained, embeddings)
    write_csv(out, columns)
    return Predicted(len(source) * len(source.image_fields), source.skipped)


def embed_to_file(trained: Trained, source: Source, out: AnyPath) -> tuple[int, int]:
    """Write the features of a source to an NPZ file with all columns of the source; return their shape (n, d).

    Scenes: `features`. Pairs: `features_t1`, `features_t2` and their `distance`.
    """
    if Path(out).suffix != ".npz":
        raise InputError(f"--out {out}: expected a file name that ends in .npz")
    embeddings, _ = embed(trained, source)
    arrays: dict[str, Any] = {
        f"features{field.removeprefix('image')}": item.features for field, item in embeddings.items()
    }
    if len(embeddings) == 2:
        arrays["distance"] = change.feature_distance(trained, embeddings)
    arrays |= {
        name: source.column(name) for name in source.fields if name not in (*source.image_fields, *source.band_fields)
    }
    with replacing(out) as stream:
        np.savez(stream, **arrays)
    first = next(iter(embeddings.values())).features
    return first.shape[0], first.shape[1]
