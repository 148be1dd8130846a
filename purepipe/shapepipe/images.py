"""get_images, find_exposures and uncompress_fits: input files before the first step."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from purepipe.config import EpochConfig
from purepipe.errors import ConfigError, InputFileError
from purepipe.io.atomic import atomic_write, write_text
from purepipe.io.images import card_text, read_header, read_image, write_image
from purepipe.legacy.astromatic_files import read_text
from purepipe.shapepipe.config_small import (
    FindExposuresConfig,
    GetImagesConfig,
    UncompressConfig,
)
from purepipe.shapepipe.job import Job, Record
from purepipe.survey import exposures_of_tile


def find_exposures(job: Job, config: FindExposuresConfig, record: Record) -> None:
    """The exposures in the HISTORY of a tile, one in each line, sorted."""
    header = card_text(read_header(job.files[0], None))
    # The original gives the exposure with the letter that ends its number.
    names = exposures_of_tile(header, EpochConfig(history_pattern=r"(?<!\d)(\d{7}p?)\.fits"))
    names = sorted({name.removeprefix(config.prefix) for name in names})
    if not names:
        raise InputFileError(
            "no HISTORY card names an exposure", file=job.files[0],
            allowed="input image 2243881p.fits ...",
        )  # fmt: skip
    text = "".join(f"{name}\n" for name in names)
    write_text(record.product(f"exp_numbers{job.number}.txt"), text)


def get_images(job: Job, config: GetImagesConfig, record: Record) -> None:
    """Links to, or copies of, the files of all numbers in the lists."""
    numbers: list[str] = []
    for _, files in job.table:
        for path in files:
            numbers += [line.strip() for line in read_text(path).splitlines() if line.strip()]
    folder = config.output_path or job.out
    if not folder.is_dir():
        raise ConfigError("the folder does not exist", key="OUTPUT_PATH", got=folder)
    missing = []
    count = 0
    for number in dict.fromkeys(numbers):
        for place, pattern, extension, output in zip(
            config.input_path, config.input_pattern, config.input_ext, config.output_pattern,
            strict=True,
        ):  # fmt: skip
            name = re.sub(config.input_numbering, _literal(number), pattern, count=1) + extension
            source = Path(place) / name
            if not source.is_file():
                missing.append(str(source))
                continue
            target = record.product(
                f"{output}-{_output_number(number)}{_one_dot(extension)}", folder=folder
            )
            _place(source, target, copy=config.retrieve == "copy")
            count += 1
    if missing:
        raise InputFileError(
            f"{len(missing)} of {count + len(missing)} files are missing",
            got=", ".join(missing[:5]) + (", ..." if len(missing) > 5 else ""),
            remedy="Correct INPUT_PATH and INPUT_FILE_PATTERN, or take the numbers out.",
        )  # fmt: skip
    if config.n_expected and count != config.n_expected * len(set(numbers)):
        record.note(f"{count} files, N_EXPECTED is {config.n_expected} for each number.")


def _literal(number: str) -> str:
    """The number as a replacement text, in which a backslash has no meaning."""
    return number.replace("\\", r"\\")


def _output_number(number: str) -> str:
    """The number in output names: dots become dashes, letters and underscores go."""
    return re.sub(r"[A-Za-z_]", "", number.replace(".", "-")).strip("-")


def _one_dot(extension: str) -> str:
    """``.fitsfz`` for ``.fits.fz``."""
    return f".{extension.replace('.', '')}" if extension else ""


def _place(source: Path, target: Path, *, copy: bool) -> None:
    with atomic_write(target) as scratch:
        if copy:
            shutil.copyfile(source, scratch)
        else:
            scratch.symlink_to(source.resolve())


def uncompress(job: Job, config: UncompressConfig, record: Record) -> None:
    """The image of an HDU of each input as the primary HDU of a new file."""
    names = config.output_pattern or tuple(
        path.name.partition(job.number)[0] for path in job.files
    )  # fmt: skip
    if len(names) != len(job.files):
        raise ConfigError(
            "each input needs one output name", key="OUTPUT_PATTERN", got=len(names),
            allowed=f"{len(job.files)}, as in FILE_PATTERN",
        )  # fmt: skip
    for name, path in zip(names, job.files, strict=True):
        array, header = read_image(path, config.hdu)
        write_image(record.product(f"{name}{job.number}.fits"), array, header)
