"""Every comparison with a rival that is installed, as one table: README's is made by this.

    python benchmarks/run_all.py --quick            # small cases, some minutes
    python benchmarks/run_all.py                    # the full cases, hours
    python benchmarks/run_all.py --only psf mask    # these anew; the others as they were
    python benchmarks/run_all.py --only chain --arguments '--seeds 40 --side 0' --timeout 40000
    python benchmarks/run_all.py --table --write-readme     # no run: the table of what was measured

Nothing is installed: a benchmark whose rival is missing is skipped, and the table says so. Each
runs in a process of its own, on one thread unless its row says otherwise. Seconds are those of
the CPU: medians of runs that took turns with the rival's, which other work on the machine disturbs
alike. Written are PREFIX.json and PREFIX.md (``--out``).
"""

from __future__ import annotations

import argparse
import importlib.metadata
import importlib.util
import json
import os
import platform
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rows import Row, cells, program_version, read_rows

HERE = Path(__file__).parent
README = HERE.parent / "README.md"
BEGIN, END = "<!-- benchmarks: begin -->", "<!-- benchmarks: end -->"
HEAD = ("step", "compared with", "agreement", "times faster", "purepipe", "threads", "remake it")
PROGRAMS = ("source-extractor", "psfex", "weightwatcher")
PACKAGES = ("numpy", "scipy", "numba", "astropy", "galsim", "ngmix", "treecorr")


@dataclass(frozen=True)
class Benchmark:
    """A script, its arguments for the full and the quick case, and what it cannot run without.

    Those of the quick case are None where there is no case that is both quick and worth telling.
    """

    script: str
    full: str = ""
    quick: str | None = ""
    programs: tuple[str, ...] = ()
    modules: tuple[str, ...] = ()


BENCHMARKS: dict[str, Benchmark] = {
    "detection": Benchmark(
        "bench_detect.py", "--part processes --part step --large --repeats 5",
        "--part processes --case ccd --repeats 1", ("source-extractor",),
    ),
    "detection cost": Benchmark("bench_detect.py", "--part growth --part compile", None),
    "mask": Benchmark("bench_mask.py", "", "--polygons 120 --repeat 1", ("weightwatcher",)),
    "psf agreement": Benchmark("bench_psf_agreement.py", "", "--only 'degree 1'", ("psfex",)),
    "psf": Benchmark(
        "bench_psf.py", "--stars 50 225 --repeat 3", "--stars 50 --repeat 1", ("psfex",)
    ),
    "psf truth": Benchmark(
        "bench_psf_truth.py", "--stars 100 --degrees 2",
        "--stars 100 --degrees 2 --seeing 0.7 --ccds 1",
    ),
    "moments": Benchmark("bench_moments.py", "", "-n 200", modules=("galsim",)),
    "spread": Benchmark("bench_spread.py", "", "-n 200", modules=("galsim",)),
    "select": Benchmark(
        "bench_select.py", "", "--seeing 0.7 --stars 6 --galaxies 20", ("source-extractor",)
    ),
    "shapes": Benchmark(
        "bench_shapes.py", "--rows --objects 2000 --repeat 5", "--rows --objects 50 --repeat 1",
        modules=("galsim",),
    ),
    "shear": Benchmark(
        "bench_shapes.py",
        "--calibration standard --shear-grid --galaxies 1000 --pairs 120000",
        "--calibration standard --shear-grid --galaxies 100 --pairs 1000",
        modules=("galsim",),
    ),
    "blended": Benchmark("bench_blended.py", "--pairs 11000 --stamps", "--pairs 200 --stamps"),
    "epochs": Benchmark(
        "bench_epochs.py", "", "--objects 1000 --side 2500 --exposures 2"
    ),
    "demo": Benchmark("bench_demo.py", "--identical --workers 2", None, modules=("galsim",)),
    "chain": Benchmark(
        "bench_chain.py", "--seeds 40 --side 0 --workers 1", None, modules=("galsim",)
    ),
}  # fmt: skip


def missing(benchmark: Benchmark) -> str:
    """What a benchmark lacks here; empty if nothing."""
    lacking = [name for name in benchmark.programs if shutil.which(name) is None]
    lacking += [name for name in benchmark.modules if importlib.util.find_spec(name) is None]
    return ", ".join(lacking)


def machine() -> dict[str, str]:
    """The machine and what runs on it."""
    cpu = Path("/proc/cpuinfo")
    lines = cpu.read_text().splitlines() if cpu.exists() else []
    models = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    load = f"{os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else "unknown"
    return {
        "processor": models[0] if models else platform.processor() or platform.machine(),
        "cores": str(os.cpu_count()),
        "system": platform.system() + " " + platform.machine(),
        "load": load,
    }


def versions() -> dict[str, str]:
    """Versions of purepipe, Python, packages and rivals; those that are not here are left out."""
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"],
        cwd=HERE, capture_output=True, text=True, check=False,
    ).stdout.strip()  # fmt: skip
    found = {"purepipe": importlib.metadata.version("purepipe"), "commit": commit}
    found["python"] = platform.python_version()
    for name in PACKAGES:
        if importlib.util.find_spec(name) is not None:
            found[name] = importlib.metadata.version(name)
    return {k: v for k, v in found.items() if v} | {
        name: version for name in PROGRAMS if (version := program_version(name))
    }


