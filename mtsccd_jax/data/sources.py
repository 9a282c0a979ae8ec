"""One random-access view of a TFDS data set, class folders or a pair list: what everything downstream reads from."""

import hashlib
import json
import math
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from mtsccd_jax.data.array_records import Records, Shard
from mtsccd_jax.data.bands import band_names
from mtsccd_jax.data.buffer_pool import BATCHES
from mtsccd_jax.data.decode import ImageBatch
from mtsccd_jax.data.folder_source import folder_source, folder_splits, pair_list_splits, pairs_source
from mtsccd_jax.errors import InputError, nearest
from mtsccd_jax.recipes.config import Data

_NO_INPUT = "no input is named; give --folder DIR, --dataset NAME or --pairs DIR"
_NO_PAIRS = "no pairs are named; give one of data.pair_dataset and data.pairs"


class Source(Protocol):
    """A split of labelled scenes or pairs, read by row number, from any thread.

    Images are uint8 (h, w, 3), red first, already at the size asked for; integers are int32; text is NumPy `str`.
    Several labels of a scene are `labels`, (k,) uint8 of 0 and 1.
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
        """("image",) for scenes, ("image_t1", "image_t2") for pairs, () where the source is read for its bands."""

    @property
    def band_fields(self) -> tuple[str, ...]:
        """The stored bands that the source is read for, each (h, w) of its own size and type; mostly ()."""

    @property
    def names(self) -> Mapping[str, tuple[str, ...]]:
        """The names of each class-valued field's values and of the labels: {"label": (...), "city": (...)}."""

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
        """All values of a field that is neither image nor band, (n,) or (n, k), without decoding any image."""

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
    return tfds_source(
        _with_config(data.dataset, data),
        split,
        data_dir=data.data_dir,
        image_size=data.image_size,
        bands=band_names(data) or None,
    )


def views(source: Source) -> tuple[str, ...]:
    """What a network can see of a row: the names of its images, or "image" for the one that its bands make."""
    return source.image_fields or (("image",) if source.band_fields else ())


def stored(source: Source, batch: Mapping[str, Any], view: str) -> dict[str, Any]:
    """The part of a batch that a view is made of, as steps take it: {"image": ...}, or each band by its name."""
    return {"image": batch[view]} if view in source.image_fields else {name: batch[name] for name in source.band_fields}


