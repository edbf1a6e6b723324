#!/usr/bin/env python3
"""criterion_table.py FOLDER BENCH: a table of what criterion measured last, fastest estimates of the median.

Rates are per CPU second of one thread; the share is that of the parser at the top of the group.
"""
import json
import pathlib
import sys

GROUPS = {
    "fold": ("fold", "fold datapoints"),
    "decode_fold": ("decode and fold",),
    "decode": ("decode",),
}


def rows(folder, group):
    for file in sorted(folder.glob("**/new/benchmark.json")):
        bench = json.loads(file.read_text())
        if bench["group_id"] != group:
            continue
        estimates = json.loads((file.parent / "estimates.json").read_text())
        nanos, error = estimates["median"]["point_estimate"], estimates["median"]["standard_error"]
        throughput = bench["throughput"]
        if "ElementsAndBytes" in throughput:
            elements = throughput["ElementsAndBytes"]["elements"]
        else:
            elements = throughput["Elements"]
        name = " / ".join(part for part in (bench["function_id"], bench["value_str"]) if part)
        yield name, elements / nanos * 1e9, error / nanos


def main(folder, bench):
    for group in GROUPS[bench]:
        found = list(rows(pathlib.Path(folder), group))
        best = max((rate for name, rate, _ in found if "sonic-rs to tree" in name), default=None)
        share = " of sonic-rs to tree |" if best else ""
        print(f"| {group} | M/s | +- |{share}\n|---|---|---|{'---|' if best else ''}")
        for name, rate, error in found:
            share = f" {rate / best:.2f} |" if best else ""
            print(f"| {name} | {rate / 1e6:.3f} | {100 * error:.1f} % |{share}")
        print()


if __name__ == "__main__":
    main(*sys.argv[1:])
