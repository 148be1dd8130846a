"""The true point-spread function: a Moffat profile that varies to second order over the field."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from purepipe.config.simulate import SeeingConfig, SimulateConfig
from purepipe.errors import DataError
from purepipe.rng import generator
from purepipe.simulate.optics import Pointing, ccd_origin, ccd_wcs, focal_radius, pointings

SEEING_LIMITS = (0.3, 1.6)


@dataclass(frozen=True, eq=False)
class TruePSF:
    """The point-spread function of every exposure of a simulated survey.

    Attributes
    ----------
    config
        Configuration of the survey.
    exposures
        Its exposures, by number.
    """

    config: SimulateConfig
    exposures: dict[int, Pointing]

    @classmethod
    def from_config(cls, config: SimulateConfig) -> TruePSF:
        """The point-spread function of the survey that `config` describes."""
        return cls(config, {item.number: item for item in pointings(config)})

    def parameters(
        self, exposure: int | str, ccd: int, x: ArrayLike, y: ArrayLike
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """FWHM (arcsec) and ellipticity g1, g2 at 0-based pixel positions.

        The pixel is not included. First axis of g: west, second: north.

        Raises
        ------
        DataError
            The exposure or the CCD is not in the survey.
        """
        pointing = self._pointing(exposure, ccd)
        return psf_parameters(self.config, pointing, ccd, x, y)

    def at(self, exposure: int | str, ccd: int, x: float, y: float) -> Any:
        """The profile at one 0-based pixel position as a GalSim object of unit flux.

        In arcsec on the sky, without the pixel; draw it with the local Jacobian.
        """
        fwhm, g1, g2 = self.parameters(exposure, ccd, x, y)
        return moffat(float(fwhm), float(g1), float(g2), self.config.seeing.beta)

    def draw(
        self, exposure: int | str, ccd: int, x: float, y: float, *, size: int = 51
    ) -> NDArray[np.float64]:
        """A (size, size) image of a star of unit flux, centred on the central pixel."""
        from purepipe.simulate.draw import local_wcs

        profile = self.at(exposure, ccd, x, y)
        wcs = ccd_wcs(self.config, self._pointing(exposure, ccd), ccd)
        image = profile.drawImage(
            nx=size, ny=size, wcs=local_wcs(wcs.jacobian(x, y)), dtype=np.float64
        )
        return np.asarray(image.array)

    def _pointing(self, exposure: int | str, ccd: int) -> Pointing:
        number = int(exposure)
        if number not in self.exposures:
            first, last = min(self.exposures), max(self.exposures)
            raise DataError(
                "no such exposure in the simulated survey", got=number, allowed=f"{first} to {last}"
            )
        if not 0 <= ccd < self.config.ccds:
            raise DataError(
                "no such CCD in the simulated survey",
                got=ccd,
                allowed=f"0 to {self.config.ccds - 1}",
            )
        return self.exposures[number]


def psf_parameters(
    config: SimulateConfig, pointing: Pointing, ccd: int, x: ArrayLike, y: ArrayLike
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """FWHM (arcsec) and ellipticity g1, g2 of an exposure at 0-based positions of a CCD."""
    x0, y0 = ccd_origin(config, ccd)
    radius = focal_radius(config)
    p = (np.asarray(x, dtype=np.float64) + x0) / radius
    q = (np.asarray(y, dtype=np.float64) + y0) / radius
    # Terms of unit size at the corners; the last three vanish in the mean over a disc.
    terms = np.stack([np.ones_like(p), p, q, p * p + q * q - 0.5, p * p - q * q, 2 * p * q])
    seeing, coefficients = _coefficients(config, pointing)
    fwhm, g1, g2 = np.tensordot(coefficients, terms, axes=1)
    return np.clip(seeing * (1 + fwhm), *SEEING_LIMITS), g1, g2


def _coefficients(config: SimulateConfig, pointing: Pointing) -> tuple[float, NDArray[np.float64]]:
    """Seeing of an exposure, and the (3, 6) coefficients of size, g1 and g2."""
    seeing: SeeingConfig = config.seeing
    rng = generator(config.seed, "psf", pointing.sky_key, pointing.index)
    fwhm = seeing.fwhm * (1 + seeing.scatter * np.clip(rng.standard_normal(), -2, 2))
    draws = np.clip(rng.standard_normal((3, 6)), -2, 2)
    scale = np.full((3, 6), seeing.ellipticity_variation)
    scale[0] = seeing.variation
    scale[1:, 0] = seeing.ellipticity
    scale[0, 0] = 0.0
    return float(fwhm), draws * scale


def moffat(fwhm: float, g1: float, g2: float, beta: float) -> Any:
    """A sheared Moffat profile of unit flux as a GalSim object."""
    import galsim

    # By scale radius: GalSim keeps the transform of a Moffat profile per exponent.
    return galsim.Moffat(beta=beta, scale_radius=moffat_radius(fwhm, beta)).shear(g1=g1, g2=g2)


def moffat_radius(fwhm: Any, beta: float) -> Any:
    """Scale radius of a Moffat profile, in the unit of `fwhm`."""
    return fwhm / (2 * np.sqrt(2 ** (1 / beta) - 1))
