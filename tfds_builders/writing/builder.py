"""One build, two file formats: TFRecord for `tfds.load`, ArrayRecord for `tfds.data_source`.

TFDS reads either, but writes only one at a time; tf.data cannot read ArrayRecord, and random access needs it. Of both,
the primary format is TFRecord and the alternative is ArrayRecord, with the same shards in the same order; any other
arrangement breaks one of the two calls. TFDS alone also needs TensorFlow to write TFRecord; here nothing does.
"""

import abc
import errno
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence, Sized
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol

import tensorflow_datasets as tfds

from tfds_builders.checksums import damaged_file, unreadable, write_checksums
from tfds_builders.processors import default_workers
from tfds_builders.reading.archive import ArchiveError
from tfds_builders.reading.names import is_utf8
from tfds_builders.reading.problems import CONVENTION, MANY, alike
from tfds_builders.writing.beam import parse_beam_options, write_shards_with_beam
from tfds_builders.writing.building import building_alone, remove_unfinished
from tfds_builders.writing.examples import ShardLimits
from tfds_builders.writing.exclusion import Exclusion, WithoutListed
from tfds_builders.writing.formats import INFO_FILE, formats_named, formats_of, lacks, shard_files
from tfds_builders.writing.pool import Shard, write_shards
from tfds_builders.writing.records import Example, Excluded, ShardResult, Skipped

Progress = Callable[[int, int], None]


class ShardExamples(Protocol):
    """The examples of one shard: picklable, of known length, read anew by every call."""

    def __len__(self) -> int: ...

    def __call__(self) -> Iterator[tuple[object, Example | Skipped | Excluded]]:
        """Yield (key, example), or (key, Skipped) for an example that could not be made."""
        ...


