"""The source over a TFDS data set that has been built, from its TFRecord or array_record files."""

import hashlib
import json
import math
import re
import shlex
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mtsccd_jax.data.bands import check_finite
from mtsccd_jax.data.buffer_pool import BATCHES
from mtsccd_jax.data.data_set_name import DataSetName, parse
from mtsccd_jax.data.decode import ImageBatch
from mtsccd_jax.data.feature_modules import check_features
from mtsccd_jax.data.records import Records, Shard
from mtsccd_jax.errors import InputError, nearest, one_line
from mtsccd_jax.files import local_path, naming

# The formats that can be read; the first is read faster.
_FORMATS = ("tfrecord", "array_record")
_BUILD_AGAIN = "remove the data set and build again"
# What mends a patch without data: builds of today refuse it.
_BUILD_WITHOUT_IT = "replace its file and build the data set again, or build with --skip-bad"


class TfdsSource:
    """A split of a built TFDS data set, read without TensorFlow: its TFRecord files, or else array_record files.

    The rows have the order of the files, as in `tfds.data_source`. The fields are images, integers, floats, texts and
    tensors of fixed shape. A tensor with one axis (multi-hot `labels`, for example) is a column. A tensor with more
    axes (a band, a map) is one of `band_fields`. Nested and variable-length features are left out. A source that
    is opened for some `bands` has only these bands and no images.
    """

    skipped: tuple[str, ...] = ()

    def __init__(self, builder: Any, split: str, image_size: int | None, bands: Sequence[str] | None = None):
        import tensorflow_datasets as tfds

        info = builder.info
        self._records = Records(_shards(builder, split))
        part = info.splits[split]
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

    def reading(self, bands: Sequence[str]) -> "TfdsSource":
        """Return a source over the same rows that reads other bands."""
        return TfdsSource(self._builder, self.split, self.image_size, bands)

    def read(self, row_b: np.ndarray) -> dict[str, np.ndarray]:
        """Read rows as one batch: images (b, h, w, 3) uint8, integers int32, floats float32, text `str`.

        Bands (b, h, w) and vectors (b, k) keep the shape and type that they were built with.
        """
        images = {field: ImageBatch(len(row_b), self.image_size) for field in self.image_fields}
        bands = {
            field: BATCHES.empty((len(row_b), *self._tensors[field].shape), self._tensors[field].dtype)
            for field in self.band_fields
        }
        floats = [field for field in self.band_fields if self._tensors[field].dtype.kind == "f"]
        rows = row_b.tolist()

        def decode(position: int, example: Mapping[str, Any]) -> None:
            place = f"row {rows[position]} of {self.name}, split {self.split},"
            for field, batch in images.items():
                batch.decode(position, example[field].bytes_list.value[0], f"{field} of {place}")
            for field, band_bhw in bands.items():
                band_bhw[position] = self._tensors[field].value(example[field], f"{field} of {place}")
            for field in floats:
                if not np.isfinite(bands[field][position]).all():  # some 3 us; to make the message takes as long
                    patch = f" patch {_VALUE['text'](example['patch_id'])}" if "patch_id" in self._kinds else ""
                    check_finite(bands[field][position], f"{field} of {place}{patch}", _BUILD_WITHOUT_IT)

        columns = self._read_columns(rows, decode)
        return {field: batch.image_bhwc for field, batch in images.items()} | bands | columns

    def encoded(self, row_b: np.ndarray) -> list[bytes]:
        """Return the encoded images of the rows, as `read` decodes them."""
        examples = [_parse(self._records[row]) for row in row_b.tolist()]
        return [example[field].bytes_list.value[0] for field in self.image_fields for example in examples]

    def column(self, field: str) -> np.ndarray:
        """Return all values of a field that is neither image nor band, (n,) or (n, k).

        The first call reads every record once and keeps all columns.
        """
        if self._columns is None:
            self._columns = self._read_columns(range(len(self)), lambda position, example: None)
        if field not in self._columns:
            raise KeyError(f"no column {field!r}; there are {', '.join(self._columns)}")
        return self._columns[field]

    def fingerprint(self) -> str:
        """Return a SHA-256 of name, version, split, fields, shards, size, and each shard's first and last record."""
        fields = [(field, kind, self.names.get(field)) for field, kind in self._kinds.items()]
        # Both formats have the same shards, and it does not matter which is read.
        names = (shard.path.name.replace(".tfrecord", ".array_record") for shard in self._records.shards)
        shards = [(name, shard.first, shard.rows) for name, shard in zip(names, self._records.shards, strict=True)]
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
        """Return the columns of `rows`, and call `visit(position, example)` with every parsed record."""
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


