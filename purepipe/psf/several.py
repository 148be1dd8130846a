"""PSF models of several images at once: extensions of an exposure, exposures of a sequence."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from purepipe.config.psf import PSFConfig
from purepipe.errors import AlgorithmError
from purepipe.psf.basis import principal_components
from purepipe.psf.fit import DEFAULT, Fitted, empty_model, fit_planes, judge, snapshots
from purepipe.psf.hidden import (
    drop_hidden,
    hidden_values,
    is_hidden,
    put_in,
    with_hidden,
    without_hidden,
)
from purepipe.psf.model import PSFModel
from purepipe.psf.samples import FWHMRange, Samples, fwhm_range, load_samples, pool

if TYPE_CHECKING:
    from astropy.table import Table

log = logging.getLogger(__name__)

# Number of the exposure, number of the extension.
_Key = tuple[int, int]


def fit_exposures(
    exposures: Sequence[Sequence[Table]],
    config: PSFConfig = DEFAULT,
    *,
    basis_images: NDArray[np.floating[Any]] | None = None,
) -> list[list[PSFModel]]:
    """The PSF models of all extensions of all exposures, as psfex makes them of its catalogues.

    Parameters
    ----------
    exposures
        For each exposure the star catalogues of its extensions, see `fit_psf`.
    config
        ``extensions = "common"`` makes one model for all extensions of an exposure, ``stability =
        "sequence"`` one for all exposures, ``new_basis`` fits principal components of the models.
        Contexts HIDDEN1, HIDDEN2, ... stand for principal components of the differences between
        the exposures of a sequence; as in PSFEx, models of single exposures and models common to
        all extensions leave them out.
    basis_images
        (nb, h, w) basis for ``config.basis = "file"``.

    Returns
    -------
    For each exposure the models of its extensions. Models fitted in common are judged by the
    stars of each extension. An extension without any star gets an empty model (``is_empty``).

    Raises
    ------
    DataError
        A catalogue lacks a column or a header value.
    """
    tables = {
        (i, j): table for i, exposure in enumerate(exposures) for j, table in enumerate(exposure)
    }
    if config.stability != "sequence" or config.extensions == "common":
        config = drop_hidden(config)
    plain = without_hidden(config)
    hidden = tuple(key for key in config.context_keys if is_hidden(key))
    together = _together(tables, config)
    # The verdict on the stars of an image uses the range of that image alone.
    own = _load(tables, plain, {})
    values = _hidden_values(tables, own, hidden, config, basis_images) if hidden else {}
    tables = {
        key: with_hidden(table, hidden, values[key]) if hidden else table
        for key, table in tables.items()
    }
    if config.new_basis != "none":
        fits = _fit_components(tables, own, together, config, basis_images)
    else:
        samples = _load(tables, config, _ranges(tables, together, config))
        fits = _fit_all(together, samples, config, basis_images)
    models: list[list[PSFModel]] = [[] for _ in exposures]
    for key in tables:
        group = next(group for group in together if key in group)
        fitted = fits[group]
        if fitted is not None and hidden:
            fitted = put_in(fitted, dict(zip(hidden, values[key], strict=True)))
        models[key[0]].append(_numbered(_model(fitted, own[key], plain), key))
    return models


def _hidden_values(
    tables: dict[_Key, Table],
    own: dict[_Key, Samples | None],
    hidden: tuple[str, ...],
    config: PSFConfig,
    basis_images: NDArray[np.floating[Any]] | None,
) -> dict[_Key, tuple[float, ...]]:
    """Values of the hidden contexts of each table, from a model of each of them alone."""
    single: dict[tuple[_Key, ...], Fitted | None] = {}
    alone: list[tuple[_Key, ...]] = [(key,) for key in tables]
    for members in _with_one_basis(alone, config):
        keys = [key for group in members for key in group]
        if config.new_basis != "none":
            one, basis = _components(keys, tables, own, config, basis_images)
        else:
            one = replace(config, sampling=_common_step(keys, tables, config))
            basis = basis_images
        single |= _fit_all(members, own, without_hidden(one), basis)
    values = dict.fromkeys(tables, (0.0,) * len(hidden))
    for label in {-1 if config.hidden_extensions == "common" else key[1] for key in tables}:
        vectors: dict[int, list[NDArray[np.float64]]] = {}
        for (key,), fitted in single.items():
            if label in (-1, key[1]) and fitted is not None:
                vectors.setdefault(key[0], []).append(snapshots(fitted).ravel())
        joined = {exposure: np.concatenate(parts) for exposure, parts in vectors.items()}
        for exposure, row in _compared(joined, len(hidden)).items():
            those = [key for key in tables if key[0] == exposure and label in (-1, key[1])]
            values |= dict.fromkeys(those, row)
    return values


def _compared(vectors: dict[int, NDArray[np.float64]], number: int) -> dict[int, tuple[float, ...]]:
    """Values of the hidden contexts of the exposures that have models of all extensions."""
    full = max((len(vector) for vector in vectors.values()), default=0)
    whole = {exposure: vector for exposure, vector in vectors.items() if len(vector) == full}
    for exposure in sorted(set(vectors) - set(whole)):
        log.warning(
            "exposure %d lacks models of some extensions: the mean of the others stands for its"
            " hidden contexts", exposure,
        )  # fmt: skip
    if not whole:
        return {}
    found = hidden_values(np.stack(list(whole.values())), number)
    return {exposure: tuple(row.tolist()) for exposure, row in zip(whole, found, strict=True)}


def _common_step(keys: list[_Key], tables: dict[_Key, Table], config: PSFConfig) -> float:
    """Size of the model pixels that models to be compared have in common."""
    modes = [limits.mode for limits in _ranges(tables, [tuple(keys)], config).values()]
    if config.sampling == 0 and modes:
        return float(np.float32(min(modes) / 2.35 * 0.5))
    return config.sampling


def _ranges(
    tables: dict[_Key, Table], together: list[tuple[_Key, ...]], config: PSFConfig
) -> dict[_Key, FWHMRange]:
    """Range of FWHM of each table: that of its exposure among the tables of one model."""
    ranges: dict[_Key, FWHMRange] = {}
    for group in together:
        for exposure in {key[0] for key in group}:
            members = [key for key in group if key[0] == exposure]
            pooled = group if config.fwhm_variation == "none" else members
            filled = [tables[key] for key in pooled if len(tables[key])]
            if filled:
                ranges |= dict.fromkeys(members, fwhm_range(filled, config))
    return ranges


def _load(
    tables: dict[_Key, Table], config: PSFConfig, ranges: dict[_Key, FWHMRange]
) -> dict[_Key, Samples | None]:
    """Stars of each table; None for an empty one."""
    return {
        key: load_samples(table, config, fwhm=ranges.get(key)) if len(table) else None
        for key, table in tables.items()
    }


def _together(tables: dict[_Key, Table], config: PSFConfig) -> list[tuple[_Key, ...]]:
    """Groups of tables that share a model."""
    groups: dict[_Key, list[_Key]] = {}
    for exposure, extension in tables:
        label = (
            -1 if config.stability == "sequence" else exposure,
            -1 if config.extensions == "common" else extension,
        )
        groups.setdefault(label, []).append((exposure, extension))
    return [tuple(group) for group in groups.values()]


def _fit_all(
    together: list[tuple[_Key, ...]],
    samples: dict[_Key, Samples | None],
    config: PSFConfig,
    basis_images: NDArray[np.floating[Any]] | None,
) -> dict[tuple[_Key, ...], Fitted | None]:
    """One fit per group; None where no star is left."""
    fits: dict[tuple[_Key, ...], Fitted | None] = {}
    for group in together:
        parts = [part for key in group if (part := samples[key]) is not None]
        fits[group] = None
        try:
            if parts:
                pooled = pool(parts) if len(parts) > 1 else parts[0]
                fits[group] = fit_planes(pooled, config, basis_images=basis_images)
        except AlgorithmError as error:
            log.warning("no PSF model of exposure %d, extension %d: %s", *group[0], error)
    return fits


def _fit_components(
    tables: dict[_Key, Table],
    own: dict[_Key, Samples | None],
    together: list[tuple[_Key, ...]],
    config: PSFConfig,
    basis_images: NDArray[np.floating[Any]] | None,
) -> dict[tuple[_Key, ...], Fitted | None]:
    """Fits with the principal components of the models of the single tables as the basis."""
    samples = _load(tables, config, _ranges(tables, together, config))
    result: dict[tuple[_Key, ...], Fitted | None] = dict.fromkeys(together)
    for members in _with_one_basis(together, config):
        keys = [key for group in members for key in group]
        second, basis = _components(keys, tables, own, config, basis_images)
        if basis is not None:
            result |= _fit_all(members, samples, second, basis)
    return result


def _with_one_basis(
    together: list[tuple[_Key, ...]], config: PSFConfig
) -> list[list[tuple[_Key, ...]]]:
    """Groups of tables that have their principal components in common."""
    common = config.extensions == "common" or config.new_basis == "pca_common"
    labels = dict.fromkeys(-1 if common else group[0][1] for group in together)
    return [[group for group in together if common or group[0][1] == label] for label in labels]


def _components(
    keys: list[_Key],
    tables: dict[_Key, Table],
    own: dict[_Key, Samples | None],
    config: PSFConfig,
    basis_images: NDArray[np.floating[Any]] | None,
) -> tuple[PSFConfig, NDArray[np.float32] | None]:
    """Configuration and basis of a second fit, from models of the single tables."""
    stepped = replace(config, sampling=_common_step(keys, tables, config))
    single = _fit_all([(key,) for key in keys], own, without_hidden(stepped), basis_images)
    images = [snapshots(fitted) for fitted in single.values() if fitted is not None]
    second = replace(stepped, basis="file", new_basis="none")
    if not images:
        return second, None
    return second, principal_components(np.concatenate(images), config.new_basis_number)


def _model(fitted: Fitted | None, samples: Samples | None, config: PSFConfig) -> PSFModel:
    if fitted is None or samples is None:
        return empty_model(samples, config)
    return judge(fitted, samples, config)


def _numbered(model: PSFModel, key: _Key) -> PSFModel:
    """The model with the numbers of its catalogue and extension among the samples."""
    if model.samples is not None:
        model.samples["CATALOG_NUMBER"][:] = key[0] + 1
        model.samples["EXTENSION"][:] = key[1] + 1
    return model
