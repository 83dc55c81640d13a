"""Run ONNX's conformance suite and write docs/conformance.md: ``python -m tests.conformance``.

Interrupted, the same command goes on with the cases that are not in ``--out`` yet.
"""

from __future__ import annotations

import argparse
import csv
import re
from collections.abc import Iterable
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, TypeVar

from hetsim.io.platform_file import load_platform
from tests.conformance.edges import EdgeOutcome, check_edges
from tests.conformance.page import page_of
from tests.conformance.suite import Outcome, Suite

_Row = TypeVar("_Row", Outcome, EdgeOutcome)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.conformance", description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("out/conformance/cases.csv"), help="a row for each case")
    parser.add_argument(
        "--edges", type=Path, help="a row for each operator and device (default: edges.csv beside --out)"
    )
    parser.add_argument("--docs", type=Path, default=Path("docs/conformance.md"), help="where the table goes")
    parser.add_argument("--platform", default="cpu+npu", help="built-in platform or TOML file")
    parser.add_argument("--cases", default="", help="a regular expression: run those cases alone, write no page")
    parser.add_argument("--seed", type=int, default=0, help="of all placements and values")
    options = parser.parse_args()
    suite, platform = Suite(), load_platform(options.platform)
    chosen = [case for case in suite.cases if re.search(options.cases, _short(case)[1])]
    known = {(row.group, row.case) for row in _read(options.out, Outcome)}
    left = [case for case in chosen if _short(case) not in known]
    outcomes = _write(options.out, Outcome, suite.run(left, platform, seed=options.seed), len(chosen))
    edge_file = options.edges or options.out.with_name("edges.csv")
    tried = {row.case for row in _read(edge_file, EdgeOutcome)}
    left = [case for case in chosen if _short(case)[1] not in tried]
    edges = check_edges(suite.single_operators(left), platform, seed=options.seed)
    edge_outcomes = _write(edge_file, EdgeOutcome, edges, len(chosen))
    if not options.cases:
        text = page_of(outcomes, edge_outcomes, options.platform, options.seed)
        options.docs.write_text(text)
        print(text)
    raise SystemExit(any(row.status in ("failed", "wrong") for row in (*outcomes, *edge_outcomes)))


def _short(case: tuple[str, str]) -> tuple[str, str]:
    return case[0].removesuffix("Model"), case[1].removesuffix("_cpu")


def _write(path: Path, kind: type[_Row], rows: Iterable[_Row], num_cases: int) -> list[_Row]:
    """All rows of a file, those added as they come; what is wrong is printed."""
    known = _read(path, kind)
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "a", newline="") as file:
        writer = csv.DictWriter(file, [field.name for field in fields(kind)])
        if not known:
            writer.writeheader()
        for row in rows:
            known.append(row)
            writer.writerow(asdict(row))
            file.flush()
            if row.status in ("failed", "wrong"):
                print(f"{row.status.upper()} {row.case}: {row.reason}", flush=True)
            if len(known) % 100 == 0:
                print(f"{len(known)} rows of {path.name}, {num_cases} cases", flush=True)
    return known


def _read(path: Path, kind: type[_Row]) -> list[_Row]:
    if not path.exists():
        return []
    parse: dict[str, Any] = {"bool": lambda text: text == "True", "int": int, "str": str}
    with open(path, newline="") as file:
        return [
            kind(**{field.name: parse[str(field.type)](row[field.name]) for field in fields(kind)})
            for row in csv.DictReader(file)
        ]


if __name__ == "__main__":
    main()
