"""Whether the files of a run are what its ledger says, by their content."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from purepipe.io.paths import inside
from purepipe.pipeline.keys import file_identity, fingerprint
from purepipe.pipeline.store import Store, digests, fact, open_store, transaction


@dataclass(frozen=True)
class Verification:
    """What a comparison of all files of a run with its ledger found.

    Attributes
    ----------
    checked
        Number of products and inputs that were read.
    differing
        One line for each file that is missing or of another content.
    """

    checked: int
    differing: tuple[str, ...]


def verify_run(root: Path) -> Verification:
    """Read all products and inputs of the run in a folder, and name those that have changed.

    Products, merged catalogues and the capsule are compared byte by byte through their hashes;
    inputs above 4 MiB by samples.

    Raises
    ------
    StoreError
        The folder holds no run, or its ledger is damaged.
    """
    store = open_store(root, create=False)
    try:
        products = {**digests(store), "merged": _of_all_tiles(store)}
        inputs = store.ledger.execute("SELECT path, digest FROM input ORDER BY path").fetchall()
    finally:
        store.close()
    lines = [
        f"{unit}: {product} {what}"
        for unit, files in products.items()
        for product, digest in files.items()
        if (what := _difference(inside(root, product), digest, whole=True))
    ]
    lines += [
        f"input {path} {what}"
        for path, digest in inputs
        if digest != "missing" and (what := _difference(Path(path), digest, whole=False))
    ]
    return Verification(sum(map(len, products.values())) + len(inputs), tuple(lines))


def _of_all_tiles(store: Store) -> dict[str, str]:
    """File -> hash of its content, of what the last run to its end made of all units."""
    merged, capsule = fact(store, "merged"), fact(store, "capsule")
    found = dict(merged[4]) if merged is not None and len(merged) > 4 else {}
    return found if capsule is None else {**found, "capsule.json": capsule}


def verification_lines(found: Verification) -> list[str]:
    """What `verify_run` found, in words."""
    if not found.differing:
        return [f"all {found.checked} files are as the ledger says"]
    return [
        f"{len(found.differing)} of {found.checked} files are not as the ledger says:",
        *(f"  {line}" for line in found.differing),
        "Run the same command again: it makes changed products anew, and what comes from changed"
        " inputs. An input whose size and time of change were kept must be touched for that.",
    ]


def _difference(path: Path, digest: str, *, whole: bool) -> str:
    if not path.is_file():
        return "is missing"
    return "" if fingerprint(path, whole=whole) == digest else "has another content"


def input_digests(store: Store, paths: Iterable[Path]) -> dict[str, str]:
    """Input file -> hash of its content; those of unchanged files come from the ledger."""
    known = {row[0]: row[1:] for row in store.ledger.execute("SELECT * FROM input")}
    found, fresh = {}, []
    for path in paths:
        name, identity = str(path), json.dumps(file_identity(path))
        if known.get(name, ("",))[0] != identity:
            known[name] = (identity, fingerprint(path) if path.is_file() else "missing")
            fresh.append((name, *known[name]))
        found[name] = known[name][1]
    if fresh:
        with transaction(store) as ledger:
            ledger.executemany("INSERT OR REPLACE INTO input VALUES (?,?,?)", fresh)
    return found
