"""Metacalibration and fits by ngmix, for cross-checks of the engine; ngmix 1.3 or 2.

ngmix (https://github.com/esheldon/ngmix) is not required; it is imported here alone.
"""

from __future__ import annotations

import importlib
import math
from dataclasses import dataclass
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from purepipe.errors import ConfigError, MissingPackageError
from purepipe.flags import ShapeFlag

if TYPE_CHECKING:
    from purepipe.shapes.metacal import FitOptions, Pairs
    from purepipe.shapes.metacal_nb import Results

Floats = NDArray[np.float64]

TYPES = ("noshear", "1p", "1m", "2p", "2m")
SHEARS = ((0.0, 0.0), (1.0, 0.0), (-1.0, 0.0), (0.0, 1.0), (0.0, -1.0))
# Looser limits scatter the responses by a tenth.
CONVERGED = {"maxfev": 4000, "ftol": 1e-10, "xtol": 1e-10}
GUESSES = (1.0, 0.5, 2.0)  # factors of the size, tried in turn
ORDER = np.array([1, 0, 2, 3, 4, 5])  # ngmix has v0 before u0


@dataclass(frozen=True)
class Backend:
    """The parts of ngmix that are used, of either version."""

    module: ModuleType
    modern: bool  # 2 or later
    failures: tuple[type[Exception], ...]


def load_ngmix() -> Backend:
    """The installed ngmix.

    Raises
    ------
    MissingPackageError
        ngmix is not installed, or has another version than 1.3 or 2.
    """
    remedy = "Install ngmix (conda-forge has it), or use engine='purepipe', which needs nothing."
    try:
        module = importlib.import_module("ngmix")
    except ImportError:
        raise MissingPackageError(
            "ngmix is not installed", key="engine", got="'ngmix'", remedy=remedy
        ) from None
    version = str(getattr(module, "__version__", "0")).lstrip("v")
    if not version.startswith(("1.3", "2.")):
        raise MissingPackageError(
            "this version of ngmix is not known", key="engine", got=version, allowed="1.3 or 2.x",
            remedy=remedy,
        )  # fmt: skip
    own = getattr(module, "gexceptions", None)
    raised = [
        value for value in vars(own or object).values()
        if isinstance(value, type) and issubclass(value, Exception)
    ]  # fmt: skip
    failures = (*raised, ArithmeticError, ValueError, RuntimeError, np.linalg.LinAlgError)
    return Backend(module, version.startswith("2."), failures)


def check_options(options: FitOptions, backend: Backend) -> None:
    """Refuse what ngmix does not have.

    Raises
    ------
    ConfigError
        The noise mode, the target, the profile or the kind of responses.
    """
    targets = ("azgauss", "gauss", "fitgauss") if backend.modern else ("gauss", "fitgauss")
    for key, value, allowed in (
        ("noise", options.noise, ("rot90", "none")),
        ("target", options.target, targets),
        ("profile", options.profile, ("gauss",)),
        ("responses", options.responses, ("types",)),
    ):
        if value not in allowed:
            raise ConfigError(
                "ngmix has no such choice", key=key, got=repr(value), allowed=", ".join(allowed),
                remedy="Choose one of these, or engine='purepipe'.",
            )  # fmt: skip


def measure_pairs_ngmix(pairs: Pairs, options: FitOptions, out: Results) -> None:
    """Fill `out` as the engine of `metacal_nb` does, object by object."""
    backend = load_ngmix()
    check_options(options, backend)
    for obj in range(len(pairs.seeds)):
        chosen = np.arange(pairs.start[obj], pairs.start[obj + 1])
        usable = [pair for pair in chosen if _prepare(pair, pairs, backend, out)]
        if not usable:
            empty = (
                ShapeFlag.NO_EPOCH if not chosen.size else ShapeFlag.NO_EPOCH | ShapeFlag.BAD_INPUT
            )
            out.flags[obj] = int(empty)
            continue
        try:
            images = _metacal(obj, usable, pairs, options, backend)
            _fit_types(obj, usable, images, pairs, options, backend, out)
        except backend.failures:
            out.flags[obj][out.flags[obj] != 0] = int(ShapeFlag.BAD_RESULT)


