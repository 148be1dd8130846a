"""Hidden contexts: what varies between exposures, found from the PSF models themselves.

A context named HIDDEN1, HIDDEN2, ... stands for a principal component of the PSF models of a
sequence of exposures, say the seeing. Each exposure has one value of it, so the final models have
it no more as a context: it is put in.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from purepipe.config.psf import PSFConfig
from purepipe.psf import polynomial

if TYPE_CHECKING:
    from astropy.table import Table

    from purepipe.psf.fit import Fitted

log = logging.getLogger(__name__)

_HIDDEN = re.compile(r"HIDDEN\d*", re.IGNORECASE)


def is_hidden(key: str) -> bool:
    """Whether a context stands for a principal component of the PSF models."""
    return _HIDDEN.fullmatch(key) is not None


def without_hidden(config: PSFConfig) -> PSFConfig:
    """The configuration with the contexts that the stars themselves have."""
    kept = [i for i, key in enumerate(config.context_keys) if not is_hidden(key)]
    return replace(
        config,
        context_keys=tuple(config.context_keys[i] for i in kept),
        context_groups=tuple(config.context_groups[i] for i in kept),
    )


def drop_hidden(config: PSFConfig) -> PSFConfig:
    """The configuration of fits that cannot have hidden contexts, with a warning if it had any."""
    if not any(map(is_hidden, config.context_keys)):
        return config
    log.warning(
        "hidden contexts are left out: they need one model for a sequence of exposures, and models"
        " of single extensions"
    )
    return without_hidden(config)


def hidden_values(vectors: NDArray[np.float64], number: int) -> NDArray[np.float64]:
    """Values (n, number) of the leading principal components of n vectors about their mean.

    Components that the vectors do not have are 0. Scale and sign do not matter: the range over
    the stars of the fit normalises them.
    """
    centred = vectors - vectors.mean(axis=0)
    u, s, _ = np.linalg.svd(centred, full_matrices=False)
    values = np.zeros((len(vectors), number))
    count = min(number, int((s > 1e-9 * max(float(s.max(initial=0.0)), 1e-30)).sum()))
    values[:, :count] = (u * s)[:, :count]
    return values


def with_hidden(table: Table, keys: Sequence[str], values: Sequence[float]) -> Table:
    """The stars of one image with the values of the hidden contexts as columns."""
    table = table.copy(copy_data=False)
    for key, value in zip(keys, values, strict=True):
        table[key] = np.full(len(table), value)
    return table


def put_in(fitted: Fitted, values: Mapping[str, float]) -> Fitted:
    """The fit for one exposure: hidden contexts replaced by the values that they have there."""
    problem = fitted.problem
    samples = problem.samples
    hidden = np.array([name in values for name in samples.names], dtype=bool)
    if not hidden.any():
        return fitted
    raw = np.array([values.get(name, 0.0) for name in samples.names])
    normalised = (raw - samples.offsets) / samples.scales
    powers = polynomial.exponents(problem.groups, problem.degrees)
    factors = polynomial.evaluate(normalised[None, hidden], powers[:, hidden])[0]
    groups = tuple(group for group, out in zip(problem.groups, hidden, strict=True) if not out)
    left = polynomial.exponents(groups, problem.degrees)
    into = (powers[:, None, ~hidden] == left[None]).all(axis=2)  # (nc, fewer terms)
    weights = into * factors[:, None]
    planes = np.tensordot(weights.T, fitted.planes.astype(np.float64), axes=1)
    samples = replace(
        samples,
        names=tuple(name for name, out in zip(samples.names, hidden, strict=True) if not out),
        contexts=samples.contexts[:, ~hidden],
        offsets=samples.offsets[~hidden],
        scales=samples.scales[~hidden],
    )
    terms = polynomial.evaluate(samples.normalised, left)
    problem = replace(problem, samples=samples, groups=groups, terms=terms)
    # As in PSFEx, nothing is kept of the basis.
    planes = planes.astype(np.float32)
    return replace(fitted, planes=planes, coeffs=None, basis=None, free=None, problem=problem)