def measure(
    benchmark: Benchmark, *, quick: bool, timeout: float, own: str | None = None
) -> dict[str, Any]:
    """Run one benchmark; its rows and circumstances, or why there are none.

    `own` arguments take the place of those for the full or the quick case.
    """
    arguments = benchmark.quick if quick else benchmark.full
    arguments = arguments if own is None else own
    record: dict[str, Any] = {
        "command": f"python benchmarks/{benchmark.script} {arguments or ''}".strip(),
        "date": time.strftime("%Y-%m-%d"), "quick": quick, "machine": machine(), "rows": [],
    }  # fmt: skip
    if arguments is None:
        return record | {"skipped": "not quick"}
    if lacking := missing(benchmark):
        return record | {"skipped": f"{lacking} not installed"}
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.json"
        command = [sys.executable, str(HERE / benchmark.script), *shlex.split(arguments)]
        try:
            subprocess.run(
                [*command, "--json", str(path)],
                check=True, timeout=timeout, env=os.environ | threads, stdout=sys.stderr,
            )  # fmt: skip
            rows = read_rows(path)
        except (subprocess.SubprocessError, OSError) as error:
            return record | {"failed": str(error).replace(folder, "")}
    seconds = round(time.perf_counter() - start, 1)
    return record | {"versions": versions(), "wall": seconds, "rows": [asdict(r) for r in rows]}


def table(records: Mapping[str, Mapping[str, Any]]) -> str:
    """The markdown table of all rows, and what is said below it."""
    lines = ["| " + " | ".join(HEAD) + " |", "|" + "---|" * len(HEAD)]
    for name, record in records.items():
        script = BENCHMARKS[name].script
        mark = f"`{script}{own_arguments(name, record)}`" + (", quick" if record["quick"] else "")
        lines += ["| " + " | ".join((*cells(Row(**r)), mark)) + " |" for r in record["rows"]]
    return "\n".join(lines) + "\n\n" + circumstances(records) + "\n"


def own_arguments(name: str, record: Mapping[str, Any]) -> str:
    """The arguments of a record that are not those of its benchmark, after a space."""
    benchmark = BENCHMARKS[name]
    _, _, arguments = record["command"].partition(benchmark.script)
    usual = benchmark.quick if record["quick"] else benchmark.full
    return "" if arguments.strip() == usual else arguments


def circumstances(records: Mapping[str, Mapping[str, Any]]) -> str:
    """Machines, dates and versions of some records, and what was left out."""
    measured = [record for record in records.values() if record["rows"]]
    words = []
    if measured:
        machines = sorted({f"{r['machine']['cores']} cores of {r['machine']['processor']}"
                           for r in measured})  # fmt: skip
        dates = sorted({record["date"] for record in measured})
        period = " to ".join(dict.fromkeys((dates[0], dates[-1])))
        loads = [float(r["machine"]["load"]) for r in measured if r["machine"]["load"][0].isdigit()]
        range_ = " to ".join(dict.fromkeys(f"{f(loads):.0f}" for f in (min, max))) if loads else ""
        words.append(
            f"Measured on {' and '.join(machines)}, {period}"
            + (f", while {range_} processes wanted them." if range_ else ".")
        )
        newest = {k: v for r in measured for k, v in r["versions"].items() if k != "commit"}
        words.append("Versions: " + ", ".join(f"{k} {v}" for k, v in newest.items()) + ".")
    for kind in ("skipped", "failed"):
        left = [f"{name} ({r[kind]})" for name, r in records.items() if kind in r]
        words += [f"{kind.capitalize()}: {'; '.join(left)}."] if left else []
    left = [name for name in BENCHMARKS if name not in records]
    words += [f"Not run: {', '.join(left)}."] if left else []
    return "\n".join(words)


def write_readme(text: str) -> None:
    """Put the table between the marks in the README."""
    readme = README.read_text()
    if readme.count(BEGIN) != 1 or readme.count(END) != 1:
        raise SystemExit(f"{README}: put the lines {BEGIN} and {END} where the table belongs")
    before, rest = readme.split(BEGIN)
    README.write_text(before + BEGIN + "\n" + text + END + rest.split(END)[1])


def parse() -> argparse.Namespace:
    """The arguments."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="small cases, some minutes in all")
    parser.add_argument("--only", nargs="+", choices=BENCHMARKS, metavar="NAME",
                        help=f"the others stay as they were; {', '.join(BENCHMARKS)}")  # fmt: skip
    parser.add_argument(
        "--arguments",
        metavar="TEXT",
        help="of the one benchmark that --only names, instead of the usual ones",
    )
    parser.add_argument("--table", action="store_true", help="run nothing, write the tables again")
    parser.add_argument("--out", type=Path, metavar="PREFIX",
                        help="default: benchmarks/results, or results-quick")  # fmt: skip
    parser.add_argument("--timeout", type=float, default=7200, help="of one benchmark, s")
    parser.add_argument("--write-readme", action="store_true", help="put the table into README.md")
    options = parser.parse_args()
    if options.arguments is not None and len(options.only or ()) != 1:
        parser.error("--arguments needs --only with one name")
    return options


def main() -> None:
    """Run, and write the tables after every benchmark."""
    options = parse()
    prefix = options.out or HERE / ("results-quick" if options.quick else "results")
    data, page = prefix.with_suffix(".json"), prefix.with_suffix(".md")
    keep = data.exists() and (options.only is not None or options.table)
    records = json.loads(data.read_text()) if keep else {}
    for name in () if options.table else options.only or BENCHMARKS:
        print(f"--- {name}", file=sys.stderr, flush=True)
        records[name] = measure(
            BENCHMARKS[name], quick=options.quick, timeout=options.timeout, own=options.arguments
        )
        records = {name: records[name] for name in BENCHMARKS if name in records}
        data.write_text(json.dumps(records, indent=1) + "\n")
    text = table({name: records[name] for name in BENCHMARKS if name in records})
    page.write_text(text)
    print(text)
    if options.write_readme:
        write_readme(text)
    raise SystemExit(1 if any("failed" in record for record in records.values()) else 0)


if __name__ == "__main__":
    main()