class DualFormatBuilder(tfds.core.ShardBasedBuilder, skip_registration=True):  # type: ignore[call-arg, misc]
    """A TFDS builder whose data set is written in two formats, by several processes or an Apache Beam pipeline.

    A subclass returns `ShardExamples` from `_shard_iterators_per_split`. They yield `(key, example)`: every feature by
    name, as TFDS stores it (encoded image bytes, labels as integers), or `records.Skipped`. A subclass counts in
    `absent` the listed examples that the archive does not have. Beside TFDS's own arguments a builder takes:

    Args:
        archive: the folder, zip or tar file to build from, instead of TFDS's manual download folder.
        skip_bad: leave out bad files and name them in `skipped`, instead of raising ArchiveError.
        workers: number of processes that write; the default is one per processor.
        progress: called with (examples done, examples in all) while they write.
        beam_options: write by a Beam pipeline with these options ("runner=DirectRunner"), not by `workers` processes.
            Beam's workers must see the archive and the data folder under the same paths. Beam settings
            in TFDS's own DownloadConfig have the same effect.
        formats: "both", or the one of "tfrecord" and "array_record" to write; data that are built keep theirs.
        exclude: list of rows to leave out, as `data audit` writes it.
    """

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES: ClassVar[dict[str, str]] = {"1.0.0": "Initial release."}
    # Small enough that every core gets a shard of a split of MtSCCD, large enough that files stay few.
    SHARD_BYTES: ClassVar[int] = 32 << 20
    DOWNLOAD_HINT: ClassVar[str]  # where to download the archive; a part of error messages

    def __init__(
        self,
        *,
        data_dir: str | os.PathLike[str] | None = None,
        config: str | tfds.core.BuilderConfig | None = None,
        version: str | None = None,
        file_format: str | None = None,
        archive: str | os.PathLike[str] | None = None,
        skip_bad: bool = False,
        workers: int | None = None,
        progress: Progress | None = None,
        beam_options: Sequence[str] | None = None,
        formats: str = "both",
        exclude: str | os.PathLike[str] | None = None,
    ):
        _check_format(file_format)  # tfds.data_source asks for array_record by this argument
        self._archive = None if archive is None else Path(archive)
        self._skip_bad = skip_bad
        self._workers = default_workers() if workers is None else workers
        self._progress = progress
        self._beam_options = None if beam_options is None else parse_beam_options(beam_options)
        self._beam_runner: Any = None
        self._limits = ShardLimits(self.SHARD_BYTES)
        self.skipped: list[str] = []
        self.absent = 0
        self.adopted = False  # whether another process has built the data meanwhile
        self._asked = formats_named(formats)
        super().__init__(data_dir=data_dir, config=config, version=version)
        dataset = self.info.full_name.removesuffix(f"/{self.info.version}")
        self.exclusion = None if exclude is None else Exclusion(exclude, dataset)
        self.excluded = 0

    def dataset_info_from_configs(self, **kwargs: Any) -> tfds.core.DatasetInfo:
        """Return the info with a second format declared beside the first (TFDS's own method, its own arguments)."""
        others = [tfds.core.FileFormat.from_value(name) for name in self.formats[1:]]
        metadata = tfds.core.MetadataDict()
        return super().dataset_info_from_configs(alternative_file_formats=others, metadata=metadata, **kwargs)

    @property
    def formats(self) -> tuple[str, ...]:
        """The formats of the data that are there, or else those that they will be built in, the primary one first."""
        return formats_of(Path(self.data_dir)) or self._asked

    def as_data_source(self, *args: Any, **kwargs: Any) -> Any:
        """Return a random-access source; see TFDS. Afterwards the builder still serves `as_dataset`."""
        self._require("array_record")
        try:
            return super().as_data_source(*args, **kwargs)
        finally:
            self._set_primary()

    def as_dataset(self, *args: Any, **kwargs: Any) -> Any:
        """Return a `tf.data.Dataset`; see TFDS."""
        self._require("tfrecord")
        return super().as_dataset(*args, **kwargs)

    def _require(self, name: str) -> None:
        """Raise NotImplementedError, as TFDS does, where the data were not built in a format."""
        there = formats_of(Path(self.data_dir))
        if there and name not in there:
            raise NotImplementedError(f"{self.data_dir} {lacks(name, self.info.full_name, self.data_dir_root)}")

    def _set_primary(self) -> None:
        """Make the primary format that again; TFDS may have changed it."""
        self.info.set_file_format(self.formats[0], override=True, override_if_initialized=True)

    def _scratch_dir(self) -> Path:
        """Return the folder for unpacked files, inside the one that TFDS renames in the end, or removes."""
        return Path(self.data_dir) / "scratch"

    @abc.abstractmethod
    def source(self) -> str:
        """Return a fingerprint of archive and configuration, as `info.metadata["source"]` of a build has it."""

    def _archive_path(self, dl_manager: tfds.download.DownloadManager) -> Path:
        """Return the archive that was given, or else TFDS's manual download folder."""
        if self._archive is not None:
            return self._archive
        try:
            return Path(dl_manager.manual_dir)
        except AssertionError as error:  # TFDS's way to say that
            where = str(error).partition(" Create ")[0]
            raise ArchiveError(f"no archive given. {where} To fill it, {self.DOWNLOAD_HINT}") from error

    def _refuse_or_skip(self, problems: Sequence[str]) -> None:
        """Raise ArchiveError with the first problem, or note all problems in `skipped` if bad files are left out."""
        if problems and not self._skip_bad:
            more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
            is_convention = len(problems) >= MANY and alike(problems[:MANY])
            advice = f"the first {MANY} {CONVENTION}" if is_convention else "or build with --skip-bad"
            raise ArchiveError(f"{problems[0]}{more}; {advice}")
        self.skipped += problems

    def download_and_prepare(
        self, *, download_config: tfds.download.DownloadConfig | None = None, file_format: Any = None, **kwargs: Any
    ) -> None:
        """Build the data, as TFDS's own method and with its arguments, but one process at a time.

        A process that finds the data built by another adopts them.
        """
        _check_format(file_format)
        config = download_config or tfds.download.DownloadConfig()
        folder, overwrite = Path(self.data_dir), config.download_mode.overwrite_dataset
        if (folder / INFO_FILE).is_file() and not overwrite:
            super().download_and_prepare(download_config=config, **kwargs)
            remove_unfinished(folder)
            return
        self._limits = _shard_limits(config, self.SHARD_BYTES)
        with building_alone(folder):
            if folder.exists() and not overwrite and not (folder / INFO_FILE).is_file():
                raise ArchiveError(f"{folder}: holds no whole data set (no {INFO_FILE}); remove it and build again")
            try:
                super().download_and_prepare(download_config=config, **kwargs)
                if self.info.splits:  # they are written now, and were not adopted
                    write_checksums(folder)
            except OSError as error:
                # Without a lock, another process may have been the first to give its folder the name.
                if overwrite or not (folder / INFO_FILE).is_file():
                    raise _placed(error, folder) from None
        if not self.info.splits:
            self.info.read_from_directory(folder)
            self.adopted = True

    def _download_and_prepare(
        self, dl_manager: tfds.download.DownloadManager, download_config: tfds.download.DownloadConfig | None = None
    ) -> None:
        if download_config is not None and (download_config.beam_options or download_config.beam_runner):
            self._beam_options = download_config.beam_options or parse_beam_options([])
            self._beam_runner = download_config.beam_runner
        self._set_primary()
        splits = self._shard_iterators_per_split(dl_manager)
        results = self._write(splits)
        shutil.rmtree(self._scratch_dir(), ignore_errors=True)
        self.info.metadata.update(skipped=self.skipped, absent=self.absent)
        if self.exclusion is not None:
            self.info.metadata.update(excluded=self.excluded, exclude_sha256=self.exclusion.sha256)
        if self._limits.most_examples is not None:
            self.info.metadata.update(max_examples_per_split=self._limits.most_examples)
        self.info.set_splits(tfds.core.splits.SplitDict(self._split_infos(results)))

    # Otherwise TFDS would print to standard output, which belongs to the caller, about a download of unknown size.
    def _log_download_bytes(self) -> None:
        pass

    def _log_download_done(self) -> None:
        pass

    def _write(self, splits: Mapping[str, Sequence[ShardExamples]]) -> dict[str, list[ShardResult]]:
        shards, owner = [], []
        for split, examples_of_shards in splits.items():
            if self.exclusion is not None:
                names = self.exclusion.names(split)
                examples_of_shards = [WithoutListed(examples, len(examples), names) for examples in examples_of_shards]
            template = self._get_filename_template(split_name=split)
            for index, examples in enumerate(examples_of_shards):
                shards.append(Shard(examples, shard_files(template, self._asked, index, len(examples_of_shards))))
                owner.append(split)
        done, total = 0, sum(len(examples) for shards_of_split in splits.values() for examples in shards_of_split)

        def report(more: int) -> None:
            nonlocal done
            done += more
            if self._progress is not None:
                self._progress(done, total)

        results: dict[str, list[ShardResult]] = {split: [] for split in splits}
        for split, result in zip(owner, self._write_shards(shards, report), strict=True):
            results[split].append(result)
            self.skipped += result.skipped
            self.excluded += result.excluded
        if self.exclusion is not None:
            for split, of_split in results.items():
                self.exclusion.check(split, sum(result.excluded for result in of_split))
        return results

    def _write_shards(self, shards: Sequence[Shard], report: Callable[[int], None]) -> list[ShardResult]:
        if self._beam_options is None:
            return write_shards(shards, self._workers, report)
        scratch = self._scratch_dir() / "beam"
        return write_shards_with_beam(shards, scratch, self._beam_options, self._beam_runner, report)

    def _split_infos(self, results: Mapping[str, Sequence[ShardResult]]) -> list[tfds.core.SplitInfo]:
        infos = []
        for split, shards in results.items():
            lengths = [shard.examples for shard in shards]
            if not all(lengths):
                left_out = f"{self.exclusion.path} leaves out the rest" if self.exclusion else ""
                why = self.skipped[-1] if self.skipped else left_out
                raise ArchiveError(f"split '{split}': hardly a readable image is left; {why}")
            num_bytes = sum(shard.num_bytes for shard in shards)
            template = self._get_filename_template(split_name=split)
            infos.append(tfds.core.SplitInfo(split, lengths, num_bytes, template))
        return infos


