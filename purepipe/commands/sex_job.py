"""What a command line of ``purepipe sex`` and its configuration file ask for."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from purepipe.catalogue.requests import SPREAD_COLUMNS, read_request
from purepipe.commands.outputs import require_folder, require_other_files
from purepipe.errors import ConfigError, did_you_mean
from purepipe.io.sex_images import ImageName, image_name, images_of
from purepipe.legacy.astromatic import (
    Settings,
    find_file,
    parse_arguments,
    read_detect_config,
    read_settings,
)
from purepipe.legacy.astromatic_files import (
    NeuralNetwork,
    RequestedColumn,
    read_columns,
    read_neural_network,
    read_numbers,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from purepipe.config import DetectConfig
    from purepipe.io.layout import HDULayout

log = logging.getLogger(__name__)

CATALOGUES = (
    "NONE", "ASCII", "ASCII_HEAD", "ASCII_SKYCAT", "ASCII_VOTABLE", "FITS_LDAC", "FITS_TPX",
    "FITS_1.0", "PARQUET",
)  # fmt: skip
CHECKS = (
    "NONE", "IDENTICAL", "BACKGROUND", "BACKGROUND_RMS", "MINIBACKGROUND", "MINIBACK_RMS",
    "-BACKGROUND", "FILTERED", "OBJECTS", "-OBJECTS", "SEGMENTATION", "APERTURES",
)  # fmt: skip
VERBOSITY = ("QUIET", "NORMAL", "WARN", "FULL")
_DEFAULT_FILE = "default.sex"


@dataclass(frozen=True)
class ImageFile:
    """A FITS file and its images that take part."""

    name: ImageName
    images: tuple[HDULayout, ...]


@dataclass(frozen=True)
class WeightFile:
    """A kind of weighting (in SExtractor's words) and the map it needs, if any."""

    kind: str
    file: ImageFile | None = None


@dataclass(frozen=True)
class Job:
    """Images, what is measured on them and how, and where the results go.

    Attributes
    ----------
    settings
        Keywords of the run.
    config
        Configuration of the detection.
    columns
        Columns of the catalogue, without repetition.
    measured
        The image to measure.
    sought
        The image on which objects are found, if it is another one.
    weights
        Of the detection and of the measurement image.
    flags
        Flag maps.
    catalogue
        Type and name of the catalogue.
    checks
        Type and name of each check-image.
    network
        For CLASS_STAR, if that is a column.
    entries
        Rows of the catalogue to associate, if a column needs them.
    psf
        File of PSF models, if a column needs them.
    """

    settings: Settings
    config: DetectConfig
    columns: tuple[RequestedColumn, ...]
    measured: ImageFile
    sought: ImageFile | None
    weights: tuple[WeightFile, WeightFile]
    flags: tuple[ImageFile, ...]
    catalogue: tuple[str, str]
    checks: tuple[tuple[str, Path], ...]
    network: NeuralNetwork | None
    entries: NDArray[np.float64] | None
    psf: Path | None


def read_job(arguments: Sequence[str]) -> Job:
    """The job that a command line and its configuration file ask for.

    Raises
    ------
    ConfigError
        An unknown keyword, column or option, a value that is not understood, no image or too
        many, names that do not fit the types, an output that is an input or has no folder.
    InputFileError
        A configuration file or an image cannot be read.
    """
    lenient = "--lenient" in arguments
    words = [word for word in arguments if word != "--lenient"]
    wrong = next((word for word in words if word.startswith("--")), None)
    if wrong is not None:
        raise ConfigError("unknown option", key=wrong, allowed="--lenient, --help, --version")
    files, path, overrides = parse_arguments(words)
    if path is None and Path(_DEFAULT_FILE).is_file():
        path = _DEFAULT_FILE
    settings = read_settings(path, "sex", overrides=overrides, lenient=lenient)
    verbosity = _choice(settings, "VERBOSE_TYPE", VERBOSITY)
    if path is None and verbosity != "QUIET":
        log.warning("%s not found: built-in values are used", _DEFAULT_FILE)
    names = [word for file in files for word in file.split(",") if word]
    if not 1 <= len(names) <= 2:
        raise ConfigError(
            "one image is needed, or one to detect and one to measure", got=" ".join(names) or None,
            remedy="Call purepipe sex IMAGE.fits, or DETECTION.fits,MEASUREMENT.fits.",
        )  # fmt: skip
    _refuse(settings, "DETECT_TYPE", "CCD", "photographic plates are not supported")
    _refuse(settings, "DGEO_TYPE", "NONE", "maps of differential geometry are not supported")
    columns = _columns(settings, lenient)
    opened = [_opened(image_name(name)) for name in names]
    job = Job(
        settings=settings,
        config=read_detect_config(settings, columns=columns),
        columns=columns,
        measured=opened[-1],
        sought=opened[0] if len(opened) == 2 else None,
        weights=_weights(settings),
        flags=_flags(settings, columns),
        catalogue=_catalogue(settings),
        checks=_checks(settings),
        network=_network(settings) if "CLASS_STAR" in names_of(columns) else None,
        entries=_entries(settings) if "_ASSOC" in "".join(names_of(columns)) else None,
        psf=_psf(settings) if set(SPREAD_COLUMNS) & set(names_of(columns)) else None,
    )
    outputs = _outputs(job)
    for key, output in outputs:
        require_folder(settings, key, output.parent)
    require_other_files(settings, outputs, _inputs(job))
    return job


def _outputs(job: Job) -> list[tuple[str, Path]]:
    """Every file to be written, with its keyword."""
    kind, name = job.catalogue
    outputs = [("CHECKIMAGE_NAME", path) for _, path in job.checks]
    if kind != "NONE" and name.upper() not in ("STDOUT", "PIPE"):
        outputs.append(("CATALOG_NAME", Path(name)))
    if job.settings.flag("WRITE_XML"):
        outputs.append(("XML_NAME", Path(job.settings.text("XML_NAME"))))
    return outputs


def _inputs(job: Job) -> list[Path]:
    """Every file that is read, beside the configuration file."""
    settings = job.settings
    images = [job.measured, job.sought, *(item.file for item in job.weights), *job.flags]
    keys = ["PARAMETERS_NAME"]
    keys += ["FILTER_NAME"] if settings.flag("FILTER") else []
    keys += ["STARNNW_NAME"] if job.network is not None else []
    keys += ["ASSOC_NAME"] if job.entries is not None else []
    keys += ["PSF_NAME"] if job.psf is not None else []
    files = [find_file(settings, key) for key in keys if settings.text(key)]
    return [item.name.path for item in images if item is not None] + files


def _refuse(settings: Settings, key: str, allowed: str, reason: str) -> None:
    if settings.text(key).upper() not in ("", allowed):
        raise ConfigError(
            reason, file=settings.file or None, key=settings[key].where, got=settings.text(key),
            allowed=allowed,
        )  # fmt: skip


def names_of(columns: Sequence[RequestedColumn]) -> tuple[str, ...]:
    """The names of columns without their sizes."""
    return tuple(item.name for item in columns)


def _network(settings: Settings) -> NeuralNetwork:
    return read_neural_network(find_file(settings, "STARNNW_NAME"))


def _entries(settings: Settings) -> NDArray[np.float64]:
    return read_numbers(find_file(settings, "ASSOC_NAME"))


def _psf(settings: Settings) -> Path:
    if len(settings.texts("PSF_NAME")) != 1:
        raise ConfigError(
            "one file of PSF models is needed", file=settings.file or None,
            key=settings["PSF_NAME"].where, got=" ".join(settings.texts("PSF_NAME")) or None,
            remedy="Name the file of the measured image.",
        )  # fmt: skip
    return Path(find_file(settings, "PSF_NAME"))


def _opened(name: ImageName) -> ImageFile:
    return ImageFile(name, images_of(name))


def _choice(settings: Settings, key: str, allowed: Sequence[str]) -> str:
    """The first word of a keyword, in capitals, if it is one of those allowed."""
    word = settings.text(key).upper()
    if word not in allowed:
        raise ConfigError(
            "unknown word", file=settings.file or None, key=settings[key].where, got=repr(word),
            remedy=did_you_mean(word, allowed),
        )  # fmt: skip
    return word


def _columns(settings: Settings, lenient: bool) -> tuple[RequestedColumn, ...]:
    """The columns of the catalogue; errors name the line of the parameter file."""
    rows: dict[str, RequestedColumn] = {}
    file = find_file(settings, "PARAMETERS_NAME")
    for column in read_columns(file):
        try:
            read_request(str(column))
        except ConfigError as error:
            error.file, error.key = str(file), f"line {column.line} {column.name}"
            if not lenient:
                raise
            log.warning("%s", error)
            continue
        if column.name in rows:
            log.warning("%s is asked for twice; the first one counts", column.name)
        else:
            rows[column.name] = column
    if not rows:
        raise ConfigError("no column is left", file=file, remedy="Ask for one that is known.")
    return tuple(rows.values())


def _weights(settings: Settings) -> tuple[WeightFile, WeightFile]:
    words = [word.upper() for word in settings.texts("WEIGHT_TYPE")] or ["NONE"]
    names = [image_name(word) for word in settings.texts("WEIGHT_IMAGE")]
    kinds = (words[0], words[-1])
    if any(kind.startswith("MAP") for kind in kinds) and not names:
        raise ConfigError(
            "a weight map is needed", file=settings.file or None,
            key=settings["WEIGHT_IMAGE"].where, remedy="Name it, or set WEIGHT_TYPE NONE.",
        )  # fmt: skip
    opened = {name: _opened(name) for kind in kinds if kind.startswith("MAP") for name in names}
    files = (names[0], names[-1]) if names else (None, None)
    rows = [
        WeightFile(kind, opened[name] if name is not None and kind.startswith("MAP") else None)
        for kind, name in zip(kinds, files, strict=True)
    ]
    return rows[0], rows[1]


def _flags(settings: Settings, columns: Sequence[RequestedColumn]) -> tuple[ImageFile, ...]:
    """The flag maps; like the original, they are looked at only if a column needs them."""
    if not {"IMAFLAGS_ISO", "NIMAFLAGS_ISO"} & set(names_of(columns)):
        return ()
    return tuple(_opened(image_name(word)) for word in settings.texts("FLAG_IMAGE"))


def _catalogue(settings: Settings) -> tuple[str, str]:
    kind = _choice(settings, "CATALOG_TYPE", CATALOGUES)
    name = settings.text("CATALOG_NAME")
    if name.upper() in ("STDOUT", "PIPE") and not kind.startswith("ASCII"):
        raise ConfigError(
            "only text catalogues go to the terminal", file=settings.file or None,
            key=settings["CATALOG_NAME"].where, got=kind,
        )  # fmt: skip
    if kind == "PARQUET" and Path(name).suffix.lower() not in (".parquet", ".pq"):
        raise ConfigError(
            "the name of a Parquet catalogue ends in .parquet or .pq", file=settings.file or None,
            key=settings["CATALOG_NAME"].where, got=name,
        )  # fmt: skip
    return kind, name


def _checks(settings: Settings) -> tuple[tuple[str, Path], ...]:
    kinds = [word.upper() for word in settings.texts("CHECKIMAGE_TYPE")]
    for word in kinds:
        if word not in CHECKS:
            raise ConfigError(
                "unknown word", file=settings.file or None,
                key=settings["CHECKIMAGE_TYPE"].where, got=repr(word),
                remedy=did_you_mean(word, CHECKS),
            )  # fmt: skip
    names = settings.texts("CHECKIMAGE_NAME")
    if all(kind == "NONE" for kind in kinds):
        return ()
    if len(names) != len(kinds):
        raise ConfigError(
            "each check-image needs a name", file=settings.file or None,
            key=settings["CHECKIMAGE_NAME"].where, got=f"{len(names)} names",
            allowed=f"{len(kinds)}, as in CHECKIMAGE_TYPE",
        )  # fmt: skip
    pairs = [(kind, Path(name)) for kind, name in zip(kinds, names, strict=True) if kind != "NONE"]
    if len({path for _, path in pairs}) < len(pairs):
        raise ConfigError(
            "two check-images have one name", file=settings.file or None,
            key=settings["CHECKIMAGE_NAME"].where, got=", ".join(names),
        )  # fmt: skip
    return tuple(pairs)
