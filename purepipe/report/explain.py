"""Why one object of a run has the numbers that it has: its epochs, flags and the choices behind."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from purepipe.flags import DocumentedFlag, EpochFlag, MaskFlag, decode
from purepipe.io.atomic import atomic_write
from purepipe.mask.plot import plane_colour
from purepipe.pipeline import Run
from purepipe.pipeline.single import row_and_stamps
from purepipe.report.blocks import (
    Block,
    Cell,
    Gallery,
    Section,
    Text,
    Verbatim,
    cell,
    grid,
    picture,
)
from purepipe.report.decisions import EPOCH_MASKS, FLAG_COLUMNS, Decision, decisions
from purepipe.report.pages import Header, render

if TYPE_CHECKING:
    from astropy.table import Table
    from matplotlib.axes import Axes

    from purepipe.survey import EpochStamps

_NUMBERS = (
    "XWIN_WORLD", "YWIN_WORLD", "MAG_AUTO", "SNR_WIN", "FLUX_RADIUS", "SPREAD_MODEL",
    "SPREADERR_MODEL", "SPREAD_CLASS", "N_EPOCH", "NGMIX_N_EPOCH", "NGMIX_ELL_NOSHEAR",
    "NGMIX_T_NOSHEAR", "NGMIX_SNR_NOSHEAR", "NGMIX_Tpsf_NOSHEAR", "R11", "R22",
)  # fmt: skip
_GAP = 3  # pixels between the panels


@dataclass(frozen=True, eq=False)
class Explanation:
    """One object of a run: its row, its epochs, and both in words.

    Attributes
    ----------
    row
        The row of the final catalogue, measured anew.
    epochs
        The stamps and PSFs that it was measured on.
    decisions
        Each flag, class and cut, with the configuration behind it.
    text
        What a terminal shows.
    run
        Folder of the run.
    """

    row: Table
    epochs: EpochStamps
    decisions: tuple[Decision, ...]
    text: str
    run: Path

    def __str__(self) -> str:
        return self.text

    def html(self) -> str:
        """One self-contained page, with the pictures of every epoch."""
        number = int(self.row["NUMBER"][0])
        flagged = any(self.row[name][0] for name in FLAG_COLUMNS if name in self.row.colnames)
        names = (("run", ""), ("tile", "TILE_ID"), ("right ascension", "XWIN_WORLD"),
                 ("declination", "YWIN_WORLD"), ("magnitude", "MAG_AUTO"))  # fmt: skip
        facts = [
            (words, _plain(np.asarray(self.row[name][0])) if name else str(self.run.resolve()))
            for words, name in names
            if not name or name in self.row.colnames
        ]
        top = Header(
            f"Object {number}", "has flags" if flagged else "no flag",
            "warn" if flagged else "good", tuple(facts),
        )  # fmt: skip
        content = [
            self._epochs_section(), self._decided(), self._words(), self._all_columns()
        ]  # fmt: skip
        return render(top, content)

    def _repr_html_(self) -> str:
        return self.html()

    def _decided(self) -> Section:
        rows = [
            [Cell(item.subject), Cell(item.verdict), Cell("; ".join(item.keys))]
            for item in self.decisions
        ]
        table = grid(
            "Flags, class and cuts, with the keys behind them and their values in this run.",
            ("about", "decided", "configuration"), rows, text_columns=3,
        )  # fmt: skip
        return Section("decisions", "Decisions", (table,))

    def _words(self) -> Section:
        return Section(
            "words", "In words", (Verbatim("What the terminal shows", self.text, unfolded=True),)
        )

    def _epochs_section(self) -> Section:
        blocks: list[Block] = [
            Text(
                "Image, mask planes over it, weight (dark where there is none), PSF, model of the"
                " object, and the image less the model. Image, model and residual share a scale."
            )
        ]
        for i in range(len(self.epochs.row)):
            shown = picture(
                _name(self.epochs, i), _words_of(EpochFlag, int(self.epochs.flags[i])),
                partial(panels, self.epochs, i, self.row), size=(9.0, 1.95),
            )  # fmt: skip
            blocks.append(Gallery((shown,), full=True))
        if len(blocks) == 1:
            blocks = [Text("No exposure saw this object.")]
        return Section("epochs", "Epochs", tuple(blocks))

    def _all_columns(self) -> Section:
        rows = []
        for name in self.row.colnames:
            value = np.asarray(self.row[name][0])
            if value.size <= 4:
                unit = str(self.row[name].unit or "")
                meaning = self.row[name].description or ""
                rows.append([cell(name), cell(_plain(value)), cell(unit), cell(meaning)])
        table = grid(
            "Every column of the catalogue.", ("column", "value", "unit", "meaning"), rows,
            text_columns=1, last_text_columns=2,
        )  # fmt: skip
        return Section("columns", "Columns", (table,))


def explain(run: Run, number: int, *, tile: str | None = None) -> Explanation:
    """Why an object has its numbers: every epoch, every flag in words, and the choices behind.

    Parameters
    ----------
    run
        A finished run, see `open_run`; its input files must still be in their places.
    number
        NUMBER of the object in its tile.
    tile
        Tile number; may be left out when the run has one tile only.

    Raises
    ------
    DataError
        There is no such tile or object.
    """
    row, found = row_and_stamps(run, number, tile=tile)
    decided = tuple(decisions(row, found.stamps.masks, run.config))
    text = _text(row, found.stamps, decided)
    return Explanation(row, found.stamps, decided, text, run.root)


def write_explanation(explanation: Explanation, path: Path) -> None:
    """Write the page of an object.

    Raises
    ------
    StoreError
        The file cannot be written.
    """
    with atomic_write(path) as name:
        Path(name).write_text(explanation.html(), encoding="utf-8")


def _text(row: Table, epochs: EpochStamps, decided: Sequence[Decision]) -> str:
    lines = [f"Object {int(row['NUMBER'][0])}"]
    for name in _NUMBERS:
        if name in row.colnames:
            unit = f" {row[name].unit}" if row[name].unit else ""
            lines.append(f"  {name:20} {_plain(np.asarray(row[name][0]))}{unit}")
    lines.append("Flags")
    for name in FLAG_COLUMNS:
        if name in row.colnames:
            value = int(row[name][0])
            lines.append(f"  {name} = {value}" + ("" if value else ": no flag"))
            lines += _decision_lines([item for item in decided if item.subject == name], 6)
    lines.append("Decisions")
    for item in decided:
        if item.subject not in (*FLAG_COLUMNS, EPOCH_MASKS):
            lines += _wrapped(f"{item.subject}: {item.verdict}", 2)
            lines += _key_lines(item, 6)
    lines.append(f"Epochs: {len(epochs.row)}")
    for i in range(len(epochs.row)):
        lines += _epoch_lines(epochs, i)
    masks = [item for item in decided if item.subject == EPOCH_MASKS]
    return "\n".join([*lines, *(["Masks of the epochs"] if masks else []),
                      *_decision_lines(masks, 2)])  # fmt: skip


def _epoch_lines(epochs: EpochStamps, i: int) -> list[str]:
    sigma = float("nan") if epochs.psf_sigma is None else float(epochs.psf_sigma[i])
    planes = int(np.bitwise_or.reduce(epochs.masks[i].ravel()))
    bad = float(np.mean((epochs.masks[i] != 0) | ~(epochs.weights[i] > 0)))
    lines = [
        f"  {_name(epochs, i):14} x {epochs.x[i]:8.2f}  y {epochs.y[i]:8.2f}"
        f"  PSF sigma {sigma:5.2f} pix  {100 * bad:4.1f} % bad"
    ]
    if epochs.flags[i]:
        lines += _wrapped(f"not used: {', '.join(decode(EpochFlag, int(epochs.flags[i])))}", 6)
    if planes:
        lines += _wrapped(f"masked pixels: {', '.join(decode(MaskFlag, planes))}", 6)
    return lines


def _decision_lines(found: Iterable[Decision], indent: int) -> list[str]:
    lines = []
    for item in found:
        lines += _wrapped(item.verdict, indent)
        lines += _key_lines(item, indent + 4)
    return lines


def _key_lines(item: Decision, indent: int) -> list[str]:
    return [line for key in item.keys for line in _wrapped(key, indent)]


def _wrapped(text: str, indent: int) -> list[str]:
    first, rest = " " * indent, " " * (indent + 4)
    return textwrap.wrap(text, 80, initial_indent=first, subsequent_indent=rest)


def _words_of(family: type[DocumentedFlag], value: int) -> str:
    """The sentences of the bits that are set."""
    said = [bit.meaning for bit in family if value & bit.value]
    return " ".join(said) if said else "no flag" if value == 0 else f"unknown bits {value}"


def _plain(value: NDArray[Any]) -> str:
    if value.dtype.kind == "f":
        return " ".join(f"{v:.9g}" if abs(v) >= 100 else f"{v:.6g}" for v in value.ravel())
    return " ".join(str(item) for item in value.ravel())


def _name(epochs: EpochStamps, i: int) -> str:
    return f"{epochs.exposure[i]}-{int(epochs.ccd[i])}"


def panels(epochs: EpochStamps, i: int, row: Table) -> Callable[[Axes], None]:
    """Paint one epoch side by side: image, mask planes, weight, PSF, model, residual."""
    image = epochs.images[i].astype(np.float64)
    mask, weight = epochs.masks[i], epochs.weights[i].astype(np.float64)
    bad = (mask != 0) | ~(weight > 0) | ~np.isfinite(image)
    psf = np.zeros_like(image) if epochs.psfs is None else epochs.psfs[i].astype(np.float64)
    model = model_image(epochs, i, row)
    # Where all is flagged, as much as there is must do for the scale.
    good = image[~bad] if not bad.all() else image[np.isfinite(image) & (image != 0)]
    noise = 1.4826 * float(np.median(np.abs(good - np.median(good)))) if good.size else 1.0
    high = max(10 * noise, float(np.max(good, initial=0.0)) * 0.7)
    scales = {"PSF": (0.0, 0.7 * psf.max() or 1.0), "weight": (0.0, weight.max(initial=0.0) or 1.0)}
    shown = (
        ("image", image), ("mask", image), ("weight", weight), ("PSF", psf), ("model", model),
        ("residual", np.where(bad, np.nan, image - model)),
    )  # fmt: skip
    n = image.shape[1]

    def paint(axes: Axes) -> None:
        for k, (title, pixels) in enumerate(shown):
            extent = (k * (n + _GAP), k * (n + _GAP) + n, 0, len(image))
            axes.text(extent[0], len(image) + 1.5, title, fontsize=8, va="bottom")
            if not np.nan_to_num(pixels).any():
                place = float(np.mean(extent[:2])), float(np.mean(extent[2:]))
                axes.text(*place, "none", ha="center", va="center", color="#888888")
                continue
            low, top = scales.get(title, (-3 * noise, high))
            axes.imshow(
                pixels, origin="lower", extent=extent, interpolation="nearest",
                cmap="viridis" if title == "weight" else "gray_r", vmin=low, vmax=top,
            )  # fmt: skip
            if title == "mask":
                axes.imshow(veil(mask), origin="lower", extent=extent, interpolation="nearest")
        axes.set(xlim=(0, len(shown) * (n + _GAP) - _GAP), ylim=(0, len(image) + 8))
        axes.set_axis_off()
        _legend(axes, int(np.bitwise_or.reduce(mask.ravel())))

    return paint


def veil(mask: NDArray[np.int32]) -> NDArray[np.float64]:
    """(ny, nx, 4) colours of a mask, half transparent; where planes overlap, the rarest counts."""
    from matplotlib.colors import to_rgba

    colours = np.zeros((*mask.shape, 4))
    planes = [bit.value for bit in MaskFlag if np.any(mask & bit.value)]
    for bit in sorted(planes, key=lambda bit: -np.count_nonzero(mask & bit)):
        colours[(mask & bit) != 0] = to_rgba(plane_colour(bit), 0.65)
    return colours


def _legend(axes: Axes, planes: int) -> None:
    from matplotlib.patches import Patch

    handles = [
        Patch(color=plane_colour(bit.value), alpha=0.65, label=bit.name)
        for bit in MaskFlag
        if planes & bit.value
    ]
    if handles:
        axes.legend(
            handles=handles, loc="upper left", bbox_to_anchor=(0, 0.0), ncols=6, fontsize=7,
            borderaxespad=0,
        )  # fmt: skip


def model_image(epochs: EpochStamps, i: int, row: Table) -> NDArray[np.float64]:
    """The Gaussian of the unsheared fit, convolved with the PSF of one epoch.

    The flux is that which fits the epoch best; zero where there is no fit or no PSF.
    """
    import galsim

    image: NDArray[np.float64] = epochs.images[i].astype(np.float64)
    blank: NDArray[np.float64] = np.zeros(image.shape)
    names = ("NGMIX_ELL_NOSHEAR", "NGMIX_T_TRACE_NOSHEAR")
    if epochs.psfs is None or any(name not in row.colnames for name in names):
        return blank
    g1, g2 = (float(value) for value in row["NGMIX_ELL_NOSHEAR"][0])
    size = float(row["NGMIX_T_TRACE_NOSHEAR"][0])  # twice the variance along an axis
    psf = epochs.psfs[i].astype(np.float64)
    if not (np.isfinite([g1, g2, size]).all() and np.hypot(g1, g2) < 1 and psf.sum() > 0):
        return blank
    local = galsim.JacobianWCS(*epochs.jacobian[i].ravel())
    effective = galsim.InterpolatedImage(galsim.Image(psf, wcs=local), flux=1.0)
    profile = effective
    if size > 0:
        profile = galsim.Convolve(galsim.Gaussian(np.sqrt(size / 2)).shear(g1=g1, g2=g2), effective)
    offset = epochs.x[i] - np.rint(epochs.x[i]), epochs.y[i] - np.rint(epochs.y[i])
    stamp = galsim.Image(*image.shape[::-1], wcs=local, dtype=float)
    drawn = profile.drawImage(stamp, offset=offset, method="no_pixel").array
    good = (epochs.masks[i] == 0) & (epochs.weights[i] > 0) & np.isfinite(image)
    flux = float((image * drawn)[good].sum()) / float((drawn**2)[good].sum() or 1.0)
    return np.asarray(flux * drawn, dtype=np.float64)
