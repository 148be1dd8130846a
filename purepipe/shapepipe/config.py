"""The keys of a pipeline file: one dataclass for its general sections, one for each module."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from purepipe.config.fields import check, option
from purepipe.errors import ConfigError

POSITIONS = ("XWIN_WORLD", "YWIN_WORLD")


@dataclass(frozen=True)
class GeneralConfig:
    """What the sections DEFAULT, EXECUTION, FILE, JOB and WORKER say."""

    verbose: bool = option(True, "Print to the terminal.", original="DEFAULT:VERBOSE")
    run_name: str = option(
        "shapepipe_run", "Name of the run's folder.", original="DEFAULT:RUN_NAME"
    )
    run_datetime: bool = option(
        True, "Append date and time to the name; without, a second run resumes the first.",
        original="DEFAULT:RUN_DATETIME",
    )  # fmt: skip
    modules: tuple[str, ...] = option(
        (), "Names of modules, run in this order; a name may come several times.",
        original="EXECUTION:MODULE",
    )  # fmt: skip
    mode: str = option(
        "smp", "Processes of this machine, or MPI.", choices=("smp", "mpi"),
        original="EXECUTION:MODE",
    )  # fmt: skip
    log_name: str = option("shapepipe", "Name of the log file.", original="FILE:LOG_NAME")
    run_log_name: str = option(
        "shapepipe_runs", "Name of the list of runs in OUTPUT_DIR.", original="FILE:RUN_LOG_NAME"
    )
    input_dir: tuple[str, ...] = option(
        (), "Folders, or last:MODULE, all:MODULE, TEXT:MODULE.", original="FILE:INPUT_DIR"
    )
    output_dir: Path | None = option(
        None, "Existing folder of the runs.", original="FILE:OUTPUT_DIR"
    )
    file_pattern: tuple[str, ...] = option(
        (), "Beginnings of the names of the input files.", original="FILE:FILE_PATTERN"
    )
    file_ext: tuple[str, ...] = option(
        (), "Extensions of the input files, one for all or one for each pattern.",
        original="FILE:FILE_EXT",
    )  # fmt: skip
    numbering_scheme: str | None = option(
        None, "Form of the numbers in file names; without, that of each module.",
        original="FILE:NUMBERING_SCHEME",
    )  # fmt: skip
    number_list: tuple[str, ...] = option(
        (), "Numbers to be run, or a file with one in each line.", original="FILE:NUMBER_LIST"
    )
    batch_size: int = option(1, "Number of processes.", minimum=1, original="JOB:SMP_BATCH_SIZE")
    timeout: str = option("", "Limit of each unit: seconds, or HH:MM:SS.", original="JOB:TIMEOUT")

    def __post_init__(self) -> None:
        check(self)
        seconds(self.timeout)


def seconds(text: str) -> float | None:
    """A time limit in seconds; None for no limit.

    Raises
    ------
    ConfigError
        The text is neither a number of seconds nor HH:MM:SS.
    """
    if text.casefold() in ("", "none"):
        return None
    try:
        total = 0.0
        for part in text.split(":"):
            total = 60 * total + float(part)
    except ValueError:
        total = -1.0
    if not (0 < total < 1e9) or text.count(":") not in (0, 2):
        raise ConfigError(
            "the time limit is not understood", key="general.timeout", got=repr(text),
            allowed="seconds, or HH:MM:SS",
        )  # fmt: skip
    return total


@dataclass(frozen=True)
class SplitExpConfig:
    """One file for each CCD of an exposure."""

    prefixes: tuple[str, ...] = option(
        ("image", "weight", "flag"), "Beginnings of the output names, in the order of the inputs.",
        original="split_exp:OUTPUT_SUFFIX",
    )  # fmt: skip
    n_hdu: int = option(40, "Number of CCDs.", minimum=1, original="split_exp:N_HDU")

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True)
class MergeHeadersConfig:
    """World coordinates of all CCDs in one file."""

    output_path: Path | None = option(
        None, "Folder of log_exp_headers.sqlite; default: that of the module.",
        original="merge_headers:OUTPUT_PATH",
    )  # fmt: skip

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True)
class MaskModuleConfig:
    """Masks of CCDs and tiles."""

    config_path: Path | None = option(None, "The .mask file.", original="mask:MASK_CONFIG_PATH")
    use_ext_flag: bool = option(
        False, "The third file is a flag map.", original="mask:USE_EXT_FLAG"
    )
    use_ext_star: bool = option(
        False, "The last file is a star catalogue.", original="mask:USE_EXT_STAR"
    )
    hdu: int = option(0, "HDU of the external flag map.", minimum=0, original="mask:HDU")
    prefix: str = option("", "Beginning of the output name.", original="mask:PREFIX")

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True)
class SextractorConfig:
    """Detection on CCDs and tiles, and the epochs of a tile's objects."""

    sex_file: Path | None = option(None, "The .sex file.", original="sextractor:DOT_SEX_FILE")
    param_file: Path | None = option(None, "The .param file.", original="sextractor:DOT_PARAM_FILE")
    conv_file: Path | None = option(
        None, "The .conv file; default: that of the .sex file.", original="sextractor:DOT_CONV_FILE"
    )
    weight_image: bool = option(True, "A weight map is given.", original="sextractor:WEIGHT_IMAGE")
    flag_image: bool = option(True, "A flag map is given.", original="sextractor:FLAG_IMAGE")
    psf_file: bool = option(False, "A .psf file is given.", original="sextractor:PSF_FILE")
    detection_image: bool = option(
        False, "A detection image is given.", original="sextractor:DETECTION_IMAGE"
    )
    detection_weight: bool = option(
        False, "A weight map of the detection image is given.",
        original="sextractor:DETECTION_WEIGHT",
    )  # fmt: skip
    zero_point_from_header: bool = option(
        False, "The zero-point is in the header.", original="sextractor:ZP_FROM_HEADER"
    )
    zero_point_key: str = option("", "Header key of the zero-point.", original="sextractor:ZP_KEY")
    background_from_header: bool = option(
        False, "The background level is in the header.", original="sextractor:BKG_FROM_HEADER"
    )
    background_key: str = option(
        "", "Header key of the background level.", original="sextractor:BKG_KEY"
    )
    check_images: tuple[str, ...] = option((), "Check-images.", original="sextractor:CHECKIMAGE")
    prefix: str = option("", "Beginning of the output names.", original="sextractor:PREFIX")
    post_process: bool = option(
        False, "Find the epochs of each object.", original="sextractor:MAKE_POST_PROCESS"
    )
    wcs_log: Path | None = option(
        None, "World coordinates of the CCDs.", original="sextractor:LOG_WCS"
    )
    world_position: tuple[str, str] = option(
        POSITIONS, "Columns of the sky position.", original="sextractor:WORLD_POSITION"
    )
    ccd_size: tuple[int, int, int, int] | None = option(
        None, "Exposed pixels of a CCD: x0, x1, y0, y1, 1-based; clipped to the image.",
        original="sextractor:CCD_SIZE",
    )  # fmt: skip

    def __post_init__(self) -> None:
        check(self)
        for wanted, key, name in (
            (self.post_process and self.wcs_log is None, "wcs_log", "LOG_WCS"),
            (self.zero_point_from_header and not self.zero_point_key, "zero_point_key", "ZP_KEY"),
            (self.background_from_header and not self.background_key, "background_key", "BKG_KEY"),
        ):
            if wanted:
                raise ConfigError("a key is missing", key=f"sextractor.{key} ({name})")


