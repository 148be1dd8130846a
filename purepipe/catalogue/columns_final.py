"""Columns of the final catalogue that no single step owns."""

from purepipe.catalogue.table import Column, register

COLUMNS: tuple[Column, ...] = (
    Column("TILE_ID", "U16", "", "Number of the tile, as in its file name."),
    Column("N_EPOCH", "i4", "", "Number of exposures with a CCD that covers the object."),
    Column("EPOCHS", "U", "", "Exposures and CCDs that cover the object: exposure-ccd ..."),
    Column(
        "SPREAD_MODEL",
        "f8",
        "",
        "Spread model: with the local PSF in detection, in the final catalogue with a Gaussian PSF"
        " of the mean width over the epochs.",
        "Desai et al. 2012, ApJ 757, 83; Gaussian form of ShapePipe, Farrens et al. 2022",
    ),
    Column("SPREADERR_MODEL", "f8", "", "Error of SPREAD_MODEL.", "Desai et al. 2012, ApJ 757, 83"),
    Column(
        "SPREAD_CLASS",
        "i2",
        "",
        "0 star, 1 galaxy, 2 between, -1 no spread model.",
        "Farrens et al. 2022, A&A 664, A141",
    ),
    Column("FLAGS_EPOCH", "i4", "", "Union of the flags of the epochs that were not used."),
    Column(
        "PRIMARY",
        "i2",
        "",
        "1 in the tile that the object belongs to, the one that covers it with the nearest centre;"
        " 0 for the other detections in overlaps of tiles.",
    ),
    Column("TILE_NAME", "U16", "", "Number of the tile, where TILE_ID is ShapePipe's float."),
    Column("MATCHED", "i2", "", "1 when an external object lies within the tolerance, else 0."),
    Column("distance", "f8", "arcsec", "Separation from the nearest external object."),
    Column("FLAGS_UNIT", "i4", "", "1 when the unit of this object's shapes failed, else 0."),
)

register(COLUMNS)
