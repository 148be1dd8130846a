"""Content keys: what a unit's products depend on, hashed; and what changed when a key did."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from purepipe.config import MaskConfig, SurveyConfig, to_mapping
from purepipe.config.survey import InputConfig
from purepipe.pipeline.units import CatalogueTask, CCDTask, CellsTask, ShapesTask, TileTask, Unit

_SAMPLE = 65536  # bytes at each end of a large file
_WHOLE = 1 << 22  # files up to this size are always hashed in full


@dataclass(frozen=True)
class Settings:
    """Hashes of the configuration that the units of each kind depend on, computed once a run."""

    seed: int
    inputs: str
    ccd: str
    tile: str
    shapes: str
    cells: str
    products: str
    masks_ccd: tuple[Path | None, ...]
    masks_tile: tuple[Path | None, ...]


def settings_of(config: SurveyConfig) -> Settings:
    """The parts of a survey's configuration that results depend on."""
    inputs, tile = config.inputs, config.tile
    kinds = [inputs.weight_kind, inputs.tile_weight_kind]
    return Settings(
        seed=config.seed,
        inputs=content_hash(_scales(inputs), kinds),
        # The limits of the PSF's use decide whether the unit of a CCD counts as done.
        ccd=content_hash(to_mapping(config.ccd), to_mapping(tile.psf)),
        tile=content_hash([to_mapping(step) for step in (tile.mask, tile.detect, tile.epochs)]),
        shapes=content_hash({k: v for k, v in to_mapping(tile).items() if k != "metadetect"}),
        cells=content_hash(
            to_mapping(tile.metadetect),
            to_mapping(tile.psf),
            to_mapping(tile.epochs),
            tile.shapes.stamp_size,
        ),
        products=content_hash(config.products),
        masks_ccd=_mask_inputs(config.ccd.mask),
        masks_tile=_mask_inputs(tile.mask),
    )


def unit_parts(
    unit: Unit,
    settings: Settings,
    needed: Iterable[str],
    *,
    identify: Callable[[Path], list[Any] | None] | None = None,
) -> dict[str, Any]:
    """What the products of a unit depend on, as plain values: code, configuration, files, needs.

    Parameters
    ----------
    needed
        Keys and fates of the units that it waits for.
    identify
        Gives the identity of a file; default: `file_identity`.
    """
    identify = identify or file_identity
    task = unit.task
    files: tuple[Path | None, ...] = ()
    own: list[Any] = []
    configuration = ""
    if isinstance(task, CCDTask):
        files = (task.image, task.weight, task.flag, task.stars, *settings.masks_ccd)
        own = [task.hdu, task.weight_hdu, task.flag_hdu]
        configuration = settings.ccd
    elif isinstance(task, TileTask):
        files = (task.image, task.weight, task.flag, task.stars, *settings.masks_tile)
        own = [_headers(task.ccds), list(task.missing)]
        configuration = settings.tile
    elif isinstance(task, ShapesTask):
        own = [task.start, task.stop]
        configuration = settings.shapes
    elif isinstance(task, CellsTask):
        # The projection of the tile alone, which its file may change with all else.
        files = (task.tile.image,)
        own = [task.row, _headers(task.tile.ccds), task.tile.missing, task.tile.incomplete]
        configuration = settings.cells
    elif isinstance(task, CatalogueTask):
        own = [len(task.blocks), len(task.cells)]
        configuration = settings.products
    return {
        "code": code_version(),
        "configuration": content_hash(configuration, settings.inputs, settings.seed),
        "plan": content_hash(unit.name, own),
        "files": [identify(file) for file in files if file is not None],
        "needs": content_hash(list(needed)),
    }


def unit_key(parts: Mapping[str, Any]) -> str:
    """The content key of a unit, from what it depends on."""
    return content_hash(dict(parts))


def changes(earlier: Mapping[str, Any] | None, now: Mapping[str, Any] | None) -> str:
    """Why a unit is done again, in words: which files changed, or what else did."""
    if earlier is None or now is None:
        return "inputs, configuration or code changed"
    then = {entry[0]: entry for entry in earlier.get("files", ())}
    found = [
        f"{entry[0]} changed" if entry[0] in then else f"{entry[0]} is new"
        for entry in now["files"]
        if list(entry) != then.get(entry[0])
    ]
    names = {entry[0] for entry in now["files"]}
    found += [f"{name} is gone" for name in then if name not in names]
    words = {
        "code": "the code changed",
        "configuration": "the configuration of its steps changed",
        "plan": "its place in the survey changed",
        "needs": "what it is made from changed",
    }
    found += [word for name, word in words.items() if earlier.get(name) != now[name]]
    return "; ".join(found) or "inputs, configuration or code changed"


def content_hash(*parts: Any) -> str:
    """A short hash of plain nested values; equal parts give equal hashes on every machine."""
    text = json.dumps(parts, sort_keys=True, default=str)
    return hashlib.blake2b(text.encode(), digest_size=12).hexdigest()


def file_identity(path: Path | None) -> list[Any] | None:
    """Name, size and time of change of a file: what makes a unit's key change with its input.

    Times are compared for equality alone, so a clock that went backwards does no harm.
    """
    if path is None:
        return None
    try:
        stat = path.stat()
    except OSError:
        return [path.name, None, None]
    return [path.name, stat.st_size, stat.st_mtime_ns]


def fingerprint(path: Path, *, whole: bool = False) -> str:
    """A hash of a file's content, the same on every machine.

    Files above 4 MiB are sampled unless the whole is asked for: size, both ends, and 64 blocks
    between. That tells a file made anew, or damaged at length, but not one changed in a few bytes.
    """
    digest = hashlib.blake2b(digest_size=16)
    # Unbuffered: a buffer would be filled anew for every block.
    with path.open("rb", buffering=0) as stream:
        size = stream.seek(0, 2)
        digest.update(str(size).encode())
        stream.seek(0)
        if whole or size <= _WHOLE:
            while part := stream.read(_WHOLE):
                digest.update(part)
            return digest.hexdigest()
        digest.update(stream.read(_SAMPLE))
        for position in range(1, 65):
            digest.update(os.pread(stream.fileno(), 4096, position * size // 66))
        digest.update(os.pread(stream.fileno(), _SAMPLE, size - _SAMPLE))
    return digest.hexdigest()


@lru_cache(maxsize=1)
def code_version() -> str:
    """The version and a hash of purepipe's own sources."""
    from purepipe import __version__

    digest = hashlib.blake2b(digest_size=8)
    package = Path(__file__).parent.parent
    for path in sorted(package.rglob("*.py")):
        digest.update(str(path.relative_to(package)).encode())
        digest.update(path.read_bytes())
    return f"{__version__}+{digest.hexdigest()}"


def _headers(ccds: Iterable[Any]) -> list[Any]:
    return [(ref.task.exposure, ref.task.ccd, ref.cards) for ref in ccds]


def _mask_inputs(mask: MaskConfig) -> tuple[Path | None, ...]:
    return (mask.messier.catalogue, mask.ngc.catalogue, mask.sky.map)


def _scales(inputs: InputConfig) -> list[Any]:
    """What turns ADU into magnitudes and electrons."""
    return [
        inputs.zero_point, inputs.gain_keys, inputs.saturation_keys, inputs.flux_scale_keys
    ]  # fmt: skip
