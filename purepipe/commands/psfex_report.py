"""The numbers of the XML report of ``purepipe psfex``: statistics by catalogue and by extension."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
from astropy.table import Table
from numpy.typing import NDArray

from purepipe.commands.psfex_products import Fit
from purepipe.errors import DataError
from purepipe.io.psf_images import sound_geometry
from purepipe.psf import PSFModel
from purepipe.psf.diagnostics import Diagnostics, MoffatFits
from purepipe.wcs import WCS

_Statistics = tuple[float, float, float]
_AXIS = re.compile(r"([XY])[A-Z]*_IMAGE.*")
_UNITS = {"FWHM": "pix", "Sampling": "pix", "WCS": "arcsec"}


def field_table(fits: Sequence[Fit]) -> Table:
    """One row of statistics per catalogue, over its extensions."""
    rows = [
        {
            "Catalog_Name": fit.path.name,
            "Image_Ident": _identity(fit),
            "NExtensions": len(fit.models),
        }
        | _statistics([_measures(fit, i) for i in range(len(fit.models))])
        for fit in fits
    ]
    return _table(rows)


def extension_table(fits: Sequence[Fit]) -> Table:
    """One row of statistics per extension, over all catalogues that have it."""
    rows = []
    for i in range(max((len(fit.models) for fit in fits), default=0)):
        measures = [_measures(fit, i) for fit in fits if i < len(fit.models)]
        rows.append({"Extension": i + 1} | _statistics(measures))
    return _table(rows)


def _table(rows: list[dict[str, Any]]) -> Table:
    table = Table(rows=rows)
    for name in table.colnames:
        if table[name].dtype.kind == "i":
            table[name] = table[name].astype(np.int32)
        if table[name].dtype.kind == "f":
            table[name] = table[name].astype(np.float32)
            unit = _UNITS["WCS"] if "_WCS" in name else _UNITS.get(name.split("_")[0])
            table[name].unit = unit
    return table


def _statistics(measures: list[dict[str, _Statistics]]) -> dict[str, Any]:
    """Smallest, mean and largest value of each quantity, and totals of the counts."""
    row: dict[str, Any] = {}
    for name in measures[0]:
        low, mean, high = np.array([item[name] for item in measures]).T
        found = {"Min": low.min(), "Mean": mean.mean(), "Max": high.max()}
        if name.startswith("NStars"):
            found = {"Total": mean.sum()} | found
            found = {key: value if key == "Mean" else int(value) for key, value in found.items()}
        row |= {f"{name}_{key}": value for key, value in found.items()}
    return row


def _measures(fit: Fit, i: int) -> dict[str, _Statistics]:
    """Smallest, typical and largest value of each quantity of one model over its snapshots."""
    model, found = fit.models[i], fit.diagnostics[i]
    scale = _pixel_scale(model, found, str(fit.tables[i].meta.get("header", "")))
    measures = {
        "NStars_Loaded": _same(model.loaded),
        "NStars_Accepted": _same(model.accepted),
        "FWHM_FromFluxRadius": _same(model.fwhm),
        "Sampling": _same(model.sampling),
        "Chi2": _same(model.chi2),
    }
    measures |= _profile(found.moffat, found.central, scale, "")
    measures |= _profile(found.pixel_free, found.central, scale, "_PixelFree")
    measures["Asymmetry"] = _central(found.asymmetry, found.central)
    measures["Area_Noise"] = _central(found.noise_area, found.central)
    measures["PixelScale_WCS"] = _averaged(scale)
    return measures


def _profile(
    fits: MoffatFits, central: int, scale: NDArray[np.float64], ending: str
) -> dict[str, _Statistics]:
    return {
        f"FWHM{ending}": _central(fits.fwhm, central),
        f"FWHM{ending}_WCS": _averaged(fits.fwhm_round * scale),
        f"Ellipticity{ending}": _central(fits.ellipticity, central),
        f"Ellipticity1{ending}": _central(fits.e1, central),
        f"Ellipticity2{ending}": _central(fits.e2, central),
        f"MoffatBeta{ending}": _central(fits.beta, central),
        f"Residuals{ending}": _central(fits.residuals, central),
    }


def _same(value: float) -> _Statistics:
    return (value, value, value)


def _central(values: NDArray[np.float64], central: int) -> _Statistics:
    # The original states the central snapshot as the mean.
    return float(np.min(values)), float(values[central]), float(np.max(values))


def _averaged(values: NDArray[np.float64]) -> _Statistics:
    return float(np.min(values)), float(np.mean(values)), float(np.max(values))


def _pixel_scale(model: PSFModel, found: Diagnostics, header: str) -> NDArray[np.float64]:
    """Pixel scale at each snapshot, arcsec; NaN where the catalogue has no coordinates.

    As in the original the positions reach from end to end of the range of each context, while the
    snapshots lie in the middle of equal parts of it.
    """
    try:
        wcs = WCS.from_header(sound_geometry(header))
    except DataError:
        return np.full(len(found.images), np.nan)
    place = {
        "X": np.full(len(found.images), (wcs.shape[1] - 1) / 2),
        "Y": np.full(len(found.images), (wcs.shape[0] - 1) / 2),
    }
    snapshots = round(len(found.images) ** (1 / max(len(model.contexts), 1)))
    contexts = found.contexts * snapshots / max(snapshots - 1, 1)
    for i, name in enumerate(model.contexts):
        if match := _AXIS.fullmatch(name):
            place[match[1]] = model.offsets[i] + model.scales[i] * contexts[:, i] - 1
    return np.asarray(np.sqrt(wcs.pixel_area(place["X"], place["Y"])))


def _identity(fit: Fit) -> str:
    """The name of the object in the first header."""
    header = str(fit.tables[0].meta.get("header", ""))
    match = re.search(r"OBJECT  = '([^']*)'", header)
    return match[1].strip() if match else ""
