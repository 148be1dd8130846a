"""Metacalibration of stamps: five fits per object, joint over epochs, with responses.

The mathematics: Sheldon & Huff (2017, ApJ 841, 24), Huff & Mandelbaum (2017, arXiv:1702.02600).
The sheared images are never made: shearing relabels the frequencies of the deconvolved image.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from purepipe._threads import each_in_threads
from purepipe.errors import ConfigError, did_you_mean
from purepipe.flags import ShapeFlag
from purepipe.shapes.checks import (
    bad_pixels,
    check_seed,
    check_sigmas,
    check_stamps,
    check_valid,
    shaped,
)
from purepipe.shapes.metacal_result import MetacalResult
from purepipe.shapes.profiles import PROFILES, profile_of
from purepipe.shapes.transforms import dense_transforms, lattice_period, transform

if TYPE_CHECKING:
    from purepipe.shapes.lattice_nb import Options
    from purepipe.shapes.metacal_nb import Results

TYPES = ("noshear", "1p", "1m", "2p", "2m")
NOISE_MODES = ("none", "min", "double", "rot90")  # the order of the kernels' numbers
FILLS = ("model", "noise")
ENGINES = ("purepipe", "ngmix")
RESPONSES = ("types", "implicit", "both")
TARGETS = ("azgauss", "gauss", "fitgauss")
R50_OF_SIGMA = math.sqrt(2.0 * math.log(2.0))

_BATCH = 32  # objects per call of the kernel: their transforms fit the second-level cache
_NOT_ATTEMPTED = int(ShapeFlag.NOT_ATTEMPTED)


@dataclass(frozen=True, eq=False)
class Pairs:
    """Stamps of all pairs of object and epoch, sorted by object: what the engine works on."""

    images: NDArray[np.float32]  # (npair, n, n), bad pixels filled
    psfs: NDArray[np.float32]
    jacobians: NDArray[np.float64]  # (npair, 2, 2)
    offsets: NDArray[np.float64]  # (npair, 2)
    sigmas: NDArray[np.float64]  # (npair,)
    targets: NDArray[np.float64]  # (npair,), zero: by rule
    start: NDArray[np.int64]  # (nobj + 1,) first pair of each object
    seeds: NDArray[np.uint64]  # (nobj,)
    noise_images: NDArray[np.float32]  # (npair, n, n) or (0, 0, 0)

    def part(self, first: int, last: int) -> Pairs:
        """Objects first .. last-1, as views."""
        pairs = slice(self.start[first], self.start[last])
        start = self.start[first : last + 1] - self.start[first]
        return Pairs(
            self.images[pairs], self.psfs[pairs], self.jacobians[pairs], self.offsets[pairs],
            self.sigmas[pairs], self.targets[pairs], start,
            self.seeds[first:last], self.noise_images[pairs],
        )  # fmt: skip

    def select(self, objects: NDArray[np.int64]) -> tuple[Pairs, NDArray[np.int64]]:
        """Some objects, as copies, and the numbers of their pairs."""
        counts = np.diff(self.start)[objects]
        start = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
        pairs = np.arange(start[-1]) + np.repeat(self.start[objects] - start[:-1], counts)
        noise = self.noise_images[pairs] if len(self.noise_images) else self.noise_images
        part = Pairs(
            self.images[pairs], self.psfs[pairs], self.jacobians[pairs], self.offsets[pairs],
            self.sigmas[pairs], self.targets[pairs], start, self.seeds[objects], noise,
        )  # fmt: skip
        return part, pairs


@dataclass(frozen=True)
class FitOptions:
    """Choices of a metacalibration fit.

    Attributes
    ----------
    engine
        "purepipe", or "ngmix" for a cross-check by that package, a thousand times slower.
    noise
        What makes the noise of the five types alike: "min" (least added noise), "double", "rot90"
        (a rotated noise stamp, as ngmix does), or "none", which leaves shears biased.
    target
        Rule for the width of the target PSF: "azgauss", "gauss", "fitgauss".
    profile
        Of the galaxy: "gauss", "exp" (exponential disc), "dev" (de Vaucouleurs), "bdf" (disc and
        bulge of one half-light radius and shape). The wings of "dev" and "bdf" must fit into the
        stamp: shears of galaxies with half-light radii above 1/20 of its side are biased by 1 %.
    step
        Size of the applied shears.
    shape_prior
        Width of the prior of the shape (Bernstein & Armstrong 2014); None for none.
    centre_prior
        Width of the prior of the centre, arcsec; None for one pixel, negative for none.
    tolerance
        The fit ends where the next step would gain less chi-square than this.
    max_iterations
        Steps before a fit is given up.
    flip_noise
        Whether the added noise has its sign changed.
    moments_fwhm
        Width (arcsec) of the weight of the moments that replace a failed fit; 0 for none.
    fill
        What replaces bad pixels: "model", the light expected from a first fit, and noise; or
        "noise" alone, as ShapePipe does, which loses the light of the object there.
    responses
        "types": from fits to the four sheared images; "implicit": from derivatives at the fit to
        the unsheared one, which is all that is then fitted, so that there are no shapes of the
        other types, nor a response of selections; "both".
    extra_modes
        Modes beyond the usual ones, to test that they do not matter.
    """

    engine: str = "purepipe"
    noise: str = "min"
    target: str = "azgauss"
    profile: str = "gauss"
    step: float = 0.01
    shape_prior: float | None = 0.4
    centre_prior: float | None = None
    tolerance: float = 1e-8
    max_iterations: int = 60
    flip_noise: bool = False
    moments_fwhm: float = 0.0
    fill: str = "model"
    responses: str = "types"
    extra_modes: int = 0

    def __post_init__(self) -> None:
        for key, value, names in (
            ("engine", self.engine, ENGINES),
            ("noise", self.noise, NOISE_MODES),
            ("target", self.target, TARGETS),
            ("fill", self.fill, FILLS),
            ("profile", self.profile, PROFILES),
            ("responses", self.responses, RESPONSES),
        ):
            if value not in names:
                raise ConfigError(
                    "unknown word", key=key, got=repr(value), remedy=did_you_mean(value, names)
                )
        numbers: dict[str, float | None] = {
            "step": self.step,
            "shape_prior": self.shape_prior,
            "tolerance": self.tolerance,
            "max_iterations": self.max_iterations,
        }
        for key, number in numbers.items():
            if number is not None and not number > 0:
                raise ConfigError("out of range", key=key, got=number, allowed="above 0")
        unknown = self.noise == "rot90" or self.profile not in ("gauss", "exp")
        if self.responses != "types" and unknown:
            raise ConfigError(
                "no derivatives are known for this choice", key="responses",
                got=f"{self.responses!r} with noise={self.noise!r}, profile={self.profile!r}",
                allowed="noise 'min', 'double', 'none' and profile 'gauss', 'exp'",
            )  # fmt: skip
        if self.step > 0.1:
            raise ConfigError("out of range", key="step", got=self.step, allowed="0 to 0.1")

    def for_kernel(self, side: int, *, final: bool) -> Options:
        """The numbers that the kernels need, for stamps of `side` pixels."""
        from purepipe.shapes.lattice_nb import Options

        period = lattice_period(side)
        modes = (period + 1) // 2 if final else min(math.ceil(0.4 * period), (period + 1) // 2)
        return Options(
            modes=min(modes + self.extra_modes, (period + 1) // 2),
            dk=2.0 * math.pi / period,
            final=final,
            noise=NOISE_MODES.index(self.noise),
            noise_sign=-1.0 if self.flip_noise else 1.0,
            target=TARGETS.index(self.target),
            step=self.step,
            shape_prior=0.0 if self.shape_prior is None else self.shape_prior**-2,
            centre_prior=self.centre_prior or 0.0,
            tolerance=self.tolerance,
            max_iterations=self.max_iterations,
            moment_variance=(self.moments_fwhm / (2.0 * R50_OF_SIGMA)) ** 2,
            profile=profile_of(self.profile),
            implicit=self.responses != "types",
            types=self.responses != "implicit",
        )


def metacal_fit(
    images: ArrayLike,
    psfs: ArrayLike,
    jacobians: ArrayLike,
    sigmas: ArrayLike | None = None,
    *,
    seed: int | NDArray[np.uint64],
    weights: ArrayLike | None = None,
    masks: ArrayLike | None = None,
    valid: ArrayLike | None = None,
    epoch_counts: ArrayLike | None = None,
    offsets: ArrayLike | None = None,
    sigma_target: ArrayLike | None = None,
    noise_images: ArrayLike | None = None,
    threads: int = 1,
    options: FitOptions | None = None,
    **choices: Any,
) -> MetacalResult:
    """Shapes and shear responses of objects, each fitted jointly on all its epochs.

    Parameters
    ----------
    images
        (nobj, nepoch, n, n) background-subtracted stamps, on one flux scale; the lattice's origin
        is the stamp centre ((n-1)/2, (n-1)/2), any n from 9.
    psfs
        (nobj, nepoch, m, m) PSF images including the pixel, centred at ((m-1)/2, (m-1)/2), on the
        pixels of the image; any normalisation with a positive sum.
    jacobians
        (nobj, nepoch, 2, 2) d(u, v)/d(x, y), arcsec per pixel.
    sigmas
        (nobj, nepoch) rms of the pixel noise. When None, 1/sqrt(median positive weight).
    seed
        An int gives object i the noise stream i, a negative int the same noise with its sign
        flipped; an array of nobj uint64 (`purepipe.rng.object_seeds`) gives each object its own.
    weights
        (nobj, nepoch, n, n) inverse variances; pixels of zero weight are bad.
    masks
        (nobj, nepoch, n, n), non-zero is bad. `FitOptions.fill` says what fills bad pixels.
    valid, epoch_counts
        Which epochs exist: (nobj, nepoch) booleans, or (nobj,) numbers of leading epochs.
    offsets
        (nobj, nepoch, 2) position of the object's origin from each stamp's centre, (x, y) pixels;
        u0, v0 are relative to it. Default: the centres of the stamps.
    sigma_target
        (nobj, nepoch) widths of the target PSF, arcsec, dilation included; default by rule.
    noise_images
        (nobj, nepoch, n, n) noise for ``noise="rot90"``; drawn from the seed when None.
    threads
        Number of threads; the result does not depend on it.
    options, **choices
        `FitOptions`, or its fields as keywords, for instance ``noise="double"``.

    Raises
    ------
    DataError
        Arrays do not belong together. Bad values in single stamps are flagged instead.
    ConfigError
        Unknown noise mode or target, or a number out of range.
    MissingPackageError
        ``engine="ngmix"`` without ngmix.
    """
    options = replace(options or FitOptions(), **choices)
    stamps, psf_stamps, jac = check_stamps(images, psfs, jacobians)
    nobj, nepoch = stamps.shape[:2]
    use = check_valid(valid, epoch_counts, (nobj, nepoch))
    bad = bad_pixels(weights, masks, stamps.shape)
    sigma = check_sigmas(sigmas, weights, (nobj, nepoch))
    if bad is not None:
        sigma[bad.all(axis=(2, 3))] = np.nan  # nothing was seen, whatever the noise
    seeds, flip = check_seed(seed, nobj)
    options = replace(options, flip_noise=options.flip_noise != flip)
    flat, noise = _stamps_and_noise(stamps, use, bad, sigma, seeds, noise_images, options)
    pairs = Pairs(
        images=flat,
        psfs=np.ascontiguousarray(psf_stamps[use]),
        jacobians=np.ascontiguousarray(jac[use]),
        offsets=_or_zeros(offsets, (nobj, nepoch, 2), "offsets")[use],
        sigmas=sigma[use],
        targets=_or_zeros(sigma_target, (nobj, nepoch), "sigma_target")[use],
        start=np.concatenate([[0], np.cumsum(use.sum(axis=1))]).astype(np.int64),
        seeds=seeds,
        noise_images=noise,
    )
    if bad is not None and options.fill == "model":
        pairs = fill_with_model(pairs, bad[use], options, threads=threads)
    out = measure_pairs(pairs, options, threads=threads)
    good = np.ones(use.shape) if bad is None else 1.0 - bad.mean(axis=(2, 3))
    with np.errstate(divide="ignore"):
        return by_object(out, use, good / sigma**2, options)


def _stamps_and_noise(
    stamps: NDArray[np.float32],
    use: NDArray[np.bool_],
    bad: NDArray[np.bool_] | None,
    sigma: NDArray[np.float64],
    seeds: NDArray[np.uint64],
    noise_images: ArrayLike | None,
    options: FitOptions,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Stamps in use, bad pixels filled with noise; and noise stamps where the mode needs them."""
    seed_of_pair, epoch_of_pair = np.repeat(seeds, use.sum(axis=1)), np.nonzero(use)[1]
    flat = stamps[use] if not use.all() else stamps.reshape(-1, *stamps.shape[2:])
    if bad is not None:
        flat = fill_bad_pixels(flat, bad[use], sigma[use], seed_of_pair, epoch_of_pair)
    if noise_images is None:
        return flat, draw_noise(options, flat, sigma[use], seed_of_pair, epoch_of_pair)
    noise: NDArray[np.float32] = shaped(noise_images, stamps.shape, "noise_images", np.float32)[use]
    return flat, noise


