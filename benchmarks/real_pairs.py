"""Write the SZTAKI AirChange tiles as a pair list with splits by aerial image, so that similarity learning can train.

    python benchmarks/real_pairs.py cd_sztaki300 sztaki

then `mtsccd-jax reproduce table7 --stand-ins --folder EuroSAT/2750 --pairs sztaki`, with `--set data.image_size=96` and
`--set engine.epochs=12`, for the nine networks that learn from scenes, and for those that learn from the 30 training
pairs, which have no scene labels, the same with `--only vgg16 --only resnet50 --set similarity.scene_weight=0`,
`--set engine.batch_size=10` and `--set engine.epochs=40`.

Tiles of one image look alike, so a random split would test on images seen in training. No image is in two splits; each
split has images of both sites and pairs of both kinds.
"""

import argparse
import csv
from pathlib import Path

# Benedek and Sziranyi 2009: 300-pixel tiles of the images of two sites, "Szada" and "Tiszadob".
SPLITS = {
    "train": ("szada_train1", "szada_train3", "szada_train4", "tisza_train38", "tisza_train39"),
    "validation": ("szada_train2", "szada_train5", "tisza_train37"),
    "test": ("szada_test1", "szada_train6", "tisza_test2", "tisza_train40"),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tiles", type=Path, help="folder with A/, B/ and pairs.csv (A, B, changed_fraction)")
    parser.add_argument("out", type=Path, help="folder to make, whose A and B lead to those of the tiles")
    arguments = parser.parse_args()
    split_of = {image: split for split, images in SPLITS.items() for image in images}
    with (arguments.tiles / "pairs.csv").open(newline="") as stream:
        lines = list(csv.DictReader(stream))
    for line in lines:
        line["split"] = split_of[line["A"].rsplit("_", 2)[0]]
    arguments.out.mkdir(parents=True)
    for side in "AB":
        (arguments.out / side).symlink_to((arguments.tiles / side).resolve())
    with (arguments.out / "pairs.csv").open("w", newline="") as stream:
        writer = csv.DictWriter(stream, lines[0])
        writer.writeheader()
        writer.writerows(lines)


if __name__ == "__main__":
    main()
