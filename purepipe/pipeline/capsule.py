"""The capsule of a run: all it takes to repeat it, and to see whether it came out the same."""

from __future__ import annotations

import json
import platform
import sys
from collections.abc import Iterable
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from purepipe.config import SurveyConfig, from_mapping, to_mapping
from purepipe.errors import DataError, InputFileError
from purepipe.io.atomic import write_text
from purepipe.pipeline.keys import code_version, content_hash, fingerprint, settings_of
from purepipe.pipeline.progress import Progress
from purepipe.pipeline.store import Outcome, Store, digests
from purepipe.pipeline.verify import input_digests

if TYPE_CHECKING:
    from purepipe.pipeline.run import RunSummary

CAPSULE = "capsule.json"
_FORMAT = 1
_PACKAGES = ("numpy", "scipy", "astropy", "numba", "sep", "photutils", "scikit-learn")
_ORDER = {
    "exposure": 0,
    "ccd": 1,
    "tile": 2,
    "shapes": 3,
    "cells": 4,
    "catalogue": 5,
}  # of the chain


@dataclass(frozen=True)
class Capsule:
    """A run that can be repeated.

    Attributes
    ----------
    code, python, platform, packages
        What ran.
    config
        The configuration as used.
    inputs
        File -> hash of its content (sampled where it is large).
    units
        Unit -> status and, for each product, a hash of its content.
    """

    code: str
    python: str
    platform: str
    packages: dict[str, str]
    config: dict[str, Any]
    inputs: dict[str, str]
    units: dict[str, tuple[str, dict[str, str]]]


@dataclass(frozen=True)
class Repetition:
    """A run that was repeated.

    Attributes
    ----------
    notes
        What is not as it was: code, packages, machine.
    difference
        The first unit, in the order of the chain, that came out otherwise; empty when none did.
    """

    summary: RunSummary
    notes: tuple[str, ...]
    difference: str


def provenance(config: SurveyConfig) -> dict[str, str | int]:
    """Header cards for the products: code, seed, and a hash of what results depend on."""
    settings = settings_of(config)
    return {
        "PIPEVERS": code_version(),
        "PIPESEED": config.seed,
        "PIPECONF": content_hash(settings.inputs, settings.ccd, settings.tile, settings.shapes),
    }


def write_capsule(
    store: Store, config: SurveyConfig, outcomes: Iterable[Outcome], inputs: Iterable[Path]
) -> Path:
    """Write the capsule of a run into its folder; its path is returned."""
    hashes = digests(store)
    content = {
        "format": _FORMAT,
        **environment(),
        "config": to_mapping(config),
        "inputs": input_digests(store, inputs),
        "units": {o.name: [o.status, hashes.get(o.name, {})] for o in outcomes},
    }
    path = store.root / CAPSULE
    write_text(path, json.dumps(content, indent=1, sort_keys=True) + "\n")
    return path


def environment() -> dict[str, Any]:
    """The code, Python, the packages that numbers come from, and the machine."""
    packages = {}
    for name in _PACKAGES:
        try:
            packages[name] = version(name)
        except PackageNotFoundError:
            continue
    return {
        "code": code_version(),
        "python": platform.python_version(),
        "platform": f"{sys.platform} {platform.machine()}",
        "packages": packages,
    }


def read_capsule(path: Path) -> Capsule:
    """The capsule in a file.

    Raises
    ------
    InputFileError
        The file is missing, no capsule, or of a later format.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise InputFileError(
            "the capsule does not exist", file=path, remedy=f"A finished run holds {CAPSULE}."
        ) from error
    except (OSError, ValueError) as error:
        raise InputFileError(f"this is not a capsule: {error}", file=path) from error
    if not isinstance(content, dict) or content.get("format") != _FORMAT:
        got = content.get("format") if isinstance(content, dict) else type(content).__name__
        raise InputFileError(
            "this is not a capsule that this version reads", file=path, key="format",
            got=got, allowed=_FORMAT, remedy="Take the version of purepipe that wrote it.",
        )  # fmt: skip
    try:
        return Capsule(
            str(content["code"]), str(content["python"]), str(content["platform"]),
            dict(content["packages"]), dict(content["config"]), dict(content["inputs"]),
            {str(k): (str(v[0]), dict(v[1])) for k, v in content["units"].items()},
        )  # fmt: skip
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        raise InputFileError(
            f"the capsule is damaged: {error!r}", file=path, remedy="Take the original file."
        ) from error


def rerun(
    path: Path,
    out: Path,
    *,
    executor: Executor | None = None,
    workers: int | None = None,
    progress: Progress | None = None,
) -> Repetition:
    """Repeat the run of a capsule in a new folder, and name the first difference.

    Parameters
    ----------
    path
        The capsule.
    out
        Folder of the new run.
    executor, workers, progress
        As for `run`.

    Raises
    ------
    InputFileError
        The file is no capsule.
    DataError
        An input is missing or has changed; the first one is named.
    ConfigError
        The configuration in the capsule is not one of this version.
    """
    from purepipe.pipeline.run import run

    capsule = read_capsule(path)
    config = replace(from_mapping(SurveyConfig, capsule.config, file=path), out=out)
    _require_inputs(capsule, path)
    summary = run(config, executor=executor, workers=workers, progress=progress)
    again = read_capsule(out / CAPSULE)
    return Repetition(
        summary, tuple(changed_environment(capsule)), first_difference(capsule, again)
    )


def changed_environment(capsule: Capsule) -> list[str]:
    """One line for whatever is not as it was when the capsule was written."""
    now = environment()
    lines = [
        f"{name}: {getattr(capsule, name)} then, {now[name]} now"
        for name in ("code", "python", "platform")
        if getattr(capsule, name) != now[name]
    ]
    for name in sorted(capsule.packages.keys() | now["packages"].keys()):
        then, present = capsule.packages.get(name), now["packages"].get(name)
        if then != present:
            lines.append(f"{name}: {then} then, {present} now")
    return lines


def first_difference(a: Capsule, b: Capsule) -> str:
    """The first unit, in the order of the chain, that ended or wrote otherwise; else empty."""
    for name in sorted(a.units.keys() | b.units.keys(), key=_place):
        if name not in a.units or name not in b.units:
            return f"{name}: only in the {'second' if name in b.units else 'first'} run"
        (status, products), (status_b, products_b) = a.units[name], b.units[name]
        if status != status_b:
            return f"{name}: {status} in the first run, {status_b} in the second"
        for product in sorted(products.keys() | products_b.keys()):
            if products.get(product) != products_b.get(product):
                return f"{name}: the product {product} differs"
    return ""


def _place(name: str) -> tuple[int, str]:
    return _ORDER.get(name.split(maxsplit=1)[0], len(_ORDER)), name


def _require_inputs(capsule: Capsule, path: Path) -> None:
    for name, digest in capsule.inputs.items():
        file = Path(name)
        now = fingerprint(file) if file.is_file() else "missing"
        if now != digest:
            raise DataError(
                "an input is missing" if now == "missing" else "an input has changed",
                file=name, remedy=f"Restore the file as it was for {path}.",
            )  # fmt: skip