def _prepare(pair: int, pairs: Pairs, backend: Backend, out: Results) -> bool:
    """Check a stamp and fit its PSF; whether it can be used."""
    jac, sigma, psf = pairs.jacobians[pair], pairs.sigmas[pair], pairs.psfs[pair]
    area = abs(np.linalg.det(jac)) if np.isfinite(jac).all() else 0.0
    if not (np.isfinite(pairs.images[pair]).all() and 0 < sigma < np.inf and area > 1e-12):
        out.pair_flags[pair] = int(ShapeFlag.BAD_INPUT)
        return False
    total = float(psf.sum(dtype=np.float64))
    if not (np.isfinite(psf).all() and total > 0):
        out.pair_flags[pair] = int(ShapeFlag.BAD_PSF)
        return False
    out.pair_flags[pair] = 0
    observation = backend.module.Observation(
        psf.astype(np.float64) / total, jacobian=_frame(jac, psf.shape[0], (0.0, 0.0), backend)
    )
    size = 2.0 * area * float((psf > 0.5 * psf.max()).sum()) / (2.0 * math.pi * math.log(2.0))
    try:
        result = _run("gauss", observation, np.array([0.0, 0, 0, 0, size, 1.0]), None, backend)
    except backend.failures:
        return True
    out.psf_flags[pair] = int(ShapeFlag.BAD_PSF) if result["flags"] else 0
    if not result["flags"]:
        out.psf_pars[pair], out.psf_cov[pair] = _ordered(result, 1.0)
    return True


def _frame(jac: Floats, side: int, offset: Any, backend: Backend) -> Any:
    return backend.module.Jacobian(
        row=(side - 1) / 2 + offset[1], col=(side - 1) / 2 + offset[0], dudcol=jac[0, 0],
        dudrow=jac[0, 1], dvdcol=jac[1, 0], dvdrow=jac[1, 1],
    )  # fmt: skip


def _observations(usable: list[int], pairs: Pairs, options: FitOptions, backend: Backend) -> Any:
    epochs = backend.module.ObsList()
    for pair in usable:
        jac, psf = pairs.jacobians[pair], pairs.psfs[pair].astype(np.float64)
        image = pairs.images[pair].astype(np.float64)
        extra = {}
        if options.noise == "rot90":
            extra["noise"] = pairs.noise_images[pair].astype(np.float64)
        psf_observation = backend.module.Observation(
            psf / psf.sum(), jacobian=_frame(jac, psf.shape[0], (0.0, 0.0), backend)
        )
        epochs.append(
            backend.module.Observation(
                image, weight=np.full(image.shape, pairs.sigmas[pair] ** -2.0),
                jacobian=_frame(jac, image.shape[0], pairs.offsets[pair], backend),
                psf=psf_observation, **extra,
            )
        )  # fmt: skip
    return epochs


def _metacal(
    obj: int, usable: list[int], pairs: Pairs, options: FitOptions, backend: Backend
) -> Any:
    """The sheared observations by type."""
    rotated = options.noise == "rot90"
    return backend.module.metacal.get_all_metacal(
        _observations(usable, pairs, options, backend), step=options.step, psf=options.target,
        types=list(TYPES), fixnoise=rotated, use_noise_image=rotated,
        rng=np.random.RandomState(int(pairs.seeds[obj] & np.uint64(0xFFFFFFFF))),
    )  # fmt: skip


def _prior(usable: list[int], pairs: Pairs, options: FitOptions, backend: Backend) -> Any:
    ngmix = backend.module
    rng = np.random.RandomState(1)
    scale = float(np.mean(np.sqrt(np.abs(np.linalg.det(pairs.jacobians[usable])))))
    width = options.centre_prior or scale
    return ngmix.joint_prior.PriorSimpleSep(
        ngmix.priors.CenPrior(0.0, 0.0, abs(width), abs(width), rng=rng),
        ngmix.priors.GPriorBA(options.shape_prior or 1e3, rng=rng),
        ngmix.priors.FlatPrior(-10.0, 1e6, rng=rng),
        ngmix.priors.FlatPrior(-1e4, 1e9, rng=rng),
    )


