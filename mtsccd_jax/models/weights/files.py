"""Reading of published weights: a torch checkpoint, a safetensors file, or a repository of the Hugging Face hub.

No file can run code: torch checkpoints are opened with `weights_only=True`, other pickles not at all.
"""

import errno
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mtsccd_jax.errors import InputError
from mtsccd_jax.files import naming
from mtsccd_jax.models.weights.torch_file import read_torch, stated_architecture

HUB_PREFIX = "hf:"
# The files of hub repositories that hold weights, in the order in which they are tried.
HUB_FILES = ("model.safetensors", "pytorch_model.bin")
# Errors of the cache's disk, which say nothing of the hub.
_OF_THE_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS, errno.EACCES, errno.EMFILE)
SAFETENSORS_SUFFIXES = (".safetensors",)
# The header of a safetensors file by `mtsccd-jax export` has the network and the data sets of its training here.
MODEL, TRAINED_ON = "model", "trained_on"
TORCH_SUFFIXES = (".pth", ".pt", ".bin", ".ckpt", ".pth.tar", ".pt.tar")


@dataclass(frozen=True)
class WeightFile:
    """The arrays of one file, whose user calls it `source`."""

    source: str
    arrays: dict[str, np.ndarray]  # by published name, in torch's layout, half precision widened to float32
    sha256: str
    normalization: tuple[tuple[float, ...], tuple[float, ...]] | None = None  # mean and deviation, if published
    trained_on: tuple[str, ...] = ()  # the data sets of the training, one after the other, if known
    architecture: str | None = None  # the network by its publisher's name, if the file says it
    notes: tuple[str, ...] = ()  # on what was taken where there is more than one network


def read(source: str) -> WeightFile:
    """Read the weights at a path or at `hf:OWNER/NAME[@REVISION][:FILE]`.

    Raises:
        InputError: no such file or repository, no network and nothing cached, a broken file, a file with code, or a
            missing library.
    """
    config: dict[str, Any] = {}
    if source.startswith(HUB_PREFIX):
        path, config = _download(source)
    else:
        path = Path(source).expanduser()
        if not path.is_file():
            raise InputError(f"{source}: no such weight file; give a .safetensors, a .pth or {HUB_PREFIX}OWNER/NAME")
    with naming(path), path.open("rb") as stream:
        # All of it before the libraries map the file into memory, where a disk that fails ends the process.
        sha256 = hashlib.file_digest(stream, "sha256").hexdigest()
    header: dict[str, str] = {}
    notes: list[str] = []
    if path.name.endswith(SAFETENSORS_SUFFIXES):
        arrays, header = _read_safetensors(path, source)
        architecture = header.get(MODEL)
    elif path.name.endswith(TORCH_SUFFIXES):
        arrays, architecture, notes = read_torch(path, source)
    else:
        raise InputError(f"{source}: cannot read '{path.suffix}' weights; give a .safetensors or a .pth")
    return WeightFile(
        source,
        arrays,
        sha256,
        _normalization(config),
        _trained_on(header, source),
        stated_architecture(config) or architecture,
        tuple(notes),
    )


def _trained_on(header: dict[str, str], source: str) -> tuple[str, ...]:
    """Return the data sets that the header of a safetensors file names."""
    try:
        names = json.loads(header.get(TRAINED_ON, "[]"))
        if isinstance(names, list) and all(isinstance(name, str) for name in names):
            return tuple(names)
    except (ValueError, RecursionError):
        pass
    raise InputError(f"{source}: '{TRAINED_ON}' in its header is no list of data sets; download or export it again")


def _normalization(config: dict[str, Any]) -> tuple[tuple[float, ...], tuple[float, ...]] | None:
    """Return the mean and the deviation in a configuration of the hub, None without them."""
    published = config.get("pretrained_cfg", config)
    if not isinstance(published, dict):
        return None
    found = tuple(published.get(name) for name in ("mean", "std"))
    if not all(isinstance(values, list) and all(type(value) in (int, float) for value in values) for values in found):
        return None
    mean, deviation = (tuple(map(float, values)) for values in found)  # type: ignore[arg-type]  # checked above
    return mean, deviation


def _read_safetensors(path: Path, source: str) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Return the arrays of a file, and its header."""
    from safetensors import SafetensorError, safe_open

    try:
        # The flax framework reads bfloat16 without torch.
        with safe_open(path, framework="flax") as stored:
            arrays = {name: _widened(np.asarray(stored.get_tensor(name))) for name in list(stored.keys())}
            return arrays, stored.metadata() or {}
    except (SafetensorError, AttributeError) as error:  # AttributeError: a type that NumPy lacks, such as float8
        raise InputError(f"{source}: a broken safetensors file ({error}); download it again") from None


def _widened(value: np.ndarray) -> np.ndarray:
    """Return a floating-point array as float32, others as they are."""
    is_float = np.issubdtype(value.dtype, np.floating) or value.dtype.name == "bfloat16"
    return value.astype(np.float32) if is_float else value


def _download(source: str) -> tuple[Path, dict[str, Any]]:
    """Return the cached file of a hub repository, and its configuration."""
    try:
        from huggingface_hub import errors, hf_hub_download
    except ModuleNotFoundError:
        raise InputError(f"{source}: needs the hub client; `pip install 'mtsccd-jax[hub]'`") from None
    repository, _, file_name = source.removeprefix(HUB_PREFIX).partition(":")
    repository, _, revision = repository.partition("@")

    def fetch(file_name: str) -> Path:
        return Path(hf_hub_download(repository, file_name, revision=revision or None))

    candidates = (file_name,) if file_name else HUB_FILES
    try:
        path = None
        for candidate in candidates:
            try:
                path = fetch(candidate)
                break
            except errors.LocalEntryNotFoundError:
                raise
            except errors.EntryNotFoundError:
                continue
        if path is None:
            raise InputError(f"{source}: the repository holds no {' or '.join(candidates)}; name a file after a colon")
        try:
            found = json.loads(fetch("config.json").read_text(encoding="utf-8"))
            config = found if isinstance(found, dict) else {}
        except (errors.EntryNotFoundError, ValueError, RecursionError):
            config = {}
    except errors.LocalEntryNotFoundError as error:
        answer = getattr(getattr(error.__cause__, "response", None), "status_code", None)
        why = f"the hub answered with status {answer}" if answer else "the hub cannot be reached"
        raise InputError(f"{source}: {why} and nothing is cached; try again later, or give a file") from None
    except errors.RevisionNotFoundError:
        raise InputError(f"{source}: the repository has no revision '{revision}'") from None
    except errors.RepositoryNotFoundError:
        raise InputError(f"{source}: no such repository on the hub, or a private one; check the name") from None
    except errors.HFValidationError as error:
        raise InputError(f"{source}: not a repository name ({str(error).splitlines()[0]})") from None
    except (errors.HTTPError, OSError) as error:  # type: ignore[attr-defined]  # imported there, but not listed
        if isinstance(error, OSError) and error.errno in _OF_THE_DISK:
            raise OSError(error.errno, error.strerror, error.filename or source) from None
        reason = str(error).strip().splitlines() or [type(error).__name__]
        raise InputError(f"{source}: the download failed ({reason[0]}); run the same command again") from None
    return path, config
