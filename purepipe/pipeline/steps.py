"""The steps of the chain, one line each, in the order the data flow."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Step:
    """One step: the unit it works on, what it counts, and one sentence."""

    unit: str
    name: str
    counts: str
    sentence: str


STEPS = (
    Step("ccd", "mask", "pixels", "flag border, star halos and spikes, bad and saturated pixels"),
    Step("ccd", "detect", "sources", "estimate the background, find and measure sources"),
    Step("ccd", "stars", "stars", "find the stellar locus, set stars aside for validation"),
    Step("ccd", "psf", "stars", "fit the PSF model and clip outliers"),
    Step("ccd", "validate", "stars", "compare the model with all stars, reserved ones marked"),
    Step("tile", "mask", "pixels", "flag star halos and spikes, missing and saturated pixels"),
    Step("tile", "detect", "objects", "find and measure the objects of the survey"),
    Step("tile", "epochs", "objects", "find the CCDs that saw each object"),
    Step("shapes", "stamps", "stamps", "cut image, weight and mask of every epoch"),
    Step("shapes", "psf", "stamps", "evaluate the PSF model at every object and epoch"),
    Step("shapes", "spread", "objects", "compare each object with the local PSF"),
    Step("shapes", "shapes", "objects", "measure shapes by metacalibration over all epochs"),
    Step("cells", "metadetect", "cells", "detect and measure on five sheared images of each cell"),
    Step("catalogue", "catalogue", "objects", "join all columns, one row for each object"),
    Step("catalogue", "metadetect", "peaks", "join the metadetections of all cells"),
    Step("catalogue", "products", "files", "write what else was asked for, in ShapePipe's forms"),
)