def _fit_types(
    obj: int, usable: list[int], images: Any, pairs: Pairs, options: FitOptions, backend: Backend,
    out: Results,
) -> None:  # fmt: skip
    """Fit the target PSFs and the five images of one object."""
    prior = _prior(usable, pairs, options, backend)
    for pair, observation in zip(usable, images["noshear"], strict=True):
        seen = out.psf_pars[pair, 4] if out.psf_flags[pair] == 0 else 0.3
        guess = np.array([0.0, 0, 0, 0, 1.1 * seen, 1.0])
        target = _run("gauss", observation.psf, guess, None, backend)
        out.target[pair] = math.sqrt(max(0.5 * target["pars"][4], 0.0))
        observation.psf.set_gmix(_mixture("gauss", target["pars"], backend))
        for name in TYPES[1:]:
            other = images[name][usable.index(pair)].psf
            other.set_gmix(_mixture("gauss", target["pars"], backend))
    flux = float(np.mean([pairs.images[pair].sum() for pair in usable]))
    size = 2.0 * float(np.mean(out.target[usable])) ** 2
    first: Floats | None = None
    for kind, name in enumerate(TYPES):
        guess = np.array([0.0, 0, 0, 0, size, abs(flux)])
        if first is not None:
            guess = first.copy()
            guess[2:4] += 0.8 * options.step * np.array(SHEARS[kind])
        result = None
        for factor in GUESSES:
            guess[4] *= factor
            result = _run(options.profile, images[name], guess, prior, backend)
            if not result["flags"]:
                break
        if result is None or result["flags"]:
            out.flags[obj, kind] = int(ShapeFlag.MAX_ITERATIONS)
            continue
        first = np.array(result["pars"], float) if kind == 0 else first
        out.pars[obj, kind], out.cov[obj, kind] = _ordered(
            result, _flux_unit(images[name][0], backend)
        )
        out.s2n[obj, kind] = result.get("s2n", result.get("s2n_w", np.nan))
        out.evaluations[obj, kind] = result.get("nfev", 0)
        out.flags[obj, kind] = 0


def _run(model: str, observation: Any, guess: Floats, prior: Any, backend: Backend) -> Any:
    """The result of one Levenberg-Marquardt fit, a mapping."""
    ngmix = backend.module
    if backend.modern:
        fitter = ngmix.fitting.Fitter(model=model, prior=prior, fit_pars=CONVERGED)
        return fitter.go(obs=observation, guess=guess)
    fitter = ngmix.fitting.LMSimple(observation, model, prior=prior, lm_pars=CONVERGED)
    fitter.go(guess)
    return fitter.get_result()


def _mixture(model: str, pars: Floats, backend: Backend) -> Any:
    return backend.module.gmix.GMixModel(pars, model)


def _flux_unit(observation: Any, backend: Backend) -> float:
    """Sum of the pixels of a model of unit flux: the pixel area belongs to it or not."""
    jacobian = observation.jacobian
    size = 8.0 * abs(jacobian.get_scale()) ** 2
    model = backend.module.gmix.GMixModel([0.0, 0.0, 0.0, 0.0, size, 1.0], "gauss")
    return float(model.make_image(observation.image.shape, jacobian=jacobian).sum())


def _ordered(result: Any, flux_unit: float) -> tuple[Floats, Floats]:
    """Parameters and covariance in our order and units."""
    unit = np.array([1.0, 1.0, 1.0, 1.0, 1.0, flux_unit])
    pars = np.asarray(result["pars"], np.float64)[ORDER] * unit
    cov = np.asarray(result["pars_cov"], np.float64)[np.ix_(ORDER, ORDER)] * np.outer(unit, unit)
    return pars, cov
