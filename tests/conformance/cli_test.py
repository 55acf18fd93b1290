"""`vkmoe conformance` as a user meets it: filters, reports, exit codes, messages for bad input.

    python3 tests/conformance/cli_test.py PROGRAM [unittest options]
"""

import json
import os
import pathlib
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
import unittest
import xml.etree.ElementTree

PROGRAM = ""
ONE_CELL = ["--op", "swiglu", "--path", "scalar"]
SOME_CELLS = ["--op", "swiglu,argmax,combine", "--path", "scalar"]
BAD_CELL = "swiglu/F32/scalar"


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
        self.refused(2, ["--in-process"], "--compile-only", "--in-process")
        self.refused(2, ["--case-timeout"], "--compile-only", "--case-timeout", 9)
        path = str(self.folder / "missing/report")
        self.refused(1, [path], "--compile-only", *ONE_CELL, "--json", path)

    def test_only_two_reports_can_be_compared(self):
        odd = self.folder / "odd.json"
        odd.write_text("{}")
        self.refused(1, [str(odd), "--json"], "--diff", odd, odd)
        self.refused(2, ["--diff"], "--diff", odd)
        self.refused(2, ["missing"], "--diff", odd, self.folder / "missing.json")
        self.refused(2, ["--diff"], "--diff", odd, odd, "--op", "swiglu")
    def test_a_driver_that_fails_in_one_cell_spoils_that_cell_only(self):
        for fault, words in (("crash", "SIGSEGV"), ("hang", "did not end within 2 s"), ("device_lost", "injected fault")):
            with self.subTest(fault):
                files = {flag: self.folder / f"{fault}{flag}" for flag in ("json", "junit")}
                result = conformance(*SOME_CELLS, "--seed", 1, "--case-timeout", 2, "--json", files["json"], "--junit",
                                     files["junit"], env={"VKMOE_FAULTS": f"{fault}:only={BAD_CELL}"})
                self.assertEqual(result.returncode, 1, result.stderr)
                self.assertEqual(result.stderr.splitlines()[-1], "vkmoe: 1 of 3 cells failed")
                self.assertIn(f"FAILED {BAD_CELL}\n", result.stdout)
                self.assertIn(words, result.stdout)
                self.assertIn("2 ok, 0 unsupported, 1 failed;", result.stdout)
                self.assertIn("repeat: vkmoe conformance --op swiglu", result.stdout)

                report = json.loads(files["json"].read_text())
                self.assertEqual(report["summary"], {"ok": 2, "unsupported": 0, "failed": 1, "not run": 0})
                failed, = [cell for cell in report["cells"] if cell["outcome"] == "failed"]
                self.assertEqual("/".join(failed[key] for key in ("op", "type", "path")), BAD_CELL)
                self.assertIn(words, failed["failures"][0]["message"])
                self.assertTrue(failed["failures"][0]["case"])

                suites = xml.etree.ElementTree.parse(files["junit"]).getroot()
                self.assertEqual([suites.get(key) for key in ("tests", "failures", "errors")], ["3", "1", "0"])
                failure, = suites.iter("failure")
                self.assertIn(words, failure.get("message"))

    def test_speeds_survive_a_driver_too(self):
        result = conformance("--op", "matvec", "--type", "F32,Q8_0", "--path", "scalar", "--perf",
                             env={"VKMOE_FAULTS": "device_lost:only=matvec/Q8_0/scalar"})
        self.assertEqual(result.returncode, 1, result.stderr)
        self.assertRegex(result.stdout, r"(?m)^kernel speed .* GB/s +GFLOP/s(?s:.*)^matvec/F32/scalar +1 .* memory ")
        self.assertIn("1 ok, 0 unsupported, 1 failed;", result.stdout)

    def test_speeds_at_several_numbers_of_tokens(self):
        result = conformance("--op", "matvec,matmul", "--type", "Q8_0", "--path", "scalar", "--perf",
                             "--perf-tokens", "1,5,40")
        self.assertEqual(result.returncode, 0, result.stderr)
        measured = re.findall(r"(?m)^(\w+)/Q8_0/scalar +(\d+)  (\w+) ", result.stdout)
        self.assertEqual([int(n_tokens) for _, n_tokens, _ in measured], [1, 5, 40])
        self.assertEqual(measured[0], ("matvec", "1", "registers"))
        self.assertEqual(measured[2], ("matmul", "40", "tiles"))
        self.refused(2, ["--perf-tokens", "--perf"], "--perf-tokens", "2")

    def test_speeds_are_of_the_kernels_that_the_plan_takes(self):
        report = self.folder / "speeds.json"
        result = conformance("--op", "expert_matvec,expert_matmul", "--type", "Q8_0", "--perf", "--perf-tokens", "1,9",
                             "--json", report)
        self.assertEqual(result.returncode, 0, result.stderr)
        measured = json.loads(report.read_text())["speeds"]["cells"]
        self.assertEqual(sorted(speed["tokens"] for speed in measured), [1, 9], "each once, whatever paths there are")
        forms = {speed["tokens"]: speed["form"] for speed in measured}
        self.assertEqual(forms[1], "pairs")
        self.assertIn(forms[9], ("registers", "tiles"))
        for speed in measured:
            self.assertEqual(speed["op"], "expert_matmul" if speed["form"] == "tiles" else "expert_matvec")
            self.assertGreater(speed["teraflops"], 0)
            self.assertGreater(speed["gigabytes_per_second"], 0)

    def test_in_process(self):
        result = conformance(*ONE_CELL, "--in-process")
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertIn("1 ok, 0 unsupported, 0 failed", result.stdout)
        crash = conformance(*ONE_CELL, "--in-process", env={"VKMOE_FAULTS": f"crash:only={BAD_CELL}"})
        self.assertEqual(crash.returncode, -signal.SIGSEGV, crash.stderr)

    def test_workers_are_not_started_by_hand(self):
        self.refused(1, ["only vkmoe itself"], "--worker")
        self.assertNotIn("--worker", conformance("--help").stdout)

    def hanging_run(self, *arguments):
        """A run whose only cell hangs, and the seed, by which its processes are found."""
        seed = random.randrange(2**32)
        process = subprocess.Popen([PROGRAM, "conformance", *ONE_CELL, "--seed", str(seed), *map(str, arguments)],
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                   env={**os.environ, "VKMOE_FAULTS": f"hang:only={BAD_CELL}"})
        self.addCleanup(process.kill)
        for line in process.stdout:
            if line.startswith("seed"):
                break
        time.sleep(1)
        self.assertEqual(len(self.processes_of(seed)), 2)
        return process, seed

    def processes_of(self, seed):
        found = []
        for path in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
            try:
                if str(seed).encode() in path.read_bytes():
                    found.append(path)
            except OSError:
                pass  # it has ended
        return found

    def test_control_c_ends_the_workers_and_writes_the_reports(self):
        file = self.folder / "report"
        process, seed = self.hanging_run("--json", file)
        process.send_signal(signal.SIGINT)
        stdout, stderr = process.communicate(timeout=60)
        self.assertEqual(process.returncode, -signal.SIGINT, stderr)
        self.assertIn("ENDED EARLY: interrupted", stdout)
        self.assertEqual(json.loads(file.read_text())["summary"]["not run"], 1)
        self.assertEqual(self.processes_of(seed), [])

    def test_no_worker_outlives_its_parent(self):
        process, seed = self.hanging_run()
        process.kill()
        process.communicate(timeout=60)
        for _ in range(100):
            if not self.processes_of(seed):
                return
            time.sleep(0.1)
        self.fail("a worker goes on")

    def test_processes_that_are_refused(self):
        """By a limit on descriptors: limits on processes do not bind root."""
        for limit in range(5, 40, 5):
            result = subprocess.run(["sh", "-c", f'ulimit -n {limit}; exec "$0" conformance "$@"', PROGRAM, *ONE_CELL],
                                    capture_output=True, timeout=120, text=True)
            self.assertIn(result.returncode, (0, 1), result.stderr)
            if result.returncode == 1:
                self.assertRegex(result.stderr, r"(?m)^vkmoe: .")


if __name__ == "__main__":
    PROGRAM = sys.argv.pop(1)
    unittest.main()
