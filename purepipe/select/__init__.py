"""Selection of objects: the stellar locus, and the language of SETools' recipes."""

from purepipe.select.evaluate import select
from purepipe.select.mode import half_sample_mode, mode
from purepipe.select.products import Products, apply_recipe
from purepipe.select.recipe import Recipe, parse_recipe
from purepipe.select.stars import StarSelection, find_stars

__all__ = [
    "Products",
    "Recipe",
    "StarSelection",
    "apply_recipe",
    "find_stars",
    "half_sample_mode",
    "mode",
    "parse_recipe",
    "select",
]