def _shards(builder: Any, split: str) -> list[Shard]:
    """Return the shards of a split in the first format of which all files are there, and make it the builder's.

    Raises:
        InputError: There is no format that can be read.
    """
    info, found = builder.info, []
    there = {one.value for one in info.available_file_formats()}
    for name in (name for name in _FORMATS if name in there):
        info.set_file_format(name, override=True, override_if_initialized=True)
        part = info.splits[split].file_instructions
        found.append([Shard(Path(shard.filename), shard.skip, shard.take) for shard in part])
        if all(shard.path.exists() for shard in found[-1]):
            return found[-1]
    if not found:
        raise InputError(
            f"{builder.data_dir} has {', '.join(sorted(there))} files, and only {' or '.join(_FORMATS)} can be read"
        )
    return found[0]  # the file that is missing is named when it is read


@dataclass(frozen=True)
class _Tensor:
    """Shape, type and encoding of a tensor feature."""

    shape: tuple[int, ...]
    dtype: np.dtype
    encoding: str

    @classmethod
    def of(cls, feature: Any) -> "_Tensor":
        """Return the description of a TFDS feature."""
        return cls(tuple(feature.shape), np.dtype(feature.np_dtype), _encoding(feature))

    def value(self, feature: Any, where: str) -> np.ndarray:
        """Return the tensor of one record; raise InputError where its size does not match the shape."""
        if self.encoding == "none":
            flat = np.array(feature.int64_list.value or feature.float_list.value, self.dtype)
        else:
            content = feature.bytes_list.value[0]
            if self.encoding == "zlib":
                content = _decompressed(content, math.prod(self.shape) * self.dtype.itemsize + 1)
            flat = np.frombuffer(content, self.dtype) if len(content) % self.dtype.itemsize == 0 else np.empty(0)
        if flat.size != math.prod(self.shape):
            raise InputError(f"{where} has another size than {self.shape}; build the data set again")
        return flat.reshape(self.shape)


def _decompressed(content: bytes, most: int) -> bytes:
    """Return at most so many bytes of zlib's; none of a stream that is damaged."""
    try:
        return zlib.decompressobj().decompress(content, most)
    except zlib.error:
        return b""


def _is_read(feature: Any) -> bool:
    """Return whether a tensor feature holds numbers of a fixed shape."""
    of_numbers = np.dtype(feature.np_dtype).kind in "iubf"
    return of_numbers and None not in feature.shape and _encoding(feature) in ("none", "bytes", "zlib")


def _encoding(feature: Any) -> str:
    """Return how features.json says that a tensor is stored: "none" (a list of numbers), "bytes" or "zlib"."""
    return str(feature.to_json_content().encoding)


_DTYPE = {"integer": np.int32, "float": np.float32, "text": np.str_}
_VALUE: dict[str, Callable[[Any], Any]] = {
    "integer": lambda feature: feature.int64_list.value[0],
    "float": lambda feature: feature.float_list.value[0],
    "text": lambda feature: feature.bytes_list.value[0].decode(),
}


def _parse(record: bytes) -> Mapping[str, Any]:
    """Return the features of a record by name."""
    from tensorflow_datasets.proto import tf_example_pb2

    features: Mapping[str, Any] = tf_example_pb2.Example.FromString(record).features.feature
    return features


def _field_kinds(features: Mapping[str, Any]) -> dict[str, str]:
    """Return the kind of every field: "image", "integer", "float", "text", "band" or "vector"."""
    import tensorflow_datasets as tfds

    kinds: dict[str, str] = {}
    for field, feature in sorted(features.items()):  # the order on disk is arbitrary
        if isinstance(feature, tfds.features.Image):
            kinds[field] = "image"
        elif isinstance(feature, (tfds.features.Tensor, tfds.features.Text)) and feature.shape == ():
            dtype = np.dtype(feature.np_dtype)
            kinds[field] = "integer" if dtype.kind in "iub" else "float" if dtype.kind == "f" else "text"
        elif isinstance(feature, tfds.features.Tensor) and _is_read(feature):
            kinds[field] = "vector" if len(feature.shape) == 1 else "band"
    return kinds


