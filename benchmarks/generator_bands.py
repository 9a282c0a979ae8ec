"""Scene classification by colour alone: a linear model on colour histograms of a MtSCCD archive, without any network.

    mtsccd-jax data synth --out archive --scale 0.2 --image-size 96
    python benchmarks/generator_bands.py archive

The generator (`tfds_builders.synthetic`) keeps this baseline below 0.4 overall accuracy on both test cities, so that a
network is only better by using structure. Prints one JSON object: accuracies per feature and split, and the share of
the most frequent class. The split is the paper's (80 % of every class of the three training cities).
"""

import argparse
import json
import time
from pathlib import Path

import cv2
import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from tfds_builders.mtsccd.archive import list_archive, open_mtsccd
from tfds_builders.mtsccd.splits import split_scenes
from tfds_builders.reading.archive import Archive

BAND = 0.40
_ITERATIONS = 1000


def channel_histograms(image_hwc: np.ndarray) -> np.ndarray:
    """Return the shares (24,) of 8 equal bins of each channel."""
    bins_nc = image_hwc.reshape(-1, 3) // 32
    counts = [np.bincount(bins_nc[:, channel], minlength=8) for channel in range(3)]
    return np.concatenate(counts) / len(bins_nc)


def joint_histogram(image_hwc: np.ndarray) -> np.ndarray:
    """Return the shares (64,) of the 4 x 4 x 4 cells of RGB."""
    bins_nc = (image_hwc.reshape(-1, 3) // 64).astype(np.int64)
    cell_n = bins_nc @ np.array((16, 4, 1))
    return np.bincount(cell_n, minlength=64) / len(bins_nc)


def read_features(archive: Archive) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Return, per split, the features (n, 88), channel histograms first, and the labels (n,)."""
    splits = split_scenes(list_archive(archive, "lusc"), paired=False, seed=0)
    features, labels = {}, {}
    for split, scenes in splits.items():
        rows = []
        for scene in scenes:
            data = np.frombuffer(archive.read(scene.path), dtype=np.uint8)
            image = cv2.imdecode(data, cv2.IMREAD_COLOR)
            rows.append(np.concatenate((channel_histograms(image), joint_histogram(image))))
        features[split] = np.array(rows)
        labels[split] = np.array([scene.name.label for scene in scenes])
    return features, labels


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("archive", type=Path, help="folder, zip or tar file")
    start = time.perf_counter()
    archive = open_mtsccd(parser.parse_args().archive)
    features, labels = read_features(archive)
    result: dict[str, object] = {"images": {split: len(labels[split]) for split in labels}, "band": BAND}
    result["most_frequent_class"] = {
        split: round(float(np.bincount(labels[split]).max() / len(labels[split])), 4) for split in labels
    }
    columns = {"channels_8x3": slice(0, 24), "joint_4x4x4": slice(24, 88), "both": slice(0, 88)}
    for name, chosen in columns.items():
        model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=_ITERATIONS))
        model.fit(features["train"][:, chosen], labels["train"])
        result[name] = {
            split: round(float(model.score(features[split][:, chosen], labels[split])), 4) for split in labels
        }
    result["seconds"] = round(time.perf_counter() - start, 1)
    print(json.dumps(result))


if __name__ == "__main__":
    main()
