"""`--ram-budget` bounds the memory of the whole process, driver and all: on a driver of the CPU, whose device memory is RAM.

    python3 tests/model/ram_budget_test.py PROGRAM [unittest options]
"""

import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import unittest

PROGRAM = ""
MIB = 1 << 20


def run(*arguments):
    """Exit code, stdout, stderr and the most memory that it had, in bytes."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as errors:
        process = subprocess.Popen([PROGRAM, *map(str, arguments)], stdout=out, stderr=errors)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        errors.seek(0)
        return process.returncode, out.read().decode(), errors.read().decode(), usage.ru_maxrss * 1024


class RamBudget(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(cls.folder.cleanup)
        cls.model = pathlib.Path(cls.folder.name) / "model.gguf"
        code, _, errors, _ = run("synth", "--shape", "Qwen3-30B-A3B", "--layers", 2, "-o", cls.model)
        assert code == 0, errors
        # What fits in the budget is resident, and stays within it.
        budget = cls.model.stat().st_size + 300 * MIB
        code, cls.text, errors, peak = cls.write("--ram-budget", budget)
        assert code == 0, errors
        assert "paged" not in errors, errors
        assert peak < budget, peak

    @classmethod
    def write(cls, *arguments, context=256):
        return run("run", "-m", cls.model, "-p", "It was a dark night", "-n", 6, "-c", context, "--micro-batch", 32,
                   "--temp", 0, *arguments)

    def test_the_process_stays_within_it(self):
        budget = self.model.stat().st_size * 3 // 5
        for arguments in ([], ["--vram-budget", 160 * MIB, "--prefetch", "on"]):
            with self.subTest(arguments=arguments):
                code, text, errors, peak = self.write("--ram-budget", budget, *arguments)
                self.assertEqual(code, 0, errors)
                self.assertEqual(text, self.text)
                self.assertIn("experts paged by the host", errors)
                self.assertRegex(errors, r"(?m)^RAM budget: [\d.]+ MiB of [\d.]+ MiB for the model, [\d.]+ MiB for the program "
                                         r"and the driver$")
                self.assertLess(peak, budget)
                self.assertGreater(peak, budget * 0.7)  # most of it is put to use

    def test_a_long_context_is_paged_for(self):
        _, plan, _, _ = run("plan", "-m", self.model, "-c", 256, "--micro-batch", 32, "--json")
        plan = json.loads(plan)
        parts = ("dense_bytes", "experts_bytes", "kv_cache_bytes", "activation_bytes")
        budget = sum(plan[part] for part in parts)
        code, text, errors, _ = self.write("--vram-budget", budget, context=30000)
        self.assertEqual(code, 0, errors)
        self.assertEqual(text, self.text)
        self.assertRegex(errors, "experts paged by the (device|host)")

    def test_the_least_that_it_names_works(self):
        code, _, errors, _ = self.write("--ram-budget", "20M")
        self.assertEqual(code, 1)
        least = int(re.search(r"smallest --ram-budget that works .* is (\d+) MiB", errors).group(1))
        code, text, errors, peak = self.write("--ram-budget", f"{least}M")
        self.assertEqual(code, 0, errors)
        self.assertEqual(text, self.text)
        self.assertLess(peak, least * MIB)


if __name__ == "__main__":
    PROGRAM = sys.argv.pop(1)
    unittest.main()