@dataclass(frozen=True)
class SetoolsConfig:
    """Selections of objects."""

    config_path: Path | None = option(
        None, "The .setools file.", original="setools:SETOOLS_CONFIG_PATH"
    )

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True)
class PSFExConfig:
    """PSF models of CCDs."""

    psfex_file: Path | None = option(None, "The .psfex file.", original="psfex:DOT_PSFEX_FILE")
    check_images: tuple[str, ...] = option((), "Check-images.", original="psfex:CHECKIMAGE")

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True)
class PSFInterpConfig:
    """PSF at the positions of objects."""

    mode: str = option(
        "classic", "Objects of a CCD, stars of a CCD, or objects of a tile on every CCD.",
        choices=("classic", "validation", "multi-epoch"), original="psfex_interp:MODE",
    )  # fmt: skip
    positions: tuple[str, str] = option(
        ("XWIN_IMAGE", "YWIN_IMAGE"), "Columns of the positions.",
        original="psfex_interp:POSITION_PARAMS",
    )  # fmt: skip
    get_shapes: bool = option(True, "Measure the PSF.", original="psfex_interp:GET_SHAPES")
    min_stars: int = option(
        20, "Fewest accepted stars of a usable model.", minimum=0,
        original="psfex_interp:STAR_THRESH",
    )  # fmt: skip
    max_chi2: float = option(
        2.0, "Largest chi-square of a usable model.", minimum=0,
        original="psfex_interp:CHI2_THRESH",
    )  # fmt: skip
    psf_dir: str = option(
        "", "Folder of the models, or a module.", original="psfex_interp:ME_DOT_PSF_DIR"
    )
    psf_pattern: str = option(
        "", "Beginning of the names of the models.", original="psfex_interp:ME_DOT_PSF_PATTERN"
    )
    wcs_log: Path | None = option(
        None, "World coordinates of the CCDs.", original="psfex_interp:ME_LOG_WCS"
    )

    def __post_init__(self) -> None:
        check(self)
        if self.mode == "multi-epoch" and not (self.psf_dir and self.psf_pattern and self.wcs_log):
            raise ConfigError(
                "the mode MULTI-EPOCH needs ME_DOT_PSF_DIR, ME_DOT_PSF_PATTERN and ME_LOG_WCS",
                key="MODE",
            )


