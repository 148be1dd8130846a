"""Images to look at: stars, residuals, weights, the planes and snapshots of a PSF model."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from purepipe.config.psf import PSFConfig
from purepipe.display import brief
from purepipe.errors import ConfigError, DataError, did_you_mean
from purepipe.psf import polynomial
from purepipe.psf.fit import DEFAULT
from purepipe.psf.model import PSFModel
from purepipe.psf.problem import prepare
from purepipe.psf.samples import load_samples

if TYPE_CHECKING:
    from astropy.table import Table

CHECK_IMAGES = (
    "CHI", "PROTOTYPES", "RESIDUALS", "SAMPLES", "SNAPSHOTS", "WEIGHTS", "-SYMMETRICAL",
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class StarStamps:
    """The accepted stars of a model, one stamp each.

    Attributes
    ----------
    rows
        (n,) rows of the star catalogue.
    samples, weights
        (n, h, w) vignettes and inverse variances; 0 where a pixel is bad.
    residuals
        (n, h, w) vignette minus model of the best flux; a bad pixel shows the model of unit flux.
    chi
        (n, h, w) squared residuals in units of the variance, 0 for pixels that do not count.
    """

    rows: NDArray[np.intp]
    samples: NDArray[np.float32]
    weights: NDArray[np.float32]
    residuals: NDArray[np.float32]
    chi: NDArray[np.float32]

    __repr__ = brief


def star_stamps(model: PSFModel, stars: Table, config: PSFConfig = DEFAULT) -> StarStamps:
    """Vignettes, weights and residuals of the stars that a model accepted.

    Parameters
    ----------
    model
        From `fit_psf`, with its samples.
    stars, config
        What the model was fitted to, and how.

    Raises
    ------
    DataError
        The model has no samples, or they are not those of `stars`.
    """
    from purepipe.psf.fit_nb import star_residuals

    if model.samples is None or len(model.samples) != len(stars):
        raise DataError(
            "the PSF model does not come from these stars",
            got=f"{0 if model.samples is None else len(model.samples)} samples",
            allowed=f"{len(stars)}",
            remedy="Pass the table that the model was fitted to.",
        )
    samples = load_samples(stars, config).with_flags(np.asarray(model.samples["FLAGS_PSF"]))
    samples = samples.with_centres(
        np.array(model.samples["DELTAX_IMAGE"]), np.array(model.samples["DELTAY_IMAGE"])
    )
    problem = prepare(samples, config, model.groups, model.degrees, step=model.sampling)
    rows = problem.rows
    shape = (len(rows), *samples.vignets.shape[1:])
    difference, chi = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
    radius = float(np.float32(problem.grid.step * problem.grid.half_size))
    for i, row in enumerate(rows):
        star_residuals(
            row, samples.vignets, samples.weights, samples.flux, problem.terms, model.mask,
            *problem.taps, samples.dx, samples.dy, radius, config.accuracy**2, difference[i],
            chi[i],
        )  # fmt: skip
    chi[chi < 0] = 0
    return StarStamps(rows, samples.vignets[rows], samples.weights[rows], difference, chi)


def check_image(
    kind: str, model: PSFModel, stars: Table, config: PSFConfig = DEFAULT, *, cube: bool = False
) -> NDArray[np.float32]:
    """One of psfex's check-images: a mosaic, or the stamps themselves with `cube`.

    Parameters
    ----------
    kind
        CHI, RESIDUALS, SAMPLES, WEIGHTS (of the accepted stars), PROTOTYPES (the planes of the
        model; in the mosaic times their terms at the corner of the contexts), SNAPSHOTS (the
        model on a grid of ``config.snapshots`` per context), -SYMMETRICAL (snapshots minus
        themselves rotated by 180 degrees).
    cube
        The stamps (n, h, w) instead of a mosaic; psfex makes a mosaic of -SYMMETRICAL anyway.
    model, stars, config
        See `star_stamps`.

    Raises
    ------
    ConfigError
        There is no such check-image.
    """
    if kind not in CHECK_IMAGES:
        raise ConfigError(
            "unknown check-image", key="CHECKIMAGE_TYPE", got=repr(kind),
            remedy=did_you_mean(kind, CHECK_IMAGES),
        )  # fmt: skip
    if kind == "PROTOTYPES":
        corner = np.full((1, len(model.contexts)), 0.5)
        terms = polynomial.evaluate(corner, model.powers)[0]
        stamps = model.mask if cube else model.mask * terms[:, None, None].astype(np.float32)
        return stamps if cube else mosaic(stamps, min(len(stamps), 10))
    if kind in ("SNAPSHOTS", "-SYMMETRICAL"):
        stamps = _snapshots(model, config.snapshots)
        if kind == "-SYMMETRICAL":
            stamps = stamps - stamps[:, ::-1, ::-1]
        across = config.snapshots if model.contexts else 1
        return stamps if cube else mosaic(stamps, across)
    found = star_stamps(model, stars, config)
    stamps = getattr(found, kind.lower())
    across = max(10 * math.ceil(int(math.sqrt(len(stamps))) / 10), 1)
    return stamps if cube else mosaic(stamps, across)


def mosaic(stamps: NDArray[np.float32], across: int) -> NDArray[np.float32]:
    """Stamps (n, h, w) side by side, `across` in a row, the first one at the lower left."""
    n, height, width = stamps.shape
    down = max(math.ceil(n / across), 1)
    image = np.zeros((down * across, height, width), np.float32)
    image[:n] = stamps
    return np.ascontiguousarray(
        image.reshape(down, across, height, width)
        .swapaxes(1, 2)
        .reshape(down * height, across * width)
    )


def _snapshots(model: PSFModel, number: int) -> NDArray[np.float32]:
    """The model on a grid of normalised contexts, the first context fastest."""
    steps = (np.arange(number) + 0.5) / number - 0.5
    grids = np.meshgrid(*[steps] * len(model.contexts), indexing="ij")
    count = number ** len(model.contexts)
    points = np.stack([g.ravel() for g in reversed(grids)], axis=1) if grids else np.zeros((1, 0))
    terms = polynomial.evaluate(points.reshape(count, len(model.contexts)), model.powers)
    return np.tensordot(terms, model.mask.astype(np.float64), axes=1).astype(np.float32)
