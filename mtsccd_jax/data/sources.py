"""One random-access view of a TFDS data set, class folders or a pair list: what everything downstream reads from."""

import hashlib
import json
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from mtsccd_jax.config import Data
from mtsccd_jax.data.decode import ImageBatch
from mtsccd_jax.data.folders import folder_source, folder_splits, pair_list_splits, pairs_source
from mtsccd_jax.data.records import Records, Shard
from mtsccd_jax.errors import InputError, nearest

_NO_INPUT = "no input is named; give --folder DIR, --dataset NAME or --pairs DIR"
_NO_PAIRS = "no pairs are named; give one of data.pair_dataset and data.pairs"


class Source(Protocol):
    """A split of labelled scenes or pairs, read by row number, from any thread.

    Images are uint8 (h, w, 3), red first, already at the size asked for; integers are int32; text is NumPy `str`.
    """

    @property
    def name(self) -> str:
        """Where the rows come from, such as "mtsccd_lusc/official" or a folder's path."""

    @property
    def dataset(self) -> str:
        """What results call it, wherever it lies: "mtsccd_lusc/official", or "folder:" and the folder's own name."""

    @property
    def split(self) -> str:
        """The split, such as "train"."""

    @property
    def fields(self) -> tuple[str, ...]:
        """Every key of `source[i]`."""

    @property
    def image_fields(self) -> tuple[str, ...]:
        """("image",) for scenes, ("image_t1", "image_t2") for pairs."""

    @property
    def names(self) -> Mapping[str, tuple[str, ...]]:
        """The names of the values of each class-valued field: {"label": (...), "city": (...)}."""

    @property
    def class_names(self) -> tuple[str, ...]:
        """The names of the values of `label` (scenes) or `label_t1` (pairs); empty where there are no such labels."""

    @property
    def skipped(self) -> tuple[str, ...]:
        """What was left out because it cannot be read, one line each (only with `skip_bad`)."""

    @property
    def generated(self) -> bool:
        """Whether the images are drawn, not taken: a data set built from a generated archive."""

    def __len__(self) -> int: ...

    def __getitem__(self, row: int) -> dict[str, np.ndarray]: ...

    def read(self, row_b: np.ndarray) -> dict[str, np.ndarray]:
        """The rows as one batch: every field stacked, images (b, h, w, 3)."""

    def column(self, field: str) -> np.ndarray:
        """All values of a field that is not an image, (n,), without decoding any image."""

    def fingerprint(self) -> str:
        """A SHA-256 that changes with the content of the split, and not with where it lies."""


def open_source(data: Data, split: str) -> Source:
    """The scenes that `data` names: its folder or else its TFDS data set; without either, the pairs of its pair list.

    Raises:
        InputError: the input does not exist, was not built, cannot be read, or has no such split.
    """
    if data.folder is not None:
        return folder_source(data.folder, split, image_size=data.image_size, skip_bad=data.skip_bad)
    if data.dataset is None and data.pairs is not None:
        return open_pairs(data, split)
    if data.dataset is None:
        raise InputError(_NO_INPUT)
    return tfds_source(_with_config(data.dataset, data), split, data_dir=data.data_dir, image_size=data.image_size)


def open_pairs(data: Data, split: str) -> Source:
    """The bi-temporal pairs that `data` names: its pair list, or else its TFDS data set of pairs.

    Raises:
        InputError: as in `open_source`.
    """
    if data.pairs is not None:
        return pairs_source(
            data.pairs, split, image_size=data.image_size, changed_above=data.changed_above, skip_bad=data.skip_bad
        )
    if data.pair_dataset is None:
        raise InputError(_NO_PAIRS)
    return tfds_source(_with_config(data.pair_dataset, data), split, data_dir=data.data_dir, image_size=data.image_size)


def scene_splits(data: Data) -> tuple[str, ...]:
    """The splits of the scenes that `data` names.

    Raises:
        InputError: the input does not exist or was not built.
    """
    if data.folder is not None:
        return folder_splits(data.folder)
    if data.dataset is None and data.pairs is not None:
        return pair_list_splits(data.pairs)
    if data.dataset is None:
        raise InputError(_NO_INPUT)
    return tuple(_builder(_with_config(data.dataset, data), data.data_dir).info.splits)


