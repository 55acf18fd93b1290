"""`vkmoe conformance` as a user meets it: filters, reports, exit codes, messages for bad input.

    python3 tests/conformance/cli_test.py PROGRAM [unittest options]
"""

import json
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest
import xml.etree.ElementTree

PROGRAM = ""
ONE_CELL = ["--op", "swiglu", "--path", "scalar"]


def conformance(*arguments, env=None):
    return subprocess.run([PROGRAM, "conformance", *map(str, arguments)], capture_output=True, timeout=300, text=True,
                          env={**os.environ, **(env or {})})


class Conformance(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def refused(self, code, words, *arguments, env=None):
        """One line on stderr that has these words, the exit code, and nothing that looks like a run."""
        result = conformance(*arguments, env=env)
        self.assertEqual(result.returncode, code, result.stderr)
        lines = result.stderr.splitlines()
        self.assertEqual(len(lines), 1, result.stderr)
        for word in words:
            self.assertIn(word, lines[0])
        self.assertNotIn(" ok", result.stdout)

    def test_unknown_names_are_told_the_known_ones(self):
        self.refused(2, ["nonsense", "matvec", "expert_matmul", "argmax"], "--op", "nonsense")
        self.refused(2, ["q9_k", "F32"], "--type", "q9_k")
        self.refused(2, ["vector", "scalar", "subgroup", "dot4"], "--path", "vector")
        self.refused(2, ["--list"], "--op", "group_routes", "--path", "dot4")
        self.refused(2, ["-1"], "--seed", "-1")
        self.refused(2, ["--quick"], "--quick", "--full")

    def test_unwritable_reports_fail_before_the_run(self):
        for flag in ("--json", "--junit"):
            path = str(self.folder / "missing/report")
            self.refused(1, [path], *ONE_CELL, flag, path)
            self.refused(1, [str(self.folder)], *ONE_CELL, flag, self.folder)

    def test_no_driver(self):
        none = {"VK_DRIVER_FILES": "/nonexistent.json", "VK_ICD_FILENAMES": "/nonexistent.json"}
        self.refused(1, ["Vulkan"], *ONE_CELL, env=none)

    def test_list_is_filtered(self):
        every = conformance("--list").stdout.splitlines()
        self.assertIn("matvec/F32/scalar", every)
        some = conformance("--list", "--op", "matvec,matmul", "--op", "swiglu", "--type", "f32").stdout.splitlines()
        self.assertEqual(some, [cell for cell in every
                                if cell.split("/")[0] in ("matvec", "matmul", "swiglu") and "/F32/" in cell])

    def test_reports(self):
        reports = {flag: self.folder / flag for flag in ("json", "junit")}
        result = conformance(*ONE_CELL, "--seed", 7, "--json", reports["json"], "--junit", reports["junit"])
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertRegex(result.stdout, r"seed +7\n")
        self.assertIn("1 ok, 0 unsupported, 0 failed", result.stdout)

        report = json.loads(reports["json"].read_text())
        self.assertEqual(report["run"]["seed"], "7")
        self.assertEqual(report["summary"], {"ok": 1, "unsupported": 0, "failed": 0, "not run": 0})
        cell, = report["cells"]
        self.assertEqual((cell["op"], cell["type"], cell["path"], cell["outcome"]), ("swiglu", "F32", "scalar", "ok"))
        self.assertGreater(cell["cases"], 0)
        for key in ("vkmoe", "date", "device", "driver", "Vulkan", "depth"):
            self.assertTrue(report["run"][key], key)

        suites = xml.etree.ElementTree.parse(reports["junit"]).getroot()
        self.assertEqual(suites.tag, "testsuites")
        self.assertEqual(suites.get("tests"), "1")
        case, = suites.iter("testcase")
        self.assertEqual((case.get("classname"), case.get("name")), ("vkmoe.swiglu", "F32/scalar"))
        self.assertEqual(len(case), 0)

    def test_pipelines_are_compiled_and_compared(self):
        paths = {name: self.folder / f"{name}.json" for name in ("plan", "all", "scalar")}
        only = ("--compile-only", "--statistics", "--op", "swiglu,combine")
        result = conformance(*only, "--json", paths["plan"])
        self.assertEqual(result.returncode, 0, result.stderr)
        plan = json.loads(paths["plan"].read_text())
        self.assertRegex(result.stdout, rf"\n{plan['summary']['pipelines']} pipelines, 0 failed")
        self.assertTrue(all(one["planned"] and one["milliseconds"] > 0 for one in plan["pipelines"]))
        self.assertEqual({one["op"] for one in plan["pipelines"]}, {"swiglu", "combine"})
        self.assertIn(plan["run"]["statistics"], ("told", "not told by the driver"))

        result = conformance(*only, "--all-paths", "--shapes", "--json", paths["all"])
        self.assertEqual(result.returncode, 0, result.stderr)
        every = json.loads(paths["all"].read_text())
        self.assertEqual({one["path"] for one in every["pipelines"]}, {"scalar", "subgroup"})
        self.assertIn("gpt-oss-20b", every["pipelines"][0]["shapes"])
        conformance(*only, "--path", "scalar", "--json", paths["scalar"])
        self.assertEqual({one["path"] for one in json.loads(paths["scalar"].read_text())["pipelines"]}, {"scalar"})

        result = conformance("--diff", paths["plan"], paths["all"])
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertIn("only in the second swiglu_f32_scalar", result.stdout)
        plan["pipelines"][0]["spills"] = 3
        spills = self.folder / "spills.json"
        spills.write_text(json.dumps(plan))
        result = conformance("--diff", paths["plan"], spills)
        self.assertEqual(result.returncode, 1)
        self.assertRegex(result.stdout, r"\nSPILLS \S+ \[.*\]: spills \S+ -> 3\n")
        self.assertEqual(len(result.stderr.splitlines()), 1, result.stderr)
        self.assertEqual(conformance("--diff", spills, paths["plan"]).returncode, 0)

    def test_options_of_compiling_are_held_together(self):
        self.refused(2, ["--statistics", "--compile-only"], "--statistics")
        self.refused(2, ["--seed"], "--compile-only", "--seed", 1)
        self.refused(2, ["--full"], "--compile-only", "--full")
        path = str(self.folder / "missing/report")
        self.refused(1, [path], "--compile-only", *ONE_CELL, "--json", path)

    def test_only_two_reports_can_be_compared(self):
        odd = self.folder / "odd.json"
        odd.write_text("{}")
        self.refused(1, [str(odd), "--json"], "--diff", odd, odd)
        self.refused(2, ["--diff"], "--diff", odd)
        self.refused(2, ["missing"], "--diff", odd, self.folder / "missing.json")
        self.refused(2, ["--diff"], "--diff", odd, odd, "--op", "swiglu")


if __name__ == "__main__":
    PROGRAM = sys.argv.pop(1)
    unittest.main()
