"""The keys of ShapePipe's smaller modules."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from purepipe.config.fields import check, option
from purepipe.errors import ConfigError


@dataclass(frozen=True)
class FindExposuresConfig:
    """The exposures that a tile was made of."""

    column: int = option(
        3, "Word of a HISTORY card; the exposure is found by its form.",
        original="find_exposures:COLNUM",
    )  # fmt: skip
    prefix: str = option(
        "", "Text before the number that is left out.", original="find_exposures:EXP_PREFIX"
    )

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True)
class GetImagesConfig:
    """Links to, or copies of, the images of a list of numbers."""

    retrieve: str = option(
        "symlink", "Symbolic links, or copies.", choices=("symlink", "copy", "vos"),
        original="get_images:RETRIEVE",
    )  # fmt: skip
    input_path: tuple[str, ...] = option(
        (), "Folders of the images.", original="get_images:INPUT_PATH"
    )
    input_pattern: tuple[str, ...] = option(
        (), "Names of the images, with a sample number.", original="get_images:INPUT_FILE_PATTERN"
    )
    input_ext: tuple[str, ...] = option(
        (), "Their extensions.", original="get_images:INPUT_FILE_EXT"
    )
    output_pattern: tuple[str, ...] = option(
        (), "Beginnings of the output names.", original="get_images:OUTPUT_FILE_PATTERN"
    )
    input_numbering: str = option(
        "", "Regular expression of the sample number.", original="get_images:INPUT_NUMBERING"
    )
    output_path: Path | None = option(
        None, "Folder of the links; default: that of the module.",
        original="get_images:OUTPUT_PATH",
    )  # fmt: skip
    n_expected: int = option(
        0, "Expected number of files; 0 for any.", minimum=0, original="get_images:N_EXPECTED"
    )

    def __post_init__(self) -> None:
        check(self)
        if self.retrieve == "vos":
            raise ConfigError(
                "nothing is fetched from the network", key="getimages.retrieve", got="vos",
                allowed="symlink, copy",
                remedy="Fetch the files first, then link them with RETRIEVE = symlink.",
            )  # fmt: skip
        lists = (self.input_path, self.input_pattern, self.input_ext, self.output_pattern)
        if len({len(items) for items in lists}) > 1:
            raise ConfigError(
                "INPUT_PATH, INPUT_FILE_PATTERN, INPUT_FILE_EXT and OUTPUT_FILE_PATTERN need the"
                " same number of items", key="getimages", got=", ".join(map(str, map(len, lists))),
            )  # fmt: skip


@dataclass(frozen=True)
class UncompressConfig:
    """Compressed images as plain ones."""

    output_pattern: tuple[str, ...] = option(
        (), "Beginnings of the output names, one for each input; default: that of the input.",
        original="uncompress_fits:OUTPUT_PATTERN",
    )  # fmt: skip
    hdu: int = option(0, "HDU of the image.", minimum=0, original="uncompress_fits:HDU_DATA")

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True)
class MergeSepCatsConfig:
    """Shape catalogues of slices of objects joined."""

    splits: int = option(1, "Number of slices.", minimum=1, original="merge_sep_cats:N_SPLIT_MAX")
    warning: str = option(
        "error", "What a missing slice is: an error, or a note.", original="merge_sep_cats:WARNING"
    )

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True)
class MergeStarcatConfig:
    """Stars of all CCDs in one catalogue."""

    psf_model: str = option(
        "psfex", "Kind of the input catalogues.", choices=("psfex", "setools"),
        original="merge_starcat:PSF_MODEL",
    )  # fmt: skip
    hdu: int = option(2, "HDU of the tables.", minimum=1, original="merge_starcat:HDU")

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True)
class RandomCatConfig:
    """Random points on the unmasked pixels of a tile."""

    number: float = option(
        1000.0, "Number of points, or their density.", minimum=0, original="random_cat:N_RANDOM"
    )
    density: bool = option(
        False, "N_RANDOM counts points for each square degree.", original="random_cat:DENSITY"
    )
    healpix: bool = option(
        False, "Write the mask as a HEALPix map; not available.",
        original="random_cat:SAVE_MASK_AS_HEALPIX",
    )  # fmt: skip
    output_pattern: str = option(
        "random_cat", "Beginning of the output name.", original="random_cat:OUTPUT_FILE_PATTERN"
    )

    def __post_init__(self) -> None:
        check(self)
        if self.healpix:
            raise ConfigError(
                "HEALPix maps of masks are not written", key="randomcat.healpix", got="True",
                allowed="False", remedy="Set SAVE_MASK_AS_HEALPIX to False.",
            )  # fmt: skip


@dataclass(frozen=True)
class MatchExternalConfig:
    """Columns of an external catalogue at the objects of a tile."""

    tolerance: float = option(
        1.0, "Largest distance.", unit="arcsec", minimum=0, original="match_external:TOLERANCE"
    )
    columns: tuple[str, str] = option(
        ("XWIN_WORLD", "YWIN_WORLD"), "Columns of the own position.",
        original="match_external:COL_MATCH",
    )  # fmt: skip
    hdu: int = option(2, "HDU of the own table.", minimum=1, original="match_external:HDU")
    mode: str = option(
        "classic", "Copy the tables EPOCH_k too, or not.", choices=("classic", "multi-epoch"),
        original="match_external:MODE",
    )  # fmt: skip
    external: Path | None = option(
        None, "The external catalogue.", original="match_external:EXTERNAL_CAT_PATH"
    )
    external_columns: tuple[str, str] = option(
        ("ra", "dec"), "Columns of its position.", original="match_external:EXTERNAL_COL_MATCH"
    )
    copied: tuple[str, ...] = option(
        (), "Columns to be copied.", original="match_external:EXTERNAL_COL_COPY"
    )
    external_hdu: int = option(
        1, "HDU of the external table.", minimum=1, original="match_external:EXTERNAL_HDU"
    )
    prefix: str = option(
        "cat_matched", "Beginning of the output name.", original="match_external:PREFIX"
    )
    mark: float | None = option(
        None, "Keep all objects, with this number where none matches.",
        original="match_external:MARK_NON_MATCHED",
    )  # fmt: skip
    distance: bool = option(
        False, "Add the distance in arcsec.", original="match_external:OUTPUT_DISTANCE"
    )

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True)
class PastecatConfig:
    """Catalogues of the same objects in one file."""

    check_column: str = option(
        "", "Column that must be equal in all.", original="pastecat:CHECK_COL_NAME"
    )
    hdus: tuple[int, ...] = option((2,), "HDU of each table.", original="pastecat:HDU")
    prefix: str = option("cat_pasted", "Beginning of the output name.", original="pastecat:PREFIX")
    names: tuple[str, ...] = option((), "Names of the tables.", original="pastecat:EXT_NAME")

    def __post_init__(self) -> None:
        check(self)