def pair_splits(data: Data) -> tuple[str, ...]:
    """The splits of the pairs that `data` names; of a pair list without splits ("all",).

    Raises:
        InputError: as in `scene_splits`.
    """
    if data.pairs is not None:
        return pair_list_splits(data.pairs)
    if data.pair_dataset is None:
        raise InputError(_NO_PAIRS)
    return tuple(_builder(_with_config(data.pair_dataset, data), data.data_dir).info.splits)


def _with_config(dataset: str, data: Data) -> str:
    return dataset if "/" in dataset or not data.config else f"{dataset}/{data.config}"


class TfdsSource:
    """A split of a prepared TFDS data set, read from its array_record files; TensorFlow is never imported.

    The rows are in the order of the files, which is that of `tfds.data_source`. Fields are the features that are an
    image, an integer, a float or a text; nested and variable-length features are left out.
    """

    skipped: tuple[str, ...] = ()

    def __init__(self, builder: Any, split: str, image_size: int | None):
        import tensorflow_datasets as tfds

        # Raises where there is no array_record, and turns the names of the files to it.
        builder.as_data_source(split)
        info = builder.info
        part = info.splits[split]
        self._records = Records(
            [Shard(Path(shard.filename), shard.skip, shard.take) for shard in part.file_instructions]
        )
        self.name = info.full_name.removesuffix(f"/{info.version}")
        self.dataset = self.name
        self.split = split
        self.generated = (info.metadata or {}).get("generated") is True
        self.image_size = image_size
        self._kinds = _field_kinds(info.features)
        self.fields = tuple(self._kinds)
        self.image_fields = tuple(field for field, kind in self._kinds.items() if kind == "image")
        self.names: Mapping[str, tuple[str, ...]] = {
            field: tuple(info.features[field].names)
            for field in self.fields
            if isinstance(info.features[field], tfds.features.ClassLabel) and info.features[field].names
        }
        self.class_names = self.names.get("label", self.names.get("label_t1", ()))
        self._version = str(info.version)
        self._split_bytes = int(part.num_bytes)
        self._columns: dict[str, np.ndarray] | None = None

    def __len__(self) -> int:
        return len(self._records)

    def __getitem__(self, row: int) -> dict[str, np.ndarray]:
        return {field: value[0] for field, value in self.read(np.array([row])).items()}

    def __iter__(self) -> Iterator[dict[str, np.ndarray]]:
        return (self[row] for row in range(len(self)))

    def read(self, row_b: np.ndarray) -> dict[str, np.ndarray]:
        """The rows as one batch: images (b, h, w, 3) uint8, integers int32, floats float32, text `str`.

        Raises:
            IndexError: a row that the split does not have.
            InputError: a file or an image is damaged, or sizes differ and there is no `image_size`.
        """
        images = {field: ImageBatch(len(row_b), self.image_size) for field in self.image_fields}

        def decode(position: int, example: Mapping[str, Any]) -> None:
            for field, batch in images.items():
                where = f"{field} of row {row_b[position]} of {self.name}, split {self.split},"
                batch.decode(position, example[field].bytes_list.value[0], where)

        columns = self._read_columns(row_b.tolist(), decode)
        return {field: batch.image_bhwc for field, batch in images.items()} | columns

    def column(self, field: str) -> np.ndarray:
        """All values of a field that is not an image, (n,). The first call reads every record once, for all fields."""
        if self._columns is None:
            self._columns = self._read_columns(range(len(self)), lambda position, example: None)
        if field not in self._columns:
            raise KeyError(f"no column {field!r}; there are {', '.join(self._columns)}")
        return self._columns[field]

    def fingerprint(self) -> str:
        """A SHA-256 over name, version, split, fields, shards, bytes, and the first and last record of each shard."""
        fields = [(field, kind, self.names.get(field)) for field, kind in self._kinds.items()]
        shards = [(shard.path.name, shard.first, shard.rows) for shard in self._records.shards]
        content = (self.name, self._version, self.split, fields, shards, self._split_bytes)
        digest = hashlib.sha256(json.dumps(content).encode())
        stops = np.cumsum([shard.rows for shard in self._records.shards])
        for row in sorted({0, *(stops - 1).tolist(), *stops[:-1].tolist()}):
            example = _parse(self._records[row])
            for field in sorted(example):  # the map of a record has no order of its own
                digest.update(field.encode() + example[field].SerializeToString())
        return digest.hexdigest()

    def _read_columns(
        self, rows: Sequence[int], visit: Callable[[int, Mapping[str, Any]], None]
    ) -> dict[str, np.ndarray]:
        """The fields of `rows` that are no images; every parsed record is shown to `visit` while it is at hand."""
        kinds = {field: kind for field, kind in self._kinds.items() if kind != "image"}
        values: dict[str, list[Any]] = {field: [] for field in kinds}
        for position, row in enumerate(rows):
            example = _parse(self._records[row])
            visit(position, example)
            for field, kind in kinds.items():
                values[field].append(_VALUE[kind](example[field]))
        return {field: np.array(values[field], _DTYPE[kind]) for field, kind in kinds.items()}


