"""What a recipe makes of a catalogue: masks, splits, statistics, new catalogues and plots.

Nothing is written here: products are rows, numbers, text and image bytes, under the names that
SETools gives to its files.
"""

from __future__ import annotations

import io
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from purepipe.errors import ConfigError
from purepipe.rng import generator
from purepipe.select.evaluate import Scope, rows_where, table_scope, unknown_mask, value_of
from purepipe.select.language import Place
from purepipe.select.recipe import (
    CatalogueRecipe,
    MaskRecipe,
    PlotRecipe,
    Recipe,
    SplitRecipe,
    StatRecipe,
    Text,
)

if TYPE_CHECKING:
    from astropy.table import Table
    from numpy.typing import NDArray

    Bools = NDArray[np.bool_]
    Rows = NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class Mask:
    """Rows of a mask, and how many each condition leaves.

    Attributes
    ----------
    name, save
        Name, and whether the mask is to be written.
    rows
        Boolean, one per row of the table.
    counts
        (condition, rows that meet it alone, rows left after it), the inherited masks first.
    """

    name: str
    save: bool
    rows: Bools
    counts: tuple[tuple[str, int, int], ...]

    def report(self) -> str:
        """One line per condition."""
        lines = [f"{self.name}: {np.count_nonzero(self.rows)} of {len(self.rows)} rows"]
        lines += [f"  {text}: {alone} alone, {left} left" for text, alone, left in self.counts]
        return "\n".join(lines)


@dataclass(frozen=True, eq=False)
class Split:
    """A random split: row numbers of the drawn part in drawing order, and of the rest.

    `names` are the file stems of the two parts; `empty` says that nothing is to be written.
    """

    name: str
    names: tuple[str, str]
    drawn: Rows
    rest: Rows

    @property
    def empty(self) -> bool:
        """One of the parts has no row."""
        return len(self.drawn) == 0 or len(self.rest) == 0


@dataclass(frozen=True, eq=False)
class NewCatalogue:
    """New columns, and their text when the format is a text format."""

    name: str
    format: str
    columns: Mapping[str, NDArray[Any]]
    text: str | None


@dataclass(frozen=True)
class Statistics:
    """Labelled numbers."""

    name: str
    values: tuple[tuple[str, Any], ...]

    @property
    def text(self) -> str:
        """The file that SETools writes."""
        lines = ["# Statistics", *(f"{label} = {value!s}" for label, value in self.values)]
        return "\n".join(lines) + "\n"


@dataclass(frozen=True, eq=False)
class Plot:
    """A drawn figure."""

    name: str
    format: str
    content: bytes


@dataclass(frozen=True, eq=False)
class Products:
    """All products of a recipe, in the order of its sections; `notes` says what is empty."""

    masks: Mapping[str, Mask]
    splits: tuple[Split, ...]
    statistics: tuple[Statistics, ...]
    catalogues: tuple[NewCatalogue, ...]
    plots: tuple[Plot, ...]
    notes: tuple[str, ...]


def apply_recipe(
    recipe: Recipe, table: Table, *, seed: int = 0, unit: str = "", plots: bool = True
) -> Products:
    """Everything that a recipe makes of one catalogue.

    Parameters
    ----------
    recipe
        From `parse_recipe`.
    table
        Catalogue of the unit.
    seed, unit
        Survey seed and name of the unit; they and the section's name fix a random split.
    plots
        Whether to draw the plots, which takes longer than all the rest.

    Raises
    ------
    ConfigError
        An unknown column or mask, or values that do not fit together, with the place.
    """
    masks: dict[str, Mask] = {}
    rows: dict[str, Bools] = {}
    for item in recipe.masks:
        masks[item.name] = evaluate_mask(item, table, rows)
        rows[item.name] = masks[item.name].rows
    scope = table_scope(table, rows)
    splits = tuple(draw_split(item, scope, seed=seed, unit=unit) for item in recipe.splits)
    notes = [f"empty mask {mask.report()}" for mask in masks.values() if not mask.rows.any()]
    notes += [
        f"split {item.name} not made: {len(item.drawn)} rows drawn, {len(item.rest)} left"
        for item in splits
        if item.empty
    ]
    return Products(
        masks=masks,
        splits=splits,
        statistics=tuple(compute_statistics(item, scope) for item in recipe.stats),
        catalogues=tuple(make_catalogue(item, scope) for item in recipe.catalogues),
        plots=tuple(draw_plot(item, scope) for item in recipe.plots) if plots else (),
        notes=tuple(notes),
    )


