"""Selection of objects, stars above all."""
