"""Work side by side, on parts of an array or on items; nothing here needs compiled code."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor

import numpy as np


def in_threads(work: Callable[[int, int], None], size: int, threads: int) -> None:
    """Call ``work(first, last)`` on consecutive parts of ``range(size)``, in several threads."""
    if threads <= 1 or size < 2:
        work(0, size)
        return
    # More parts than threads, so that a crowded corner does not keep one thread waiting.
    edges = np.linspace(0, size, min(size, 8 * threads) + 1).astype(int)
    parts: Iterable[tuple[int, int]] = zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True)
    with ThreadPoolExecutor(threads) as pool:
        for future in [pool.submit(work, first, last) for first, last in parts]:
            future.result()


def each_in_threads(work: Callable[[int], None], items: Iterable[int], threads: int) -> None:
    """Call ``work(item)`` for each item, in several threads."""
    if threads <= 1:
        for item in items:
            work(item)
        return
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(work, items))