def _or_zeros(array: ArrayLike | None, shape: tuple[int, ...], key: str) -> NDArray[np.float64]:
    values: NDArray[np.float64] = np.zeros(shape) if array is None else shaped(array, shape, key)
    return values


def measure_pairs(pairs: Pairs, options: FitOptions, *, threads: int = 1) -> Results:
    """Run the engine on checked pairs; the face of the kernels, without checks."""
    nobj = len(pairs.seeds)
    side = max(pairs.images.shape[-1], pairs.psfs.shape[-1])
    out = _empty_results(nobj, len(pairs.images), options)
    if options.engine == "ngmix":
        from purepipe.shapes.ngmix_backend import measure_pairs_ngmix

        measure_pairs_ngmix(pairs, options, out)
        return out

    def work(first: int) -> None:
        last = min(first + _BATCH, nobj)
        _measure_batch(
            pairs.part(first, last), options, side, False,
            _part(out, slice(first, last), slice(pairs.start[first], pairs.start[last])),
        )  # fmt: skip

    each_in_threads(work, range(0, nobj, _BATCH), threads)
    return out


def _measure_batch(pairs: Pairs, options: FitOptions, side: int, final: bool, out: Results) -> None:
    """One batch; objects whose PSF is too sharp for the usual modes go again with all modes."""
    from purepipe.shapes.metacal_nb import Stamps, measure_batch

    numbers = options.for_kernel(side, final=final)
    period = lattice_period(side)
    with np.errstate(invalid="ignore", over="ignore"):
        stamps = Stamps(
            transform(pairs.images, period, numbers.modes),
            transform(pairs.psfs, period, numbers.modes),
            pairs.jacobians, pairs.offsets, pairs.sigmas, pairs.targets, pairs.start, pairs.seeds,
            pairs.psfs, *dense_transforms(pairs.noise_images, pairs.psfs, period, numbers.modes),
        )  # fmt: skip
    measure_batch(stamps, numbers, out)
    rest = np.flatnonzero(out.unfinished)
    if rest.size and not final:
        some, numbers_of_pairs = pairs.select(rest)
        again = _empty_results(rest.size, len(numbers_of_pairs), options)
        _measure_batch(some, options, side, True, again)
        for name in _OBJECT_ARRAYS:
            getattr(out, name)[rest] = getattr(again, name)
        for name in _PAIR_ARRAYS:
            getattr(out, name)[numbers_of_pairs] = getattr(again, name)