_DTYPE = {"integer": np.int32, "float": np.float32, "text": np.str_}
_VALUE: dict[str, Callable[[Any], Any]] = {
    "integer": lambda feature: feature.int64_list.value[0],
    "float": lambda feature: feature.float_list.value[0],
    "text": lambda feature: feature.bytes_list.value[0].decode(),
}


def _parse(record: bytes) -> Mapping[str, Any]:
    """The features of a record by name."""
    from tensorflow_datasets.proto import tf_example_pb2

    return tf_example_pb2.Example.FromString(record).features.feature


def _field_kinds(features: Mapping[str, Any]) -> dict[str, str]:
    """Field -> "image", "integer", "float" or "text" for the features that a source offers."""
    import tensorflow_datasets as tfds

    kinds: dict[str, str] = {}
    for field, feature in sorted(features.items()):  # the order on disk is that of a hash
        if isinstance(feature, tfds.features.Image):
            kinds[field] = "image"
        elif isinstance(feature, (tfds.features.Tensor, tfds.features.Text)) and feature.shape == ():
            dtype = np.dtype(feature.np_dtype)
            kinds[field] = "integer" if dtype.kind in "iub" else "float" if dtype.kind == "f" else "text"
    return kinds


def tfds_source(
    name: str, split: str, *, data_dir: str | Path | None = None, image_size: int | None = None
) -> TfdsSource:
    """A split of a TFDS data set that has been built with array_record files.

    Args:
        name: "data_set", "data_set/config" or "data_set/config:version".
        split: a split's name, or a slice of it as TFDS writes it ("train[:10%]").
        data_dir: where it was built; None is TFDS's own default.
        image_size: side to resize to, in pixels; None keeps the stored size.

    Raises:
        InputError: the data set is not built there, lacks array_record files, or has no such split or an empty one.
    """
    builder = _builder(name, data_dir)
    splits = builder.info.splits
    try:
        empty = splits[split].num_examples == 0
    except (KeyError, ValueError) as error:
        known = ", ".join(splits) or "none"
        raise InputError(f"{name} has no split {split!r}; it has {known}.{nearest(split, splits)}") from error
    if empty:
        raise InputError(
            f"split {split!r} of {name} in {builder.data_dir_root} is empty; choose one of {', '.join(splits)}"
        )
    try:
        return TfdsSource(builder, split, image_size)
    except NotImplementedError as error:
        place = builder.data_dir_root
        raise InputError(
            f"{name} in {place} has no array_record files; build it again with: {_build_command(name, place)}"
        ) from error


def _builder(name: str, data_dir: str | Path | None) -> Any:
    """What TFDS knows of a data set that has been built; InputError where it has not."""
    import tensorflow_datasets as tfds
    from tensorflow_datasets.core import read_only_builder

    place = Path(data_dir if data_dir is not None else tfds.core.constants.DATA_DIR).expanduser()
    try:
        return read_only_builder.builder_from_files(name, data_dir=place)
    except tfds.core.DatasetNotFoundError as error:
        built = ", ".join(_built(place)) or "nothing"
        raise InputError(
            f"data set {name!r} is not in {place}, which holds {built}; build it with: {_build_command(name, place)}"
        ) from error


def _build_command(name: str, place: str | Path) -> str:
    return f"mtsccd-jax data build {name.partition(':')[0]} --archive DIR --data-dir {shlex.quote(str(place))}"


def _built(data_dir: Path) -> list[str]:
    """The names of the data sets in a TFDS data directory, with their configs."""
    versions = data_dir.glob("*/*/features.json"), data_dir.glob("*/*/*/features.json")
    return sorted({path.parent.parent.relative_to(data_dir).as_posix() for paths in versions for path in paths})