def check_views(source: Source, data: Data) -> None:
    """Raises InputError where a network sees images, of which the source has none, or bands likewise."""
    if data.bands and not source.band_fields:
        raise InputError(f"{source.name}: holds no bands, and the network sees {', '.join(data.bands)} and no images")
    if not source.image_fields and not data.bands:
        raise InputError(
            f"{source.name}: holds no images; a network of bands is trained with these named, as in "
            "--set data.bands=rgb --set data.mean= --set data.std="
        )


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
    image, an integer, a float or a text, and tensors of fixed shape in their own type: a vector (multi-hot `labels`,
    say) is a column, anything of more axes (a band, a map) one of `band_fields`. Nested, compressed and variable-length
    features are left out. A source that is read for some `bands` has these and no other, and no images.
    """

    skipped: tuple[str, ...] = ()

    def __init__(self, builder: Any, split: str, image_size: int | None, bands: Sequence[str] | None = None):
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
        self._builder = builder
        self._kinds = _field_kinds(info.features)
        self.stored_bands = tuple(field for field, kind in self._kinds.items() if kind == "band")
        if bands is not None:
            self._kinds = _kinds_with(self._kinds, bands, self.name)
        self._tensors = {
            field: _Tensor.of(info.features[field]) for field, kind in self._kinds.items() if kind in ("band", "vector")
        }
        self.fields = tuple(self._kinds)
        self.image_fields = tuple(field for field, kind in self._kinds.items() if kind == "image")
        self.band_fields = tuple(field for field, kind in self._kinds.items() if kind == "band")
        self.names: Mapping[str, tuple[str, ...]] = {
            field: tuple(info.features[field].names)
            for field in self.fields
            if isinstance(info.features[field], tfds.features.ClassLabel) and info.features[field].names
        }
        label_names = (info.metadata or {}).get("label_names")  # a tensor has no names of its own
        if label_names and self._kinds.get("labels") == "vector":
            self.names = {**self.names, "labels": tuple(label_names)}
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

    def reading(self, bands: Sequence[str]) -> "TfdsSource":
        """The same rows, read for other bands.

        Raises:
            InputError: there is no such band among `stored_bands`.
        """
        return TfdsSource(self._builder, self.split, self.image_size, bands)

    def read(self, row_b: np.ndarray) -> dict[str, np.ndarray]:
        """The rows as one batch: images (b, h, w, 3) uint8, integers int32, floats float32, text `str`.

        Bands (b, h, w) and vectors (b, k) have the shape and type that they were built with.

        Raises:
            IndexError: a row that the split does not have.
            InputError: a file or an image is damaged, or sizes differ and there is no `image_size`.
        """
        images = {field: ImageBatch(len(row_b), self.image_size) for field in self.image_fields}
        bands = {
            field: BATCHES.empty((len(row_b), *self._tensors[field].shape), self._tensors[field].dtype)
            for field in self.band_fields
        }

        rows = row_b.tolist()

        def decode(position: int, example: Mapping[str, Any]) -> None:
            place = f"row {rows[position]} of {self.name}, split {self.split},"
            for field, batch in images.items():
                batch.decode(position, example[field].bytes_list.value[0], f"{field} of {place}")
            for field, band_bhw in bands.items():
                band_bhw[position] = self._tensors[field].value(example[field], f"{field} of {place}")

        columns = self._read_columns(rows, decode)
        return {field: batch.image_bhwc for field, batch in images.items()} | bands | columns

    def encoded(self, row_b: np.ndarray) -> list[bytes]:
        """The files of all images of the rows, as they were built: what `read` decodes.

        Raises:
            IndexError: a row that the split does not have.
            InputError: a file is damaged.
        """
        examples = [_parse(self._records[row]) for row in row_b.tolist()]
        return [example[field].bytes_list.value[0] for field in self.image_fields for example in examples]

    def column(self, field: str) -> np.ndarray:
        """All values of a field that is neither image nor band, (n,) or (n, k).

        The first call reads every record once, for all fields.
        """
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
        """The fields of `rows` that are columns; every parsed record is shown to `visit` while it is at hand."""
        kinds = {field: kind for field, kind in self._kinds.items() if kind not in ("image", "band")}
        values: dict[str, list[Any]] = {field: [] for field in kinds}
        for position, row in enumerate(rows):
            example = _parse(self._records[row])
            visit(position, example)
            for field, kind in kinds.items():
                if kind == "vector":
                    where = f"{field} of row {row} of {self.name}, split {self.split},"
                    values[field].append(self._tensors[field].value(example[field], where))
                else:
                    values[field].append(_VALUE[kind](example[field]))
        return {field: self._stacked(field, kind, values[field]) for field, kind in kinds.items()}

    def _stacked(self, field: str, kind: str, values: list[Any]) -> np.ndarray:
        if kind != "vector":
            return np.array(values, _DTYPE[kind])
        tensor = self._tensors[field]
        return np.array(values, tensor.dtype).reshape(len(values), *tensor.shape)


@dataclass(frozen=True)
class _Tensor:
    """What the values of a tensor feature are, and whether a record holds their bytes or a list of numbers."""

    shape: tuple[int, ...]
    dtype: np.dtype
    as_bytes: bool

    @classmethod
    def of(cls, feature: Any) -> "_Tensor":
        """The description of a feature of TFDS."""
        return cls(tuple(feature.shape), np.dtype(feature.np_dtype), _encoding(feature) == "bytes")

    def value(self, feature: Any, where: str) -> np.ndarray:
        """The tensor in one record; InputError where its length is not that of the shape."""
        if self.as_bytes:
            content = feature.bytes_list.value[0]
            flat = np.frombuffer(content, self.dtype) if len(content) % self.dtype.itemsize == 0 else np.empty(0)
        else:
            flat = np.array(feature.int64_list.value or feature.float_list.value, self.dtype)
        if flat.size != math.prod(self.shape):
            raise InputError(f"{where} has another size than {self.shape}; build the data set again")
        return flat.reshape(self.shape)


def _is_read(feature: Any) -> bool:
    """Whether a tensor feature is one of numbers, of fixed shape and not compressed."""
    of_numbers = np.dtype(feature.np_dtype).kind in "iubf"
    return of_numbers and None not in feature.shape and _encoding(feature) in ("none", "bytes")


def _encoding(feature: Any) -> str:
    """How a tensor feature is stored: "none" (a list of numbers), "bytes" or "zlib", as features.json has it."""
    return feature.to_json_content().encoding


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
    """Field -> "image", "integer", "float", "text", "band" or "vector" for the features that a source offers."""
    import tensorflow_datasets as tfds

    kinds: dict[str, str] = {}
    for field, feature in sorted(features.items()):  # the order on disk is that of a hash
        if isinstance(feature, tfds.features.Image):
            kinds[field] = "image"
        elif isinstance(feature, (tfds.features.Tensor, tfds.features.Text)) and feature.shape == ():
            dtype = np.dtype(feature.np_dtype)
            kinds[field] = "integer" if dtype.kind in "iub" else "float" if dtype.kind == "f" else "text"
        elif isinstance(feature, tfds.features.Tensor) and _is_read(feature):
            kinds[field] = "vector" if len(feature.shape) == 1 else "band"
    return kinds


def _kinds_with(kinds: Mapping[str, str], bands: Sequence[str], name: str) -> dict[str, str]:
    """The fields of a source that is read for some of its bands.

    Raises:
        InputError: it has no such band.
    """
    known = [field for field, kind in kinds.items() if kind == "band"]
    for band in bands:
        if band not in known:
            have = ", ".join(known) or "none, its examples are images"
            raise InputError(f"{name} has no band '{band}'; it has {have} (data.bands says which are read)")
    columns = {field: kind for field, kind in kinds.items() if kind not in ("image", "band")}
    return dict.fromkeys(bands, "band") | columns


def tfds_source(
    name: str,
    split: str,
    *,
    data_dir: str | Path | None = None,
    image_size: int | None = None,
    bands: Sequence[str] | None = None,
) -> TfdsSource:
    """A split of a TFDS data set that has been built with array_record files.

    Args:
        name: "data_set", "data_set/config" or "data_set/config:version".
        split: a split's name, or a slice of it as TFDS writes it ("train[:10%]").
        data_dir: where it was built; None is TFDS's own default.
        image_size: side to resize images to, in pixels; None keeps the stored size.
        bands: the bands that are read, in this order, and no images; None for all that there is.

    Raises:
        InputError: the data set is not built there, lacks array_record files or a band, or has no such split or an
            empty one.
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
        return TfdsSource(builder, split, image_size, bands)
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
