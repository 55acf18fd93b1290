#!/usr/bin/env python3
"""What the shader compilers of real GPU drivers make of vkmoe's kernels, against what they made of them before.

    PEERS=FOLDER tests/peers/shader_statistics.py check [DEVICE...]   compares with shader_statistics.txt
    PEERS=FOLDER tests/peers/shader_statistics.py write [DEVICE...]   puts these devices' figures into it

No GPU is needed: FOLDER has gpu-compilers.sh, which loads the drivers over kernel drivers that do nothing (its own
`setup`, and `setup intel` for Intel's, must have run). DEVICE is one of its families, such as amd:navi31 or intel:bmg.
Without any, check takes those of the file, and write all of DEVICES.

A line of the file stands for all pipelines of one operation and path that `vkmoe conformance --compile-only --statistics
--all-paths` makes on a device: how many are of the device's plan, fail and spill; the most registers of one and the fewest
subgroups in flight; spills, instructions, bytes of code and loops of all. check exits with 1 where more pipelines fail or
spill, or spill more, than the file says; other changes are only shown. Run write when they are meant. Anew, with all
types of weights, in one command (a minute or two a device):

    PEERS=FOLDER tests/peers/shader_statistics.py write --types all
"""

import argparse
import collections
import json
import os
import pathlib
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
FILE = HERE / "shader_statistics.txt"
DEVICES = ["amd:polaris10", "amd:navi21", "amd:navi31", "amd:gfx1201", "nv:0x132", "nv:0x172", "nv:0x1b2", "qc:740", "apple",
           "intel:skl", "intel:tgl", "intel:mtl", "intel:dg2", "intel:lnl", "intel:bmg"]
COLUMNS = ["pipelines", "planned", "failed", "spilling", "planned_spilling", "spills", "registers", "subgroups", "instructions",
           "code_bytes", "loops"]
WORSE = ["failed", "spilling", "planned_spilling", "spills"]  # columns that must not rise


def die(message):
    sys.exit(f"shader_statistics.py: {message}")


def summarize(pipelines):
    """The columns of some pipelines of a JSON report; None where the driver does not tell a figure."""
    def told(name):
        return [one[name] for one in pipelines if name in one]

    def of(name, function):
        return function(told(name)) if told(name) else None

    # As the program counts: drivers that count no spills are judged by their private memory.
    spilling = [one for one in pipelines if one.get("spills", one.get("scratch_bytes", 0))]
    return {"pipelines": len(pipelines), "planned": sum(one["planned"] for one in pipelines),
            "failed": sum("error" in one for one in pipelines), "spilling": len(spilling),
            "planned_spilling": sum(one["planned"] for one in spilling), "spills": sum(told("spills")),
            "registers": of("registers", max), "subgroups": of("subgroups", min), "instructions": of("instructions", sum),
            "code_bytes": of("code_bytes", sum), "loops": of("loops", sum)}


def rows_of(report):
    families = collections.defaultdict(list)
    for one in report["pipelines"]:
        families[one["op"], one["path"]].append(one)
    return {family: summarize(pipelines) for family, pipelines in families.items()}


class Table:
    """The file: the types of weights, and for each device its driver and rows by (operation, path)."""

    def __init__(self, text=""):
        self.types = ""
        self.drivers = {}
        self.rows = collections.defaultdict(dict)
        for line in text.splitlines():
            words = line.split()
            if not words or words[0] == "#":
                continue
            if words[0] == "types":
                self.types = words[1]
            elif words[0] == "driver":
                self.drivers[words[1]] = " ".join(words[2:])
            else:
                device, operation, path, *figures = words
                self.rows[device][operation, path] = {
                    name: None if figure == "-" else int(figure) for name, figure in zip(COLUMNS, figures, strict=True)}

    def text(self):
        lines = ["# Written by shader_statistics.py write; its head says what the columns are.",
                 f"# device operation path {' '.join(COLUMNS)}", f"types {self.types}"]
        for device in sorted(self.rows):
            lines.append(f"driver {device} {self.drivers[device]}")
            for (operation, path), row in sorted(self.rows[device].items()):
                figures = ("-" if row[name] is None else str(row[name]) for name in COLUMNS)
                lines.append(f"{device} {operation} {path} {' '.join(figures)}")
        return "\n".join(lines) + "\n"