def evaluate_mask(recipe: MaskRecipe, table: Table, masks: Mapping[str, Bools]) -> Mask:
    """The rows of one mask; `masks` are those defined before it."""
    n = len(table)
    start = np.ones(n, dtype=np.bool_)
    counts = []
    for name, place in recipe.inherits:
        inherited = _named(masks, name, place)
        start &= inherited
        counts.append((f"{{{name}}}", int(inherited.sum()), int(start.sum())))
    scope = table_scope(table, masks, start if recipe.inherits else None)
    rows = start.copy()
    for text, condition in recipe.conditions:
        met = np.zeros(n, dtype=np.bool_)
        met[start] = rows_where(condition, scope)
        rows &= met
        counts.append((text, int(met.sum()), int(rows.sum())))
    return Mask(recipe.name, recipe.save, rows, tuple(counts))


def draw_split(recipe: SplitRecipe, scope: Scope, *, seed: int, unit: str) -> Split:
    """A random split of the rows that are in all masks of the recipe."""
    kept = np.ones(scope.size, dtype=np.bool_)
    for name, place in recipe.masks:
        kept &= _named(scope.masks, name, place)
    rows = np.flatnonzero(kept)
    # ceil(N r), were it not for the last bit of N r
    n_drawn = math.ceil(len(rows) * recipe.ratio - 1e-9)
    shuffled = generator(seed, "random split", recipe.name, unit).permutation(rows)
    percent = round(100 * recipe.ratio)
    stems = (f"{recipe.name}_ratio_{percent}", f"{recipe.name}_ratio_{100 - percent}")
    return Split(recipe.name, stems, shuffled[:n_drawn], np.sort(shuffled[n_drawn:]))


def compute_statistics(recipe: StatRecipe, scope: Scope) -> Statistics:
    """The labelled numbers of a section."""
    return Statistics(
        recipe.name, tuple((label, value_of(node, scope)) for label, node in recipe.lines)
    )


def make_catalogue(recipe: CatalogueRecipe, scope: Scope) -> NewCatalogue:
    """The new columns of a section; a number becomes a column of one row."""
    columns = {name: np.atleast_1d(value_of(node, scope)) for name, node in recipe.columns}
    if recipe.format in ("txt", "ascii"):
        return NewCatalogue(recipe.name, recipe.format, columns, _catalogue_text(columns))
    lengths = {len(values) for values in columns.values()}
    if len(lengths) > 1:
        raise ConfigError(
            "the columns of a FITS catalogue must have the same number of rows",
            key=f"NEW_CAT:{recipe.name}", got=" and ".join(map(str, sorted(lengths))),
            remedy="Take the columns from one mask, or choose OUTPUT_FORMAT = txt.",
        )  # fmt: skip
    return NewCatalogue(recipe.name, recipe.format, columns, None)


def _catalogue_text(columns: Mapping[str, NDArray[Any]]) -> str:
    lines = ["# HEADER", "# " + "\t".join(columns)]
    for row in range(max((len(values) for values in columns.values()), default=0)):
        cells = (str(values[row]) if row < len(values) else "" for values in columns.values())
        lines.append("\t".join(cells))
    return "\n".join(lines) + "\n"


def _named(masks: Mapping[str, Bools], name: str, place: Place) -> Bools:
    if name not in masks:
        raise unknown_mask(name, masks, place)
    return masks[name]


def fill_text(text: Text, scope: Scope) -> str:
    """A text with the values of its expressions."""
    return "".join(
        part if isinstance(part, str) else str(value_of(part, scope)) for part in text.parts
    )