@dataclass(frozen=True)
class VignetConfig:
    """Stamps of objects."""

    masking: bool = option(
        False, "Take VIGNET of the catalogue and fill its masked pixels.",
        original="vignetmaker:MASKING",
    )  # fmt: skip
    mask_value: float = option(
        0.0, "What masked pixels are filled with.", original="vignetmaker:MASK_VALUE"
    )
    mode: str = option(
        "classic", "Stamps of the images given, or of every CCD that saw an object.",
        choices=("classic", "multi-epoch"), original="vignetmaker:MODE",
    )  # fmt: skip
    coordinates: str = option(
        "pix", "Positions in pixels or on the sky.", choices=("pix", "sphe"),
        original="vignetmaker:COORD",
    )  # fmt: skip
    positions: tuple[str, str] = option(
        ("XWIN_IMAGE", "YWIN_IMAGE"), "Columns of the positions.",
        original="vignetmaker:POSITION_PARAMS",
    )  # fmt: skip
    size: int = option(
        51, "Side of the stamps, odd.", unit="pixel", minimum=1, original="vignetmaker:STAMP_SIZE"
    )
    prefixes: tuple[str, ...] = option(
        (), "Beginnings of the output names, one for each image.", original="vignetmaker:PREFIX"
    )
    image_dirs: tuple[str, ...] = option(
        (), "Folders or modules of the CCD images, one for all or one for each pattern.",
        original="vignetmaker:ME_IMAGE_DIR",
    )  # fmt: skip
    image_patterns: tuple[str, ...] = option(
        (), "Beginnings of the names of the CCD images.", original="vignetmaker:ME_IMAGE_PATTERN"
    )
    wcs_log: Path | None = option(
        None, "World coordinates of the CCDs.", original="vignetmaker:ME_LOG_WCS"
    )

    def __post_init__(self) -> None:
        check(self)
        if self.size % 2 == 0:
            raise ConfigError(
                "the side of a stamp must be odd", key="vignet.size", got=self.size,
                allowed="1, 3, 5, ...",
            )  # fmt: skip
        if self.mode == "classic" or self.masking:
            return
        if not (self.image_dirs and self.image_patterns and self.wcs_log):
            raise ConfigError(
                "the mode MULTI-EPOCH needs ME_IMAGE_DIR, ME_IMAGE_PATTERN and ME_LOG_WCS",
                key="MODE",
            )
        if len(self.image_dirs) not in (1, len(self.image_patterns)):
            raise ConfigError(
                "one folder for all patterns or one for each is needed", key="ME_IMAGE_DIR",
                got=len(self.image_dirs), allowed=f"1 or {len(self.image_patterns)}",
            )  # fmt: skip


@dataclass(frozen=True)
class SpreadModuleConfig:
    """Spread model of the objects of a tile."""

    prefix: str = option("", "Beginning of the output name.", original="spread_model:PREFIX")
    pixel_scale: float = option(
        0.186, "Pixel scale; cancels.", unit="arcsec", minimum=0,
        original="spread_model:PIXEL_SCALE",
    )  # fmt: skip
    output_mode: str = option(
        "new", "A catalogue of its own, or all columns and the spread model.",
        choices=("new", "add"), original="spread_model:OUTPUT_MODE",
    )  # fmt: skip

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True)
class NgmixConfig:
    """Shapes of the objects of a tile."""

    zero_point: float = option(
        30.0, "Magnitude of unit flux on the tile.", unit="mag", original="ngmix:MAG_ZP"
    )
    wcs_log: Path | None = option(None, "World coordinates of the CCDs.", original="ngmix:LOG_WCS")
    first: int = option(
        -1, "First NUMBER to be measured; 0 or less for all.", original="ngmix:ID_OBJ_MIN"
    )
    last: int = option(
        -1, "Last NUMBER to be measured; 0 or less for all.", original="ngmix:ID_OBJ_MAX"
    )

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True)
class MakeCatConfig:
    """The final catalogue of a tile."""

    classify: bool = option(True, "Add SPREAD_CLASS.", original="make_cat:SM_DO_CLASSIFICATION")
    star_limit: float = option(
        0.003, "Below lies a star.", minimum=0, original="make_cat:SM_STAR_THRESH"
    )
    galaxy_limit: float = option(
        0.01, "Above lies a galaxy.", minimum=0, original="make_cat:SM_GAL_THRESH"
    )
    shape_types: tuple[str, ...] = option(
        ("ngmix",), "Kinds of shape catalogues.", choices=("ngmix",),
        original="make_cat:SHAPE_MEASUREMENT_TYPE",
    )  # fmt: skip
    save_psf: bool = option(False, "Add the PSF of every epoch.", original="make_cat:SAVE_PSF_DATA")

    def __post_init__(self) -> None:
        check(self)
