"""Masks as FITS images, written from memory or drawn straight from the files of a CCD."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from astropy.io import fits
from numpy.typing import ArrayLike, NDArray

from purepipe.config.mask import MaskConfig
from purepipe.errors import DataError, InputFileError
from purepipe.exposure import WeightKind, known_kind
from purepipe.io.images import clean_header, quiet, read_image, write_image
from purepipe.io.layout import HDUName
from purepipe.io.mask_inputs import read_mask_inputs
from purepipe.io.rows import ImageRows, images_by_rows, open_rows
from purepipe.mask.build import refuse_missing, storage_dtype
from purepipe.mask.plan import MaskPlan, PixelRows, draw_rows, plan_mask
from purepipe.mask.raster import strips
from purepipe.mask.regions import Region
from purepipe.mask.report import (
    MaskReport,
    count_pixels,
    report_counts,
    report_mask,
    rule_values,
)
from purepipe.mask.rules import missing_fraction

if TYPE_CHECKING:
    from astropy.table import Table

    from purepipe.exposure import Exposure

PathName = str | os.PathLike[str]
_TYPES = {"image": np.float32, "weight": np.float32, "flags": np.int32}


def write_mask(
    path: PathName,
    mask: ArrayLike,
    exposure: Exposure,
    config: MaskConfig,
    *,
    compress: bool = True,
    provenance: Mapping[str, str | int] | None = None,
) -> None:
    """Write a mask with the header of its image and what each rule of the mask did.

    Parameters
    ----------
    path
        Final name; an earlier file is replaced.
    mask
        (ny, nx) integers of `purepipe.flags.MaskFlag`; stored as int16, or as int32 where a bit
        needs it.
    exposure
        The image that was masked. Its header cards are copied, and its world coordinates where
        the header lacks them.
    config
        How the mask was made; the rules, their values and numbers of pixels become cards.
    compress
        Write a tile-compressed image in HDU 1 instead of a plain primary one.
    provenance
        More cards.

    Raises
    ------
    DataError
        The mask is not of integers, or not of the size of the image.
    StoreError
        The folder is missing or cannot be written.
    """
    values = np.asarray(mask)
    if values.dtype.kind not in "iub" or values.shape != exposure.shape:
        raise DataError(
            "a mask needs one integer for each pixel of its image", file=path,
            got=f"{values.dtype} of shape {values.shape}",
            allowed=f"integers of shape {exposure.shape}",
        )  # fmt: skip
    values = values.astype(np.int32)
    header = _header(exposure)
    _set_cards(header, report_mask(values, config, image=exposure.image))
    header.update(provenance or {})
    write_image(path, values.astype(storage_dtype(values)), header, compress=compress)


def mask_files(
    output: PathName,
    image: PathName,
    weight: PathName | None = None,
    flags: PathName | None = None,
    *,
    stars: Table | None = None,
    config: MaskConfig | None = None,
    regions: Sequence[Region] = (),
    weight_kind: WeightKind | str = WeightKind.INVERSE_VARIANCE,
    saturation: float = np.inf,
    hdu: HDUName | None = None,
    durable: bool = True,
) -> MaskReport:
    """Draw the mask of an image from its files into a file, some rows at a time.

    The same mask as `purepipe.mask.build_mask` makes, in a few megabytes of memory however large
    the image is. What no rule asks for is not read.

    Parameters
    ----------
    output
        Uncompressed FITS image with the header of `image` and what each rule did: int16, or int32
        when a rule or `flags` may set bits above 14. An earlier file is replaced.
    image, weight, flags
        FITS files; `weight` and `flags` are optional.
    stars, regions
        As for `build_mask`.
    config
        Which rules, and how; catalogues of nebulae that it names are read.
    weight_kind
        What the weights mean.
    saturation
        Level at which pixels saturate, ADU; for ``config.saturated``.
    hdu
        HDU number or EXTNAME in all three files; the first image when not given.
    durable
        As for `purepipe.io.atomic.atomic_write`.

    Returns
    -------
    What every rule did.

    Raises
    ------
    InputFileError
        A file is missing or damaged.
    DataError
        The files do not fit together, or what a rule needs is missing.
    ConfigError, NothingToDo
        As `build_mask`.
    StoreError
        The mask cannot be written.
    """
    config = config or MaskConfig()
    with ExitStack() as stack:
        opened = {
            name: stack.enter_context(open_rows(path, hdu))
            for name, path in (("image", image), ("weight", weight), ("flags", flags))
            if path is not None
        }
        _require_fit(opened, {"weight": weight, "flags": flags}, image)
        frame = opened["image"]
        missing = _missing(frame, config) if config.missing.make else None
        if missing is not None:
            refuse_missing(missing, config, name=str(image))
        wcs = frame.wcs
        plan = plan_mask(
            frame.shape, wcs, stars, config, regions=regions, name=str(image),
            **read_mask_inputs(config, wcs),
        )  # fmt: skip
        header = clean_header(frame.header)
        values = rule_values(config)
        counts = np.zeros(len(values), np.int64)
        n_cards = len(report_counts(counts, 1, config, missing=missing).cards())
        limits = PixelRows(0, weight_kind=known_kind(weight_kind), saturation=saturation)
        dtype = _stored_type(plan, opened.get("flags"))
        with (
            images_by_rows(output, durable=durable) as add,
            add(frame.shape, dtype, header, more_cards=n_cards) as write,
        ):
            for drawn in _draw(plan, opened, limits, _drawn_type(plan, dtype, opened)):
                counts += count_pixels(drawn, values)
                write(drawn)
            n_pixels = frame.shape[0] * frame.shape[1]
            report = report_counts(counts, n_pixels, config, missing=missing)
            _set_cards(header, report)
    return report


def _require_fit(
    opened: dict[str, ImageRows], paths: dict[str, PathName | None], image: PathName
) -> None:
    for name, path in paths.items():
        if name in opened and opened[name].shape != opened["image"].shape:
            (ny, nx), (rows, columns) = opened[name].shape, opened["image"].shape
            raise DataError(
                f"the {name} map has another size than the image {image}", file=path,
                got=f"{nx} x {ny}", allowed=f"{columns} x {rows}",
            )  # fmt: skip
    if "flags" in opened and opened["flags"].read(0, 1).dtype.kind not in "iu":
        raise DataError("a flag map must hold integers", file=paths["flags"])


def _missing(image: ImageRows, config: MaskConfig) -> float:
    """Fraction of missing pixels."""
    compat = config.compat == "shapepipe"
    total = sum(
        missing_fraction(_pixels("image", image, first, last), compat=compat) * (last - first)
        for first, last in strips(image.shape)
    )
    return total / image.shape[0]


def _draw(
    plan: MaskPlan, opened: dict[str, ImageRows], limits: PixelRows, dtype: type[np.generic]
) -> Iterator[NDArray[Any]]:
    """The mask, some rows at a time; what is yielded is only valid until the next."""
    # ShapePipe looks at no pixel of the image itself.
    skipped = "image" if plan.config.compat == "shapepipe" else ""

    looked_at = {name: rows for name, rows in opened.items() if name != skipped}
    drawn = np.empty((0, plan.shape[1]), dtype)
    for first, last in strips(plan.shape):
        pixels = {name: _pixels(name, rows, first, last) for name, rows in looked_at.items()}
        if len(drawn) < last - first:
            drawn = np.empty((last - first, plan.shape[1]), dtype)
        part = drawn[: last - first]
        draw_rows(plan, replace(limits, first=first, **pixels), part)
        yield part


def _pixels(name: str, rows: ImageRows, first: int, last: int) -> Any:
    pixels, wanted = rows.read(first, last), np.dtype(_TYPES[name])
    # Numbers of the right type keep the byte order that they have in the file.
    return pixels if pixels.dtype.newbyteorder("=") == wanted else pixels.astype(wanted)


def _stored_type(plan: MaskPlan, flags: ImageRows | None) -> type[np.generic]:
    if plan.config.compat == "shapepipe":
        return np.int16
    wide = any(value >= 2**15 for value in rule_values(plan.config)[:-1])
    if flags is not None:
        wide |= np.iinfo(flags.read(0, 1).dtype).max >= 2**15
    return np.int32 if wide else np.int16


def _drawn_type(
    plan: MaskPlan, stored: type[np.generic], opened: dict[str, ImageRows]
) -> type[np.generic]:
    """The type in which a mask is drawn: that of the file where no sum can go beyond it."""
    return stored if "flags" not in opened and plan.largest < 2**15 else np.int32


def _set_cards(header: fits.Header, report: MaskReport) -> None:
    header.extend([fits.Card(*card) for card in report.cards()], update=True)


def read_mask(path: PathName, hdu: int | str | None = None) -> NDArray[np.int32]:
    """The bits of a mask as (ny, nx) int32; the first image of the file when no HDU is named.

    Raises
    ------
    InputFileError
        The file is missing or damaged, or its image is not of whole numbers.
    """
    values, _ = read_image(path, hdu)
    if values.dtype.kind not in "iu":
        raise InputFileError(
            "a mask must hold integers", file=path, got=values.dtype,
            remedy="Give the flag map, not the image or the weight.",
        )  # fmt: skip
    return values.astype(np.int32)


def _header(exposure: Exposure) -> fits.Header:
    """The header of the image, completed by its world coordinates."""
    header = clean_header(exposure.header or None)
    if exposure.wcs is None:
        return header
    with quiet():
        cards: list[Any] = list(clean_header(exposure.wcs.cards).cards)
    for card in cards:
        if card.keyword not in header:
            header.append(card)
    return header


def mask_name(number: str, prefix: str = "pipeline") -> Path:
    """The file name that ShapePipe gives to a mask: ``pipeline_flag-2079614-9.fits``."""
    stem = f"{prefix}_flag" if prefix and prefix.casefold() != "none" else "flag"
    return Path(f"{stem}{number}.fits")