@dataclass(frozen=True)
class BuildResult:
    """The result of a build: examples per split, a line for everything left out, and where TFDS finds the data.

    `absent` counts the examples that the archive's own lists name and the archive does not have, `excluded` those that
    a list of an audit has left out.
    """

    splits: dict[str, int]
    skipped: list[str]
    data_dir: Path
    absent: int = 0
    excluded: int = 0


def _check_format(file_format: str | tfds.core.FileFormat | None) -> None:
    """Raise ValueError for a format other than the two in which the data are always written."""
    if file_format is not None:
        asked = tfds.core.FileFormat.from_value(file_format)
        if asked not in (tfds.core.FileFormat.TFRECORD, tfds.core.FileFormat.ARRAY_RECORD):
            raise ValueError(f"file_format {asked.value}: this data set has tfrecord and array_record")


def _placed(error: OSError, folder: Path) -> OSError:
    """Return an error of the system that names the folder, where it names no file."""
    is_full = error.errno is None and "Not enough disk space" in str(error)  # TFDS's words where nothing is free
    number = errno.ENOSPC if is_full else error.errno
    return error if number is None or error.filename else OSError(number, os.strerror(number), str(folder))


def _shard_limits(config: tfds.download.DownloadConfig, shard_bytes: int) -> ShardLimits:
    """Return the limits that a caller sets by TFDS's options; raise ArchiveError for those that cannot be followed."""
    for name in ("max_examples_per_split", "num_shards"):
        value = getattr(config, name)
        if value is not None and value < 1:
            raise ArchiveError(f"{name}={value}: must be 1 or more; leave it out for all")
    if config.compute_stats == tfds.download.ComputeStatsMode.FORCE:
        raise ArchiveError("compute_stats=FORCE: statistics are not computed; leave it out")
    usual = tfds.download.DownloadConfig()
    least = 0 if config.min_shard_size == usual.min_shard_size else config.min_shard_size
    shard_bytes = max(least, min(shard_bytes, config.max_shard_size))
    return ShardLimits(shard_bytes, config.num_shards, config.max_examples_per_split)


