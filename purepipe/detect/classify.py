"""CLASS_STAR: a neural network that tells stars from galaxies."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from purepipe.errors import ConfigError

Numbers = NDArray[np.float64]
LEVELS = 8  # isophotal areas
NO_AREA, NO_PEAK = 0.01, 0.1  # what stands for zero in the logarithms


class StarNetwork(Protocol):
    """A layered network of logistic neurons, as given by `purepipe.legacy.astromatic_files`.

    The first layer sees ``x * input_scale + input_bias``; the result is
    ``(out - output_bias) / output_scale``.
    """

    @property
    def input_bias(self) -> Numbers:
        """(inputs,)."""
        ...

    @property
    def input_scale(self) -> Numbers:
        """(inputs,)."""
        ...

    @property
    def weights(self) -> tuple[Numbers, ...]:
        """For each later layer (neurons, neurons of the layer before)."""
        ...

    @property
    def biases(self) -> tuple[Numbers, ...]:
        """For each later layer (neurons,)."""
        ...

    @property
    def output_bias(self) -> Numbers:
        """(outputs,)."""
        ...

    @property
    def output_scale(self) -> Numbers:
        """(outputs,)."""
        ...


def class_star(
    objects: NDArray[Any],
    network: StarNetwork | None,
    *,
    seeing: float,
    pixel_scale: float,
    threshold: float,
) -> Numbers:
    """Output of the network for each object: near 1 for stars, near 0 for galaxies.

    Parameters
    ----------
    objects
        Records with ``iso_levels``, the areas (pixels) above eight isophotes, and ``iso_max``,
        the peak (ADU).
    network
        The network, of ten inputs and one output.
    seeing
        Full width at half maximum of stars, arcsec.
    pixel_scale
        arcsec.
    threshold
        Analysis threshold, ADU.

    Raises
    ------
    ConfigError
        No network, or one of another size; no pixel scale.

    Notes
    -----
    Bertin & Arnouts (1996), A&AS 117, 393, section 6. The inputs are the logarithms of the areas
    in units of the squared seeing, of the peak in units of the threshold, and of the seeing.
    """
    _check(network, pixel_scale)
    if network is None:
        return np.empty(0)
    area = (seeing / pixel_scale) ** 2
    levels = objects["iso_levels"].astype(np.float64)
    areas = np.log10(np.where(levels > 0, levels / area, NO_AREA))
    peak = objects["iso_max"].astype(np.float64)
    peak = np.log10(np.where(peak > 0, peak / threshold, NO_PEAK))
    inputs = np.column_stack(
        [areas[:, 0], peak, areas[:, 1:], np.full(len(objects), np.log10(seeing))]
    )
    return _run(network, inputs)[:, 0]


def _check(network: StarNetwork | None, pixel_scale: float) -> None:
    if network is None:
        raise ConfigError(
            "CLASS_STAR needs a neural network", key="network", got="none",
            remedy="Give network=read_neural_network('default.nnw'), from "
            "purepipe.legacy.astromatic_files.",
        )  # fmt: skip
    layers = (network.input_bias.size, network.output_bias.size)
    if layers != (LEVELS + 2, 1):
        raise ConfigError(
            "the network does not fit CLASS_STAR", key="network",
            got=f"{layers[0]} inputs and {layers[1]} outputs",
            allowed=f"{LEVELS + 2} inputs and 1 output",
        )  # fmt: skip
    if not pixel_scale > 0:
        raise ConfigError(
            "CLASS_STAR needs the pixel scale", key="detect.pixel_scale", got=pixel_scale,
            remedy="Set it, or give an exposure with world coordinates.",
        )  # fmt: skip


def _run(network: StarNetwork, inputs: Numbers) -> Numbers:
    values = inputs * network.input_scale + network.input_bias
    for weights, biases in zip(network.weights, network.biases, strict=True):
        values = 1 / (1 + np.exp(-(values @ weights.T + biases)))
    return np.asarray((values - network.output_bias) / network.output_scale)