_OBJECT_ARRAYS = ("pars", "cov", "s2n", "flags", "implicit", "evaluations", "unfinished")
_PAIR_ARRAYS = ("pair_flags", "target", "psf_pars", "psf_cov", "psf_flags")


def fill_bad_pixels(
    images: NDArray[np.float32],
    bad: NDArray[np.bool_],
    sigmas: NDArray[np.float64],
    seeds: NDArray[np.uint64],
    epochs: NDArray[np.int64],
) -> NDArray[np.float32]:
    """A copy of stamps whose bad pixels hold noise of the stamp, from the object's seed."""
    from purepipe.shapes.noise_nb import fill_bad

    filled = images.copy()
    fill_bad(filled, np.ascontiguousarray(bad), sigmas, seeds, epochs.astype(np.int64))
    return filled


def fill_with_model(
    pairs: Pairs, bad: NDArray[np.bool_], options: FitOptions, *, threads: int = 1
) -> Pairs:
    """Pairs whose bad pixels, filled with noise before, also hold the light of the object there.

    The light follows from a fit without added noise to the stamps as they are, scaled to the pixels
    around; where that fit fails the stamp stays as it is.
    """
    from purepipe.shapes.stamps_nb import add_model

    counts = np.diff(pairs.start)
    owner = np.repeat(np.arange(len(counts)), counts)
    objects = np.unique(owner[bad.any(axis=(1, 2))])
    if objects.size == 0:
        return pairs
    some, numbers = pairs.select(objects)
    plain = replace(
        options, noise="none", moments_fwhm=0.0, profile="gauss", responses="types",
        engine="purepipe",
    )  # fmt: skip
    first = measure_pairs(some, plain, threads=threads)
    place = np.repeat(np.arange(len(objects)), np.diff(some.start))
    usable = (first.flags[place, 0] == 0) & (first.pair_flags == 0) & (first.psf_flags == 0)
    add_model(
        some.images, np.ascontiguousarray(bad[numbers]), some.jacobians, some.offsets, some.sigmas,
        first.pars[place, 0], first.psf_pars, usable,
    )  # fmt: skip
    images = pairs.images.copy()
    images[numbers] = some.images
    return replace(pairs, images=images)


