"""Random polygons of every kind that has its own way of going wrong."""

import numpy as np

KINDS = (
    "convex",
    "concave",
    "crossing",
    "tiny",
    "outside",
    "integer",
    "half",
    "circle",
    "many",
)


def random_polygon(kind, rng, shape):
    """1-based vertices of one polygon."""
    ny, nx = shape
    centre = np.array([rng.uniform(1, nx), rng.uniform(1, ny)])
    n = int(rng.integers(3, 13))
    angle = np.sort(rng.uniform(0, 2 * np.pi, n))
    radius = rng.uniform(5, 40)
    if kind == "circle":
        angle, n = np.linspace(0, 2 * np.pi, 65)[:-1], 64
    elif kind == "crossing":
        angle = rng.uniform(0, 2 * np.pi, n)
    elif kind == "tiny":
        radius = rng.uniform(0.3, 1.5)
    elif kind == "many":
        # As many as WeightWatcher reads, at most 3 digits each: it cuts lines at 4095 characters.
        n = 500
        angle, radius = rng.uniform(0, 2 * np.pi, n), rng.uniform(20, 80)
    elif kind == "outside":
        centre = np.array([rng.uniform(-60, nx + 60), rng.choice([-20.0, ny + 20.0])])
        radius = rng.uniform(20, 120)
    r = radius * (
        rng.uniform(0.2, 1, n) if kind in ("concave", "crossing", "outside", "many") else 1.0
    )
    vertices = centre + np.stack([r * np.cos(angle), r * np.sin(angle)], axis=1)
    if kind in ("integer", "many"):
        vertices = np.round(vertices)
    elif kind == "half":
        vertices = np.floor(vertices) + 0.5
    return vertices
