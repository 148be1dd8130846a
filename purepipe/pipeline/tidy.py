"""What no run needs any more leaves the store: units, their products, and inputs."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from purepipe.io.paths import inside
from purepipe.pipeline.keys import content_hash
from purepipe.pipeline.locks import at_work
from purepipe.pipeline.store import (
    Store,
    ended_now,
    fact,
    outcome_of,
    set_fact,
    strike_out,
    transaction,
)


def announce(store: Store, units: Iterable[str]) -> None:
    """Let the shards beside this one know what it has planned."""
    set_fact(store, f"plan {store.owner}", _plan(store, units))


def agree(store: Store, units: Iterable[str]) -> bool:
    """Whether all shards at work have planned the same units.

    One that cannot read what another reads would take the units of that for units of an earlier
    configuration.
    """
    owners = {line.partition(":")[0] for line in at_work(store.root)}
    plan = _plan(store, units)
    return all(fact(store, f"plan {owner}") == plan for owner in owners)


def _plan(store: Store, units: Iterable[str]) -> list[object]:
    return [store.campaign, content_hash(sorted(units))]


def forget_others(store: Store, names: Iterable[str]) -> None:
    """Drop units that the present plan does not hold, with their products."""
    kept = set(names)
    known = [row[0] for row in store.ledger.execute("SELECT name FROM unit")]
    gone = [name for name in known if name not in kept]
    for name in gone:
        outcome = outcome_of(store, name)
        for product in outcome.products if outcome else ():
            inside(store.root, product).unlink(missing_ok=True)
    if gone:
        with transaction(store) as ledger:
            strike_out(ledger, gone)


def forget_inputs(store: Store, kept: Iterable[Path]) -> None:
    """Drop the inputs that no unit of the present plan reads."""
    names = {str(path) for path in kept}
    known = [row[0] for row in store.ledger.execute("SELECT path FROM input")]
    gone = [(name,) for name in known if name not in names]
    if gone:
        with transaction(store) as ledger:
            ledger.executemany("DELETE FROM input WHERE path = ?", gone)


def ended_by_others(store: Store, names: Iterable[str]) -> set[str]:
    """Units of the present run that are not among `names`: shards that died had planned them."""
    return ended_now(store) - set(names)