def draw_noise(
    options: FitOptions,
    images: NDArray[np.float32],
    sigmas: NDArray[np.float64],
    seeds: NDArray[np.uint64],
    epochs: NDArray[np.int64],
) -> NDArray[np.float32]:
    """White noise stamps for the rot90 mode, from the objects' seeds; empty for other modes."""
    from purepipe.shapes.noise_nb import fill_noise

    if options.noise != "rot90":
        return np.empty((0, 0, 0), np.float32)
    noise = np.empty_like(images)
    fill_noise(noise, sigmas, seeds, epochs)
    return noise


def _empty_results(nobj: int, npair: int, options: FitOptions) -> Results:
    from purepipe.shapes.metacal_nb import Results

    nan = np.nan
    npar = 7 if options.profile == "bdf" else 6
    return Results(
        pars=np.full((nobj, 5, npar), nan),
        cov=np.full((nobj, 5, npar, npar), nan),
        s2n=np.full((nobj, 5), nan),
        flags=np.full((nobj, 5), _NOT_ATTEMPTED, np.int32),
        implicit=np.full((nobj, 2, 2), nan),
        evaluations=np.zeros((nobj, 5), np.int32),
        unfinished=np.zeros(nobj, np.bool_),
        pair_flags=np.full(npair, _NOT_ATTEMPTED, np.int32),
        target=np.full(npair, nan),
        psf_pars=np.full((npair, 6), nan),
        psf_cov=np.full((npair, 6, 6), nan),
        psf_flags=np.full(npair, _NOT_ATTEMPTED, np.int32),
    )