def differences(before, after):
    """Lines, and whether anything became worse. before, after: rows of one device."""
    lines = []
    is_worse = False
    for family in sorted(before.keys() | after.keys()):
        name = " ".join(family)
        if family not in after:
            lines.append(f"{name}: no pipeline any more")
            continue
        new, old = after[family], before.get(family)
        if old is None:
            old = dict.fromkeys(COLUMNS, 0)
            lines.append(f"{name}: new")
        changes = [f"{column} {old[column]} -> {new[column]}" for column in COLUMNS if old[column] != new[column]]
        worse = any((new[column] or 0) > (old[column] or 0) for column in WORSE)
        is_worse |= worse
        if changes:
            lines.append(f"{name}:{' WORSE:' if worse else ''} {', '.join(changes)}")
    return lines, is_worse


def compile_on(device, program, libraries, types, keep):
    """The JSON report of the program on a device."""
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:  # the peers' tree sees /tmp too
        path = pathlib.Path(keep or folder) / f"{device.replace(':', '-')}.json"
        command = [os.environ["PEERS"] + "/gpu-compilers.sh", "in", device, "env", f"LD_LIBRARY_PATH={libraries}", program,
                   "conformance", "--compile-only", "--statistics", "--all-paths", "--json", str(path)]
        if types:
            command += ["--type", types]
        run = subprocess.run(command, env={**os.environ, "STATS": "0"}, capture_output=True, text=True)
        # 1: pipelines fail or spill, which the report says.
        if run.returncode not in (0, 1) or not path.is_file() or path.stat().st_size == 0:
            last = (run.stderr.strip().splitlines() or ["no message"])[-1]
            die(f"{device}: the run ended with {run.returncode}: {last}")
        report = json.loads(path.read_text())
        if "ended" in report or report["run"]["statistics"] != "told":
            die(f"{device}: {report.get('ended') or 'the driver tells no statistics'}")
        return report


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("mode", choices=["check", "write"])
    parser.add_argument("devices", nargs="*", metavar="DEVICE")
    parser.add_argument("--vkmoe", default=str(ROOT / "build/release/vkmoe"), help="program to run (%(default)s)")
    parser.add_argument("--types", help="types of weights, comma-separated, or all those of the program; default: those of the file")
    parser.add_argument("--keep", help="folder under /tmp that keeps the JSON reports, for vkmoe conformance --diff")
    options = parser.parse_intermixed_args()
    if "PEERS" not in os.environ:
        die("set PEERS to the folder of gpu-compilers.sh; see tests/peers/README.md")
    table = Table(FILE.read_text() if FILE.is_file() else "")
    if options.mode == "check" and not table.rows:
        die(f"there is no {FILE}; run write first")
    if options.types and table.types not in ("", options.types) and set(table.rows) - set(options.devices or DEVICES):
        die(f"{FILE} has other types ({table.types}) and other devices; name them all")
    types = table.types
    if options.mode == "write" and options.types:
        types = "" if options.types == "all" else options.types
    devices = options.devices or (DEVICES if options.mode == "write" else sorted(table.rows))
    if not pathlib.Path(options.vkmoe).is_file():
        die(f"there is no program {options.vkmoe}; build it, or name another with --vkmoe")
    if options.mode == "check" and (unknown := sorted(set(devices) - set(table.rows))):
        die(f"{FILE} has no {', '.join(unknown)}; run write for it first")
    libraries = subprocess.run([str(HERE / "tree_libraries.sh"), options.vkmoe], check=True, capture_output=True,
                               text=True).stdout.strip()
    is_worse = False
    for device in devices:
        report = compile_on(device, str(pathlib.Path(options.vkmoe).resolve()), libraries, types, options.keep)
        rows = rows_of(report)
        print(f"{device}: {report['run']['device']}, {report['run']['driver']}: {json.dumps(report['summary'])}", flush=True)
        lines, worse = differences(table.rows.get(device, {}), rows)
        if options.mode == "check":
            if table.drivers[device] != report["run"]["driver"]:
                print(f"  another driver than the file's ({table.drivers[device]})")
            is_worse |= worse
            for line in lines:
                print("  " + line)
            continue
        table.types = types or ",".join(sorted({one["type"] for one in report["pipelines"]}))
        table.rows[device] = rows
        table.drivers[device] = report["run"]["driver"]
        FILE.write_text(table.text())
    sys.exit(1 if is_worse else 0)


if __name__ == "__main__":
    main()
