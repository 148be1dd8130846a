"""The section about stars and the PSF."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from purepipe.errors import NothingToDo, PurepipeError
from purepipe.psf import correlate_residuals
from purepipe.report import plots, psf_plots
from purepipe.report.blocks import (
    Block,
    Cell,
    Gallery,
    Heading,
    Picture,
    Section,
    Text,
    cell,
    counted,
    grid,
    picture,
    sentence,
)
from purepipe.report.records import (
    ELLIPTICITY_LIMIT,
    MAX_EXPOSURES,
    MAX_SOURCE_CCDS,
    SIZE_LIMIT,
    CCDRecord,
    FieldStars,
    Record,
    ccd_page,
    evenly,
    link_to,
    number,
    read_field,
    read_sources,
    worst_and_typical,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Fewer stars give noise alone.
MIN_RHO_STARS = 100
_TONES = {"good": "good", "suspect": "bad", "unknown": "warn"}


def psf_section(record: Record, ccds: Sequence[CCDRecord]) -> Section:
    """Star selection, PSF residuals and the table of all CCDs."""
    if not ccds:
        return Section("psf", "Stars and PSF", (Text("The run has no CCD."),))
    blocks: list[Block] = [
        Text(_verdicts(ccds)), Heading("Star selection"), _selection(record, ccds)
    ]  # fmt: skip
    blocks += _residuals(record, ccds)
    blocks += [Heading("All CCDs"), _table(record, ccds)]
    return Section("psf", "Stars and PSF", tuple(blocks))


def _verdicts(ccds: Sequence[CCDRecord]) -> str:
    verdicts = [ccd.facts.get("verdict") for ccd in ccds]
    none = sum(verdict is None for verdict in verdicts)
    text = (
        f"Of {counted(len(ccds), 'CCD')}, the PSF model is good on {verdicts.count('good'):,},"
        f" suspect on {verdicts.count('suspect'):,}, and cannot be judged on"
        f" {verdicts.count('unknown') + none:,} (fewer than 3 stars, or no model). A model is"
        f" suspect when a mean residual exceeds {ELLIPTICITY_LIMIT:g} in ellipticity or"
        f" {SIZE_LIMIT:g} in relative size by more than its error explains."
    )
    fwhm = np.array([number(ccd.facts.get("fwhm")) for ccd in ccds])
    fwhm = fwhm[np.isfinite(fwhm)]
    if fwhm.size:
        text += (
            f" FWHM of the stars: median {np.median(fwhm):.2f} pixel, from {fwhm.min():.2f} to"
            f" {fwhm.max():.2f}."
        )
    return text


def _selection(record: Record, ccds: Sequence[CCDRecord]) -> Gallery:
    """Size against magnitude: a typical CCD, the worst, and all together."""
    pictures = [selection_on(record, ccd, kind) for kind, ccd in worst_and_typical(ccds)]
    located = [ccd for ccd in ccds if np.isfinite(number(ccd.facts.get("fwhm")))]
    chosen = evenly(located, MAX_SOURCE_CCDS)
    title = "All CCDs together" if len(chosen) == len(ccds) else f"{len(chosen)} CCDs together"
    pictures.append(
        picture(
            title, "Sizes in units of the locus of their own CCD.",
            lambda: _selection_together(record, chosen), size=(3.8, 3.7),
        )
    )  # fmt: skip
    return Gallery(tuple(pictures))


def selection_on(record: Record, ccd: CCDRecord, kind: str) -> Picture:
    """Size against magnitude of the sources of one CCD, stars marked."""

    def make() -> Callable[[Axes], None]:
        locus = number(ccd.facts.get("fwhm"))
        return psf_plots.size_magnitude([read_sources(record, ccd)], [locus], relative=False)

    caption = "Dotted: FWHM of the stellar locus. The first reason that applies gives the colour."
    return picture(f"CCD {ccd.name} ({kind})", caption, make, size=(3.8, 3.7))


def _selection_together(record: Record, ccds: Sequence[CCDRecord]) -> Callable[[Axes], None]:
    tables, loci = [], []
    for ccd in ccds:
        try:
            tables.append(read_sources(record, ccd))
        except PurepipeError:
            continue
        loci.append(number(ccd.facts.get("fwhm")))
    if not tables:
        raise NothingToDo("No CCD has a stellar locus and a table of its sources.")
    return psf_plots.size_magnitude(tables, loci, relative=True)


def _residuals(record: Record, ccds: Sequence[CCDRecord]) -> list[Block]:
    """Whiskers over the focal plane and histograms of the residuals."""
    blocks: list[Block] = []
    for kind, exposure in _exposures(ccds):
        members = [ccd for ccd in ccds if ccd.exposure == exposure]
        blocks.append(Heading(f"PSF of exposure {exposure} (that of the {kind} CCD)"))
        blocks.append(whiskers(record, members))
    exposures = sorted({ccd.exposure for ccd in ccds})
    chosen = set(evenly(exposures, MAX_EXPOSURES))
    of = (
        ""
        if len(chosen) == len(exposures)
        else f" of {len(chosen)} of {len(exposures):,} exposures"
    )
    blocks.append(Heading(f"PSF residuals of {counted(len(chosen), 'exposure')}"))
    try:
        field = read_field(record, [ccd for ccd in ccds if ccd.exposure in chosen])
        stars, kind = psf_plots.residual_sample(field)
    except PurepipeError as error:
        return [*blocks, Text(sentence(error))]
    stacked = _whisker_picture(
        "Mean residual over the focal plane",
        "Star minus PSF, all stars, averaged in cells; each exposure about its own pointing.",
        field, "residual", limit=psf_plots.MAX_MEAN_WHISKERS,
    )  # fmt: skip
    words = Text(in_words(stars, kind + of))
    return [*blocks, words, Gallery((stacked, *histograms(stars))), *_rho(stars)]


def _rho(stars: FieldStars) -> list[Block]:
    """Correlations of the residuals over the sky, when there are stars enough."""
    if len(stars.ra) < MIN_RHO_STARS:
        return []
    table = correlate_residuals(stars.ra, stars.dec, stars.star, stars.psf, stars.dsize)
    caption = (
        "Correlations of residuals and ellipticities of the stars above, with their shot noise;"
        " hollow where negative. ρ1 is that of the ellipticity residuals, ρ2 of ellipticity and"
        " residual, ρ3 to ρ5 contain the size residuals (Rowe 2010, Jarvis et al. 2016)."
    )
    drawn = picture("Rho statistics", caption, lambda: psf_plots.rho(table), size=(5.2, 3.4))
    return [Gallery((drawn,), wide=True)]


def _exposures(ccds: Sequence[CCDRecord]) -> list[tuple[str, str]]:
    """The exposures of the typical and of the worst CCD, each once."""
    found: dict[str, str] = {}
    for kind, ccd in worst_and_typical(ccds):
        found.setdefault(ccd.exposure, kind)
    return [(kind, exposure) for exposure, kind in found.items()]


def whiskers(record: Record, members: Sequence[CCDRecord]) -> Block:
    """Stars, model and residual of one exposure; the first two share their scale."""
    try:
        field = read_field(record, members)
        key = psf_plots.whisker_key(field.star)
    except PurepipeError as error:
        return Text(sentence(error))
    return Gallery(
        (
            _whisker_picture("Stars", "Ellipticity |g| of the stars.", field, "star", key=key),
            _whisker_picture("PSF model", "The model at the same stars.", field, "psf", key=key),
            _whisker_picture(
                "Residual", "Star minus PSF, on a scale of its own.", field, "residual"
            ),
        )
    )


def _whisker_picture(
    title: str, caption: str, field: FieldStars, what: str, **options: Any
) -> Picture:
    return picture(
        title, caption, lambda: psf_plots.whiskers(field, what, **options), size=(3.8, 3.8)
    )


def histograms(stars: FieldStars) -> tuple[Picture, ...]:
    """Distributions of the residuals in ellipticity and size."""
    residual = stars.star - stars.psf
    return (
        picture(
            "Ellipticity residuals", "Star minus PSF, on the axes of the sky.",
            lambda: plots.histogram(
                {"g1": residual[:, 0], "g2": residual[:, 1]}, label="g(star) − g(PSF)",
                what="residual", zero=True,
            ),
        ),
        picture(
            "Size residuals", "T is the sum of the second moments, by adaptive moments.",
            lambda: plots.histogram(
                {"T": stars.dsize}, label="(T(star) − T(PSF)) / T(star)", what="residual",
                zero=True,
            ),
        ),
    )  # fmt: skip


def in_words(stars: FieldStars, kind: str) -> str:
    """Mean and rms of the residuals in a sentence."""
    residual = stars.star - stars.psf
    parts = [
        f"{name} {_mean_rms(values)}"
        for name, values in (
            ("g1", residual[:, 0]), ("g2", residual[:, 1]), ("relative size", stars.dsize),
        )
    ]  # fmt: skip
    text = f"Residuals (star minus PSF) at {len(stars.u):,} {kind}: {'; '.join(parts)}."
    return text.replace("-", "−")


def _mean_rms(values: NDArray[np.float64]) -> str:
    """Mean with its error, and rms about zero."""
    n = len(values)
    error = values.std(ddof=1) / np.sqrt(n) if n > 1 else float("nan")
    rms = np.sqrt((values**2).mean())
    return f"mean {values.mean():+.5f} ± {error:.5f}, rms {rms:.5f}"


def _table(record: Record, ccds: Sequence[CCDRecord]) -> Block:
    """All CCDs, those to look at first on top."""
    head = ("CCD", "verdict", "sources", "stars", "in the fit", "accepted", "χ²/dof",
            "FWHM (pix)", "tested", "mean δg1", "mean δg2", "rms δg",
            "mean δT/T", "rms δT/T")  # fmt: skip
    ranked = sorted(ccds, key=lambda ccd: (ccd.status == "done", -_rank(ccd), ccd.name))
    caption = (
        "Failed CCDs first, then by the largest residual. Tested: stars that the residuals are of,"
        " reserved ones where there are any; ellipticities on the axes of the pixels, their rms per"
        " component."
    )
    if any(ccd_page(record.root, ccd.name).exists() for ccd in ccds):
        caption += " A name leads to the page of the CCD."
    else:
        caption += (
            " `purepipe report RUN --ccd NAME` writes a page about a CCD, to be reached from here."
        )
    rows = [_table_row(record, ccd) for ccd in ranked]
    return grid(caption, head, rows, text_columns=2, sortable=True)


def _rank(ccd: CCDRecord) -> float:
    return ccd.badness if np.isfinite(ccd.badness) else float("inf")


def _table_row(record: Record, ccd: CCDRecord) -> list[Cell]:
    rms = np.hypot(number(ccd.facts.get("rms_de1")), number(ccd.facts.get("rms_de2")))
    facts = ccd.facts | {"rms_de": float(rms / np.sqrt(2))}
    verdict = str(facts.get("verdict", "none")) if ccd.status == "done" else ccd.status
    forms = (
        ("detect out", "{:,.0f}"), ("stars out", "{:,.0f}"), ("psf in", "{:,.0f}"),
        ("psf out", "{:,.0f}"), ("chi2", "{:.2f}"), ("fwhm", "{:.2f}"), ("n", "{:,.0f}"),
        ("mean_de1", "{:+.4f}"), ("mean_de2", "{:+.4f}"), ("rms_de", "{:.4f}"),
        ("mean_dsize", "{:+.4f}"), ("rms_dsize", "{:.4f}"),
    )  # fmt: skip
    cells = [cell(number(facts.get(name)), form) for name, form in forms]
    tone = _TONES.get(verdict, "bad")
    name = Cell(ccd.name, ccd.name, link=link_to(record, ccd_page(record.root, ccd.name)))
    return [name, Cell(verdict, verdict, tone), *cells]
