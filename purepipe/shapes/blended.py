"""Shear bias where galaxies blend, from simulated cells of sky.

Galaxies, stars and PSFs are sums of Gaussians, sampled at the pixel centres. Of a pair of cells one
is sheared by +gamma and the other by -gamma, and the pixel grid with it: galaxies and noise are
then the same in pixel coordinates, white noise stays white, and only the PSF, fixed on the sky,
looks different. That removes most of the noise from the bias. Noise also comes with both signs.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from purepipe.errors import ConfigError
from purepipe.rng import generator
from purepipe.shapes.cells import CellTransfer, cell_images, cell_transfer
from purepipe.shapes.images import shear_matrix
from purepipe.shapes.metacal import FitOptions, metacal_fit
from purepipe.shapes.metadetect import CellCatalogue, catalogues_of, ramp, usable_area
from purepipe.shapes.selftest import ShearTest

Floats = NDArray[np.float64]

SCALE = 0.2
SIDE = 288
FIELD = 250  # pixels that hold galaxies
MARGIN, GUARD = 20, 12.0
GAMMA = 0.02
# fraction of the flux and variance in units of the squared half-light radius
GALAXY = ((0.10, 0.03), (0.35, 0.22), (0.55, 1.05))
PSF = ((0.55, 0.072), (0.37, 0.18), (0.08, 0.60))  # arcsec^2; FWHM about 0.75
PSF_SHAPES = ((0.03, 0.0), (-0.02, 0.03), (0.0, -0.04))  # of the epochs, in turn
PSF_WIDTHS = (1.0, 0.92, 1.1)
STAR_MASK = 12.0  # pixels around saturated stars
STAR_FLUX = (2e4, 2e5)  # in units of the pixel noise
_GROUPS = 100
_STAMP = 51


def _smooth(c: CellCatalogue) -> Floats:
    return ramp((c.s2n - 7) / 8) * ramp((c.size_ratio - 1.1) / 0.25)


def _hard(c: CellCatalogue) -> Floats:
    return ((c.s2n > 10) & (c.size_ratio > 1.2)).astype(np.float64)


# Name: whether every image is searched for detections, and the weight of a detection.
ESTIMATORS: Mapping[str, tuple[bool, Callable[[CellCatalogue], Floats]]] = {
    "metadetection": (True, lambda c: c.weight),
    "metadetection, weight of S/N and size alone": (True, _smooth),
    "metadetection, hard cuts": (True, _hard),
    "metacalibration of detections": (False, _smooth),
    "metacalibration of detections, hard cuts": (False, _hard),
}
STAMPS = "metacalibration of detections, stamps and fits"


@dataclass(frozen=True)
class FieldOptions:
    """What simulated cells contain.

    Attributes
    ----------
    density
        Galaxies per arcmin^2, half of them too faint to be detected or selected.
    epochs
        Number of epochs with different PSFs, all together as deep as one.
    stars
        Mean number of saturated stars per cell, masked within 12 pixels.
    masked
        Fraction of the pixels of each epoch that are bad, at random.
    """

    density: float = 80.0
    epochs: int = 1
    stars: float = 0.0
    masked: float = 0.0

    def __post_init__(self) -> None:
        for key, value, least in (
            ("density", self.density, 0.0), ("epochs", self.epochs, 1), ("stars", self.stars, 0.0),
            ("masked", self.masked, 0.0),
        ):  # fmt: skip
            if not least <= value < 1e4:
                raise ConfigError("out of range", key=key, got=value, allowed=f"from {least}")


def selftest_blended(
    pairs: int,
    options: FieldOptions = FieldOptions(),
    *,
    seed: int = 0,
    stamps: bool = False,
    first: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, ShearTest]:
    """Shear bias of metadetection, and of metacalibration of detections, in the same fields.

    Parameters
    ----------
    pairs
        Number of pairs of cells of opposite shear; components alternate.
    options
        What the cells contain.
    seed
        Of the scenes and their noise.
    stamps
        Whether also to fit stamps about the detections (`metacal_fit`), one epoch only.
    first
        Number of the first pair.
    progress
        Called with the number of pairs done and the total.

    Raises
    ------
    ConfigError
        Fewer than eight pairs.
    """
    if pairs < 8:
        raise ConfigError("out of range", key="pairs", got=pairs, allowed="from 8")
    sums = blended_sums(
        pairs, options, seed=seed, stamps=stamps, first=first, progress=progress
    )  # fmt: skip
    return {name: bias_of_sums(of_estimator) for name, of_estimator in sums.items()}


def blended_sums(
    pairs: int,
    options: FieldOptions,
    *,
    seed: int,
    stamps: bool = False,
    first: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Floats]:
    """Sums of every estimator, (pair, sign of the shear, 5, 3) as `cell_sums` gives."""
    shears = GAMMA * np.array([[1, 0], [-1, 0], [0, 1], [0, -1]])
    jacobians = [shear_matrix(*g) @ (SCALE * np.eye(2)) for g in shears]
    noise = np.full(options.epochs, math.sqrt(options.epochs))
    psfs = [_psf_stamps(jac, options.epochs) for jac in jacobians]
    transfers = [
        cell_transfer(psf, jac, noise, (SIDE, SIDE))
        for psf, jac in zip(psfs, jacobians, strict=True)
    ]
    names = (*ESTIMATORS, STAMPS) if stamps else tuple(ESTIMATORS)
    out = {name: np.zeros((pairs, 2, 5, 3)) for name in names}
    for k in range(pairs):
        pair = first + k
        rng = generator(seed, "blended scene", pair)
        sources, masks = _random_scene(rng, options)
        white = noise[:, None, None] * rng.standard_normal((options.epochs, SIDE, SIDE))
        for sign in range(2):
            version = 2 * (pair % 2) + sign
            clean = _draw(sources, jacobians[version], options.epochs)
            for flip in (False, True):
                image = (clean + (-white if flip else white)).astype(np.float32)
                parts = _measure(image, transfers[version], masks, seed, pair, flip)
                if stamps:
                    parts[STAMPS] = _measure_stamps(
                        image[0], psfs[version][0], transfers[version], seed, pair, flip
                    )
                for name, part in parts.items():
                    out[name][k, sign] += part
        if progress is not None:
            progress(k + 1, pairs)
    return out


def _random_scene(
    rng: np.random.Generator, options: FieldOptions
) -> tuple[Floats, NDArray[np.bool_] | None]:
    """Rows x, y, flux, Cxx, Cxy, Cyy (pixels) of Gaussians before the PSF; and the bad pixels.

    Galaxies have S/N from 3.5, half of them below 7.7; counts fall as flux^-1.875.
    """
    area = (FIELD * SCALE / 60) ** 2
    number = rng.poisson(options.density * area)
    radius = 0.35 * np.exp(rng.normal(0, 0.35, number))
    snr = np.minimum(3.5 * rng.uniform(size=number) ** (-1 / 0.875), 1000.0)
    flux = snr * np.sqrt(4 * np.pi * (radius**2 * 0.66 + 0.13)) / SCALE
    angle, size = rng.uniform(0, 2 * np.pi, number), np.minimum(rng.rayleigh(0.2, number), 0.7)
    place = rng.uniform(-FIELD / 2, FIELD / 2, (number, 2)) + (SIDE - 1) / 2
    rows = []
    for k in range(number):
        shear = radius[k] / SCALE * shear_matrix(size[k] * np.cos(angle[k]),
                                                 size[k] * np.sin(angle[k]))  # fmt: skip
        cov = shear @ shear.T
        for fraction, variance in GALAXY:
            c = variance * cov
            rows.append((*place[k], fraction * flux[k], c[0, 0], c[0, 1], c[1, 1]))
    masks = None
    if options.stars > 0 or options.masked > 0:
        masks = rng.uniform(size=(options.epochs, SIDE, SIDE)) < options.masked
        y, x = np.mgrid[:SIDE, :SIDE]
        for _ in range(rng.poisson(options.stars)):
            star = rng.uniform(0, SIDE - 1, 2)
            rows.append((*star, math.exp(rng.uniform(*np.log(STAR_FLUX))), 0.0, 0.0, 0.0))
            masks |= np.hypot(x - star[0], y - star[1]) < STAR_MASK
    return np.array(rows).reshape(-1, 6), masks


def _psf_covariances(jac: Floats, epoch: int) -> list[tuple[float, Floats]]:
    """Fractions and pixel covariances of the PSF of an epoch, which is fixed on the sky."""
    k = epoch % len(PSF_SHAPES)
    to_pixels = PSF_WIDTHS[k] * np.linalg.inv(jac) @ shear_matrix(*PSF_SHAPES[k])
    return [(fraction, variance * to_pixels @ to_pixels.T) for fraction, variance in PSF]


def _draw(sources: Floats, jac: Floats, epochs: int) -> Floats:
    from purepipe.shapes.scene_nb import add_gaussians

    images = np.zeros((epochs, SIDE, SIDE))
    for epoch in range(epochs):
        for fraction, cov in _psf_covariances(jac, epoch):
            rows = sources * np.array([1.0, 1.0, fraction, 1.0, 1.0, 1.0])
            rows[:, 3:] += cov[[0, 0, 1], [0, 1, 1]]
            add_gaussians(images[epoch], rows)
    return images


def _psf_stamps(jac: Floats, epochs: int, side: int = 53) -> Floats:
    centre = np.array([[(SIDE - 1) // 2, (SIDE - 1) // 2, 1.0, 0.0, 0.0, 0.0]])
    first = (SIDE - 1) // 2 - side // 2
    return _draw(centre, jac, epochs)[:, first : first + side, first : first + side]


def _measure(
    image: NDArray[np.float32],
    transfer: CellTransfer,
    masks: NDArray[np.bool_] | None,
    seed: int,
    cell: int,
    flip: bool,
) -> dict[str, Floats]:
    """(5, 3) sums of every estimator on one cell."""
    measurement, detection = cell_images(
        image, transfer, seed=seed, cell=cell, masks=masks, flip_noise=flip
    )
    usable = usable_area(transfer.shape, masks, MARGIN, GUARD)
    catalogues = {
        redetect: catalogues_of(measurement, detection, transfer, usable, redetect=redetect)
        for redetect in (True, False)
    }
    return {
        name: np.stack([_sums(weight(c), c.e1, c.e2) for c in catalogues[redetect]])
        for name, (redetect, weight) in ESTIMATORS.items()
    }


def _sums(weight: Floats, g1: Floats, g2: Floats) -> Floats:
    return np.array([weight.sum(), (weight * g1).sum(), (weight * g2).sum()])


def _measure_stamps(
    image: NDArray[np.float32], psf: Floats, transfer: CellTransfer, seed: int, cell: int,
    flip: bool,
) -> Floats:  # fmt: skip
    """(5, 3) sums of Gaussian fits to stamps about the detections of the unsheared image."""
    images = cell_images(image, transfer, seed=seed, cell=cell, flip_noise=flip)
    usable = usable_area(transfer.shape, None, _STAMP // 2 + 1, GUARD)
    found = catalogues_of(images[0], images[1], transfer, usable)[0]
    chosen = found.s2n > 6
    x, y = found.x[chosen], found.y[chosen]
    column, row = np.rint(x).astype(int), np.rint(y).astype(int)
    side = np.arange(_STAMP) - _STAMP // 2
    stamps = image[row[:, None, None] + side[:, None], column[:, None, None] + side]
    many = len(stamps)
    offsets = np.stack([x - column, y - row], axis=1)
    result = metacal_fit(
        stamps[:, None], np.broadcast_to(psf, (many, 1, *psf.shape)),
        np.broadcast_to(transfer.jacobians[0], (many, 1, 2, 2)), np.ones((many, 1)),
        seed=abs(seed) + cell, offsets=offsets[:, None], options=FitOptions(flip_noise=flip),
    )  # fmt: skip
    sums = np.zeros((5, 3))
    for kind in range(5):
        size = result.pars[:, kind, 4] / result.target_size
        weight = ramp((result.s2n[:, kind] - 7) / 8) * ramp((size - 0.1) / 0.25)
        weight = np.where(result.good, weight, 0.0)
        g = np.nan_to_num(result.shapes[:, kind])
        sums[kind] = _sums(weight, g[:, 0], g[:, 1])
    return sums


def bias_of_sums(sums: Floats) -> ShearTest:
    """The bias from the sums of one estimator, as `blended_sums` gives them for pairs in a row."""
    number = len(sums)
    groups = min(_GROUPS, number // 4)
    labels = np.arange(number) // 2 % groups
    values = _estimate(sums)
    left_out = np.array([_estimate(sums[labels != group]) for group in range(groups)])
    errors = np.sqrt((groups - 1) * left_out.var(axis=0))
    return ShearTest(
        m=float(values[0]), m_err=float(errors[0]), m_by_component=values[3:5],
        m_by_component_err=errors[3:5], c=values[1:3], c_err=errors[1:3],
        response=float(values[5]), pairs=number, failures=0, snr=math.nan,
    )  # fmt: skip


def _estimate(sums: Floats) -> Floats:
    """m, c1, c2, m1, m2 and the response, components alternating from pair to pair."""
    differences, responses = np.zeros(2), np.zeros(2)
    means = []
    for one in range(2):
        total = sums[one::2].sum(axis=0)
        e = total[:, :, 1:] / total[:, :, :1]  # (sign, type, component)
        up, down = 1 + 2 * one, 2 + 2 * one
        differences[one] = e[0, 0, one] - e[1, 0, one]
        responses[one] = (e[:, up, one] - e[:, down, one]).mean() / 0.02
        means.append(e[:, 0].mean(axis=0))
    m = differences / (2 * GAMMA * responses) - 1
    both = differences.sum() / (2 * GAMMA * responses.sum()) - 1
    c = np.mean(means, axis=0) / responses.mean()
    return np.array([both, *c, *m, responses.mean()])
