"""Reading of published weights: a torch checkpoint, a safetensors file, or a repository of the Hugging Face hub.

No file can run code: torch checkpoints are opened with `weights_only=True`, other pickles not at all.
"""

import hashlib
import json
import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mtsccd_jax.errors import InputError

HUB_PREFIX = "hf:"
# The files of hub repositories that hold weights, in the order in which they are tried.
HUB_FILES = ("model.safetensors", "pytorch_model.bin")
SAFETENSORS_SUFFIXES = (".safetensors",)
# The header of a safetensors file by `mtsccd-jax export` has the data sets of the training under this key.
TRAINED_ON = "trained_on"
TORCH_SUFFIXES = (".pth", ".pt", ".bin")
# The keys under which training scripts save the arrays.
NESTED_KEYS = ("state_dict", "model", "model_state_dict", "model_ema", "module")


@dataclass(frozen=True)
class WeightFile:
    """The arrays of one file, whose user calls it `source`."""

    source: str
    arrays: dict[str, np.ndarray]  # by published name, in torch's layout, half precision widened to float32
    sha256: str
    normalization: tuple[tuple[float, ...], tuple[float, ...]] | None = None  # mean and deviation, if published
    trained_on: tuple[str, ...] = ()  # the data sets of the training, one after the other, if known


def read(source: str) -> WeightFile:
    """Read the weights at a path or at `hf:OWNER/NAME[@REVISION][:FILE]`.

    Raises:
        InputError: no such file or repository, no network and nothing cached, a broken file, a file with code, or a
            missing library.
    """
    normalization, trained_on = None, tuple[str, ...]()
    if source.startswith(HUB_PREFIX):
        path, normalization = _download(source)
    else:
        path = Path(source).expanduser()
        if not path.is_file():
            raise InputError(f"{source}: no such weight file; give a .safetensors, a .pth or {HUB_PREFIX}OWNER/NAME")
    if path.suffix in SAFETENSORS_SUFFIXES:
        arrays, trained_on = _read_safetensors(path, source)
    elif path.suffix in TORCH_SUFFIXES:
        arrays = _read_torch(path, source)
    else:
        raise InputError(f"{source}: cannot read '{path.suffix}' weights; give a .safetensors or a .pth")
    with path.open("rb") as stream:
        sha256 = hashlib.file_digest(stream, "sha256").hexdigest()
    return WeightFile(source, arrays, sha256, normalization, trained_on)


def _read_safetensors(path: Path, source: str) -> tuple[dict[str, np.ndarray], tuple[str, ...]]:
    """Return the arrays of a file, and the data sets of the training in its header."""
    from safetensors import SafetensorError, safe_open

    try:
        # The flax framework reads bfloat16 without torch.
        with safe_open(path, framework="flax") as stored:
            arrays = {name: _widened(np.asarray(stored.get_tensor(name))) for name in list(stored.keys())}
            data_sets = (stored.metadata() or {}).get(TRAINED_ON)
    except SafetensorError as error:
        raise InputError(f"{source}: a broken safetensors file ({error}); download it again") from None
    return arrays, tuple(map(str, json.loads(data_sets))) if data_sets else ()


def _read_torch(path: Path, source: str) -> dict[str, np.ndarray]:
    """Return the arrays of a torch checkpoint."""
    try:
        import torch
    except ModuleNotFoundError:
        raise InputError(
            f"{source}: reading torch checkpoints needs PyTorch; `pip install torch`, or give the .safetensors"
        ) from None
    try:
        stored = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        raise InputError(f"{source}: holds code or is broken, and is not opened; give a .safetensors") from None
    except (RuntimeError, EOFError, ValueError, KeyError) as error:
        reason = str(error).split(". ")[0]
        raise InputError(f"{source}: a broken torch checkpoint ({reason}); download it again") from None
    for key in NESTED_KEYS:
        if isinstance(stored, dict) and isinstance(stored.get(key), dict):
            stored = stored[key]
    if not isinstance(stored, dict) or not all(isinstance(value, torch.Tensor) for value in stored.values()):
        raise InputError(f"{source}: not a state dict of arrays; save `model.state_dict()`")
    return {name: (value.float() if value.dtype.is_floating_point else value).numpy() for name, value in stored.items()}


def _widened(value: np.ndarray) -> np.ndarray:
    """Return a floating-point array as float32, others as they are."""
    is_float = np.issubdtype(value.dtype, np.floating) or value.dtype.name == "bfloat16"
    return value.astype(np.float32) if is_float else value


def _download(source: str) -> tuple[Path, Any]:
    """Return the cached file of a hub repository, and the normalisation in its configuration."""
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
            config = json.loads(fetch("config.json").read_text(encoding="utf-8"))
        except (errors.EntryNotFoundError, json.JSONDecodeError):
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
        reason = str(error).strip().splitlines() or [type(error).__name__]
        raise InputError(f"{source}: the download failed ({reason[0]}); run the same command again") from None
    published = config.get("pretrained_cfg", config)
    if "mean" in published and "std" in published:
        return path, (tuple(published["mean"]), tuple(published["std"]))
    return path, None
