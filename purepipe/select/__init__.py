"""Selection of objects, stars above all."""

from purepipe.select.stars import StarSelection, find_stars

__all__ = ["StarSelection", "find_stars"]