def _part(out: Results, objects: slice, pairs: slice) -> Results:
    arrays = {name: getattr(out, name)[objects] for name in _OBJECT_ARRAYS}
    arrays |= {name: getattr(out, name)[pairs] for name in _PAIR_ARRAYS}
    return type(out)(**arrays)


def by_object(
    out: Results, use: NDArray[np.bool_], weight: NDArray[np.float64], options: FitOptions
) -> MetacalResult:
    """Spread the arrays of pairs over (object, epoch); `use` says where a pair is."""

    def spread(values: NDArray[Any], missing: float) -> NDArray[Any]:
        array = np.full(use.shape + values.shape[1:], missing, values.dtype)
        array[use] = values
        return array

    epoch_flags = spread(out.pair_flags, int(ShapeFlag.NO_EPOCH))
    with np.errstate(invalid="ignore"):
        psf_err = np.sqrt(np.einsum("pii->pi", out.psf_cov))
    return MetacalResult(
        pars=out.pars,
        cov=out.cov,
        s2n=out.s2n,
        flags=out.flags,
        evaluations=out.evaluations,
        sigma_target=spread(out.target, np.nan),
        epoch_flags=epoch_flags,
        psf_pars=spread(out.psf_pars, np.nan),
        psf_err=spread(psf_err, np.nan),
        psf_flags=spread(out.psf_flags, _NOT_ATTEMPTED),
        weight=np.where(epoch_flags == 0, weight, 0.0),
        step=options.step,
        implicit_response=out.implicit,
        responses=options.responses,
    )