def draw_plot(recipe: PlotRecipe, scope: Scope) -> Plot:
    """The figure of a section, as the bytes of an image file.

    Raises
    ------
    ConfigError
        A value that matplotlib does not take, or X and Y of different lengths.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure()
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    draw = {"plot": _draw_curve, "scatter": _draw_scatter, "hist": _draw_histogram}[recipe.type]
    content = io.BytesIO()
    format_ = _option(recipe, "FORMAT", "0", "png").lower()
    try:
        for index in recipe.curves:
            draw(axes, recipe, scope, index)
        _decorate(axes, recipe, scope)
        figure.savefig(content, format=format_)
    except (ValueError, TypeError) as error:
        raise ConfigError(
            "the plot cannot be drawn", file=recipe.place.file,
            key=f"{recipe.place}, [PLOT:{recipe.name}]", got=error,
        ) from error  # fmt: skip
    return Plot(recipe.name, format_, content.getvalue())


def _draw_curve(axes: Any, recipe: PlotRecipe, scope: Scope, index: str) -> None:
    x, y = _values(recipe, "X", index, scope), _values(recipe, "Y", index, scope)
    axes.plot(
        x, y, marker=_option(recipe, "MARKER", index, "+"),
        markersize=float(_option(recipe, "MARKERSIZE", index, "1")),
        linestyle=_option(recipe, "LINE", index, "None"), **_style(recipe, scope, index),
    )  # fmt: skip


def _draw_scatter(axes: Any, recipe: PlotRecipe, scope: Scope, index: str) -> None:
    x, y = _values(recipe, "X", index, scope), _values(recipe, "Y", index, scope)
    style = _style(recipe, scope, index)
    style.pop("color", None)
    points = axes.scatter(
        x, y, c=_values(recipe, "SCATTER", index, scope),
        marker=_option(recipe, "MARKER", index, "+"), **style,
    )  # fmt: skip
    axes.figure.colorbar(points, ax=axes)


def _draw_histogram(axes: Any, recipe: PlotRecipe, scope: Scope, index: str) -> None:
    y = _values(recipe, "Y", index, scope)
    axes.hist(
        y[np.isfinite(y)], bins=int(_option(recipe, "BIN", index, "50")),
        histtype=_option(recipe, "HTYPE", index, "bar"),
        log=_option(recipe, "LOG", index, "False") in ("True", "true", "1"),
        **_style(recipe, scope, index),
    )  # fmt: skip


def _style(recipe: PlotRecipe, scope: Scope, index: str) -> dict[str, Any]:
    style: dict[str, Any] = {}
    if (color := _option(recipe, "COLOR", index, "")) != "":
        style["color"] = color
    if (alpha := _option(recipe, "ALPHA", index, "")) != "":
        style["alpha"] = float(alpha)
    if ("LABEL", index) in recipe.texts:
        style["label"] = fill_text(recipe.texts["LABEL", index], scope)
    return style


def _decorate(axes: Any, recipe: PlotRecipe, scope: Scope) -> None:
    for key, setter in (("XLABEL", axes.set_xlabel), ("YLABEL", axes.set_ylabel)):
        setter(_option(recipe, key, "0", ""))
    for key, setter in (("XLIM", axes.set_xlim), ("YLIM", axes.set_ylim)):
        if limits := _option(recipe, key, "0", ""):
            low, high = (float(word) for word in limits.split(","))
            setter(low, high)
    if ("TITLE", "0") in recipe.texts:
        axes.set_title(fill_text(recipe.texts["TITLE", "0"], scope))
    if axes.get_legend_handles_labels()[1]:
        axes.legend()


def _values(recipe: PlotRecipe, key: str, index: str, scope: Scope) -> NDArray[Any]:
    """The values of one curve; one X or SCATTER serves all curves."""
    found = {i: node for (k, i), node in recipe.expressions.items() if k == key}
    if index not in found and len(found) != 1:
        raise ConfigError(f"a curve lacks its {key}", file=recipe.place.file,
                          key=f"{recipe.place}, [PLOT:{recipe.name}]", got=f"Y_{index}",
                          allowed=", ".join(f"{key}_{i}" for i in found))  # fmt: skip
    node = found.get(index, next(iter(found.values())))
    return np.atleast_1d(value_of(node, scope))


def _option(recipe: PlotRecipe, key: str, index: str, default: str) -> str:
    """The option of one curve; one without index, or the only one, serves all curves."""
    if (key, index) in recipe.options:
        return recipe.options[key, index]
    found = [value for (k, _), value in recipe.options.items() if k == key]
    if (key, "0") in recipe.options:
        return recipe.options[key, "0"]
    return found[0] if len(found) == 1 else default
