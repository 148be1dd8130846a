"""Columns of metadetection: one row for each detection on each of five sheared images of a cell."""

from purepipe.catalogue.table import Column, register

_METADETECT = "Sheldon et al. 2020, ApJ 902, 138"

COLUMNS: tuple[Column, ...] = (
    Column("CELL_ID", "i4", "", "Number of the cell in its tile, from 0, row by row."),
    Column(
        "MDET_TYPE", "U7", "", "Sheared image of the detection: NOSHEAR, 1P, 1M, 2P or 2M.",
        _METADETECT,
    ),
    Column(
        "MDET_X", "f8", "pix",
        "Position on the tile along x, from 1; like RA and DEC that before the shear.",
    ),
    Column(
        "MDET_Y", "f8", "pix",
        "Position on the tile along y, from 1; like RA and DEC that before the shear.",
    ),
    Column(
        "MDET_E", "f8", "", "Ellipticity (Muu - Mvv, 2 Muv)/(Muu + Mvv) of weighted moments.",
        length=2,
    ),
    Column("MDET_FLUX", "f8", "", "Flux under the round weight, on the scale of the tile."),
    Column("MDET_SNR", "f8", "", "MDET_FLUX over its noise."),
    Column("MDET_SIZE_RATIO", "f8", "", "Trace of the weighted moments over that of the PSF."),
    Column("MDET_SHARPNESS", "f8", "", "Least curvature of the peak over its noise."),
    Column(
        "MDET_PROMINENCE", "f8", "",
        "Least curvature of the peak over that of a point source as high.",
    ),
    Column(
        "MDET_WEIGHT", "f8", "",
        "Weight in the mean shear, from 0 to 1: a smooth cut in S/N, size, sharpness, prominence.",
    ),
    Column("MDET_FLAGS", "i4", "", "MetadetectFlag bits of the detection, or of the cell."),
    Column("MDET_N_EPOCH", "i4", "", "Epochs of the cell."),
    Column("MDET_OFFERED", "i4", "", "Epochs that touch the cell; those not used lack pixels."),
    Column("MDET_DETECTIONS", "i4", "", "Detections of the cell on its unsheared image."),
    Column("MDET_MASKED", "f8", "", "Fraction of the cell that is bad in all epochs."),
    Column("MDET_FLUX_NOISE", "f8", "", "Noise of MDET_FLUX."),
    Column("MDET_TARGET_FWHM", "f8", "arcsec", "Width of the Gaussian in the place of the PSF."),
)  # fmt: skip

register(COLUMNS)