def refuse_empty_split(path: Path, splits: Mapping[str, Sized]) -> None:
    """Raise ArchiveError if a split of the archive at `path` has no example."""
    for split, examples in splits.items():
        if not len(examples):
            raise ArchiveError(f"{path}: split '{split}' would be empty; is a part of the archive missing?")


def _refuse_other_data(builder: DualFormatBuilder) -> None:
    """Raise ArchiveError where the data that are there are damaged, of another archive, or only a part."""
    if wrong := damaged_file(Path(builder.data_dir)):
        raise ArchiveError(f"{wrong}; remove the data set and build again")
    metadata = builder.info.metadata or {}
    if metadata.get("exclude_sha256") != (builder.exclusion.sha256 if builder.exclusion else None):
        raise ArchiveError(
            f"{builder.data_dir}: built {'with' if 'exclude_sha256' in metadata else 'without'} a list of rows to "
            "leave out, and not with this choice; remove it or give another data folder"
        )
    if metadata.get("source") != builder.source():
        raise ArchiveError(f"{builder.data_dir}: built from another archive; remove it or give another data folder")
    if most := metadata.get("max_examples_per_split"):
        raise ArchiveError(
            f"{builder.data_dir}: built with max_examples_per_split={most}; remove it or give another data folder"
        )
    for name in set(builder._asked) - set(builder.formats):
        raise ArchiveError(f"{builder.data_dir} {lacks(name, builder.info.full_name, builder.data_dir_root)}")


def build(
    name: str,
    *,
    archive: str | os.PathLike[str],
    data_dir: str | os.PathLike[str] | None = None,
    skip_bad: bool = False,
    workers: int | None = None,
    config: str | tfds.core.BuilderConfig = "official",
    progress: Progress | None = None,
    beam_options: Sequence[str] | None = None,
    formats: str = "both",
    exclude: str | os.PathLike[str] | None = None,
) -> BuildResult:
    """Build the data set `name` from `archive` in both file formats, or in one, and return the result.

    Data that are already there are kept if they came from the same archive and have the formats.

    Args:
        name: one of `BUILDERS`, such as `mtsccd_lusc`.
        archive: a folder, a zip or a tar file.
        data_dir: TFDS's data folder; its default is TFDS's own.
        skip_bad: leave out bad files and name them in the result, instead of stopping.
        workers: number of processes; the default is one per processor.
        config: `official`, another one of the data set's, or a configuration of your own.
        progress: called with (examples done, examples in all).
        beam_options: options of an Apache Beam pipeline that writes, such as "runner=DirectRunner"; None writes with
            `workers` processes of this machine. Both give the same files.
        formats: "both", "tfrecord" (for `tfds.load`) or "array_record" (for `tfds.data_source`).
        exclude: list of rows to leave out, the exclude.csv of an audit of these data.

    Raises:
        ArchiveError: the archive is missing, empty or wrong, the data set, the configuration or a Beam option is
            unknown, or Beam is not installed.
        OSError: the disk is full.
        ChildProcessError: a worker was killed.
    """
    from tfds_builders.builders import BUILDERS

    if name not in BUILDERS:
        raise ArchiveError(f"unknown data set '{name}'; known are {', '.join(BUILDERS)}")
    if data_dir is not None and not is_utf8(os.fspath(data_dir)):
        raise ArchiveError(f"{data_dir}: not a path in UTF-8, and TFDS writes to no other; give another data folder")
    builder_cls = BUILDERS[name]
    if isinstance(config, str) and config not in builder_cls.builder_configs:
        known = ", ".join(builder_cls.builder_configs)
        raise ArchiveError(f"{name}: unknown configuration '{config}'; it has {known}")
    try:
        builder = builder_cls(
            data_dir=data_dir,
            config=config,
            archive=archive,
            skip_bad=skip_bad,
            workers=workers,
            progress=progress,
            beam_options=beam_options,
            formats=formats,
            exclude=exclude,
        )
        if (Path(builder.data_dir) / INFO_FILE).is_file():
            _refuse_other_data(builder)
    except (ArchiveError, OSError, MemoryError):
        raise
    except Exception as error:  # TFDS parses damaged files as if they were whole, and fails anywhere
        place = Path(tfds.core.constants.DATA_DIR if data_dir is None else data_dir)
        if not (place / name).is_dir():
            raise
        raise ArchiveError(f"{unreadable(name, place, error)}; remove the data set and build again") from error
    builder.download_and_prepare()
    if builder.adopted:
        _refuse_other_data(builder)
    splits = {split: int(info.num_examples) for split, info in builder.info.splits.items()}
    # Data of an earlier release lack this number.
    absent = int(builder.info.metadata.get("absent", 0))
    excluded = int(builder.info.metadata.get("excluded", 0))
    return BuildResult(splits, list(builder.info.metadata["skipped"]), Path(builder.data_dir_root), absent, excluded)