def _kinds_with(kinds: Mapping[str, str], bands: Sequence[str], name: str) -> dict[str, str]:
    """Return the fields of a source that reads only some bands; raise InputError for an unknown band."""
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
    """Open a split of a TFDS data set that has been built.

    Args:
        name: "data_set", "data_set/config" or "data_set/config:version".
        split: The name of a split, or a slice of it as TFDS writes it ("train[:10%]").
        data_dir: The TFDS data directory; None for TFDS's default.
        image_size: Side in pixels that images are resized to; None keeps the stored size.
        bands: The bands to read, in this order, without images; None for every field.

    Raises:
        InputError: The data set is not built there, or in other formats, lacks a band or the split, or the split is
            empty.
    """
    builder = _builder(name, data_dir)
    splits = builder.info.splits
    try:
        empty = splits[split].num_examples == 0
    except (KeyError, ValueError) as error:
        known, part = ", ".join(splits) or "none", re.split(r"[\[+]", split)[0]
        if part in splits and part != split:
            rows = splits[part].num_examples
            form = f"write {part}[:10%] or {part}[10:20]; {part} has {rows:,} examples"
            raise InputError(f"{name}: split {split!r} is no part of what there is; {form}") from error
        raise InputError(f"{name} has no split {split!r}; it has {known}.{nearest(split, splits)}") from error
    if empty:
        raise InputError(
            f"split {split!r} of {name} in {builder.data_dir_root} is empty; choose one of {', '.join(splits)}"
        )
    return TfdsSource(builder, split, image_size, bands)


def built_splits(name: str, data_dir: str | Path | None = None) -> tuple[str, ...]:
    """Return the splits of a built TFDS data set."""
    return tuple(_builder(name, data_dir).info.splits)


def _builder(name: str, data_dir: str | Path | None) -> Any:
    """Return the read-only TFDS builder of a built data set; raise InputError where it is not built."""
    import tensorflow_datasets as tfds
    from tensorflow_datasets.core import read_only_builder

    from tfds_builders.checksums import damaged_file, unreadable
    from tfds_builders.reading.files import is_of_the_machine

    wanted = parse(name)
    place = local_path(data_dir if data_dir is not None else tfds.core.constants.DATA_DIR, "data directory")
    if place.is_file():
        raise InputError(f"{place} is a file; name the folder that data sets were built into")
    check_features(place / wanted.name)
    try:
        builder = read_only_builder.builder_from_files(name, data_dir=place)
        if wrong := damaged_file(Path(builder.data_dir)):
            raise InputError(f"{wrong}; {_BUILD_AGAIN}")
        dict(builder.info.metadata or {})  # read now, where an error is told
        return builder
    except tfds.core.DatasetNotFoundError as error:
        raise InputError(_not_built(wanted, place)) from error
    except InputError:
        raise
    except Exception as error:  # TFDS parses damaged files as if they were whole, and fails anywhere
        system = error.__cause__ if isinstance(error.__cause__, OSError) else error  # TFDS's own have no number
        if is_of_the_machine(system):
            with naming(place / wanted.name):
                raise system from None
        raise InputError(f"{one_line(unreadable(name, place, error))}; {_BUILD_AGAIN}") from error


def _not_built(wanted: DataSetName, place: Path) -> str:
    """Say that a data set is not in a TFDS data directory, what is, and what to do."""
    built, known = _built(place), str(DataSetName(wanted.name, wanted.config))
    if wanted.version and known in built:
        return f"{wanted} is not in {place}, which has version {', '.join(built[known])}; leave :{wanted.version} out"
    hint = f".{found} Or" if (found := nearest(known, built)) else ";"
    have = ", ".join(built) or "nothing"
    return (
        f"data set '{wanted}' is not in {place}, which holds {have}{hint} build it with: {_build_command(known, place)}"
    )


def _build_command(name: str, place: str | Path) -> str:
    return f"mtsccd-jax data build {name.partition(':')[0]} --archive DIR --data-dir {shlex.quote(str(place))}"


def _built(data_dir: Path) -> dict[str, list[str]]:
    """Return the data sets in a TFDS data directory, with their configurations, and the versions of each."""
    built: dict[str, list[str]] = {}
    for path in sorted([*data_dir.glob("*/*/features.json"), *data_dir.glob("*/*/*/features.json")]):
        built.setdefault(path.parent.parent.relative_to(data_dir).as_posix(), []).append(path.parent.name)
    return built
