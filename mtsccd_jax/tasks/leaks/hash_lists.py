"""Hash lists: small files with a name, a digest and a perceptual hash of every image, shared where images cannot be."""

import io
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mtsccd_jax.errors import InputError
from mtsccd_jax.files import read_bytes, replacing
from mtsccd_jax.report.arrays import read_arrays
from mtsccd_jax.tasks.leaks.images import Images
from mtsccd_jax.tasks.leaks.inputs import Part, rank

if TYPE_CHECKING:
    from mtsccd_jax.tasks.leaks.audit import Member

VERSION = 1
_ARRAYS = {
    "version": "iu",
    "dataset": "U",
    "split": "U",
    "fingerprint": "U",
    "part": "iu",
    "row": "iu",
    "view": "iu",
    "name": "U",
    "digest": "u",
    "hash": "u",
    "structure": "f",
}


@dataclass(frozen=True)
class HashList:
    """A hash list: the data set, split and names' fingerprint of every part, and what is known of n images."""

    path: Path
    dataset: np.ndarray
    split: np.ndarray
    fingerprint: np.ndarray
    part: np.ndarray
    row: np.ndarray
    view: np.ndarray
    name: np.ndarray
    digest: np.ndarray
    hashes: np.ndarray
    structure: np.ndarray

    def member(self, index: int, number: int) -> "Member":
        """Return one image as a member of a pair; `number` is the place of the list among the inputs."""
        from mtsccd_jax.tasks.leaks.audit import Member

        part = int(self.part[index])
        dataset, split = str(self.dataset[part]), str(self.split[part])
        label = f"{dataset} {split}, by {self.path.name}"
        row, view, name = int(self.row[index]), int(self.view[index]), str(self.name[index])
        return Member(rank(split), number, row, view, dataset, split, label, name)


def write(path: Path, parts: list[Part], images: Images) -> None:
    """Write the hash list of the images of some parts, those that were audited and not only compared with."""
    own = np.flatnonzero(~np.array([part.against for part in parts])[images.part])
    name = [str(parts[images.part[at]].names[images.row[at], images.view[at]]) for at in own]
    buffer = io.BytesIO()
    np.savez_compressed(
        buffer,
        version=np.array(VERSION),
        dataset=np.array([part.dataset for part in parts], np.str_),
        split=np.array([part.split for part in parts], np.str_),
        fingerprint=np.array([part.fingerprint for part in parts], np.str_),
        part=images.part[own],
        row=images.row[own],
        view=images.view[own],
        name=np.array(name, np.str_),
        digest=images.digest[own],
        hash=images.hashes[own, 0],
        structure=images.structure[own].astype(np.float16),
    )
    with replacing(path) as file:
        file.write(buffer.getvalue())


def read(path: Path) -> HashList:
    """Read a hash list.

    Raises:
        InputError: The file is no hash list, damaged, or of another version.
    """
    try:
        arrays = read_arrays(read_bytes(path), path)
    except ValueError as error:
        raise InputError(f"{error}; --against takes a data set, a folder, or hashes.npz of another audit") from None
    wrong = [name for name, kind in _ARRAYS.items() if name not in arrays or arrays[name].dtype.kind not in kind]
    if wrong:
        raise InputError(f"{path}: no hash list of `data audit` (it lacks {', '.join(wrong)}); name its hashes.npz")
    if arrays["version"].tolist() != VERSION:
        raise InputError(f"{path}: a hash list of another version; write it again with this one")
    n, parts = len(arrays["name"]), len(arrays["dataset"])
    lengths = {len(arrays[name]) for name in ("part", "row", "view", "digest", "hash", "structure")}
    fits = lengths == {n} and arrays["digest"].shape == (n, 2) and arrays["hash"].ndim == 1
    if not fits or (n and not 0 <= arrays["part"].min() <= arrays["part"].max() < parts):
        raise InputError(f"{path}: its arrays do not fit together; write the hash list again")
    arrays["hashes"] = arrays["hash"].astype(np.uint64)
    arrays["digest"] = arrays["digest"].astype(np.uint64)
    return HashList(path, **{field.name: arrays[field.name] for field in fields(HashList) if field.name != "path"})
