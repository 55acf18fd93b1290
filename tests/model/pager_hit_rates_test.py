"""What the pager's policy reaches on routes of the bundled model, beside LRU and Belady (src/experts/POLICY.md).

    python3 tests/model/pager_hit_rates_test.py PROGRAM [unittest options]
"""

import json
import pathlib
import subprocess
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
MODEL = ROOT / "samples/models/babel-moe-14m-f16.gguf"
TEXTS = [ROOT / f"samples/models/held-out/{language}.txt" for language in ("english", "python", "french")]
TOKENS = 2048
CONTEXT = 256
SLOTS = range(4, 61, 4)  # of 64 experts
LINK = 2  # records that can be copied in a layer's time: as many experts as a token uses of it
PROGRAM = ""


def vkmoe(*arguments):
    result = subprocess.run([PROGRAM, *map(str, arguments)], capture_output=True, timeout=500)
    if result.returncode != 0:
        raise RuntimeError(result.stderr.decode())


class HitRates(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        with tempfile.TemporaryDirectory() as folder:
            traces = [pathlib.Path(folder) / f"{text.stem}.trace" for text in TEXTS]
            for text, trace in zip(TEXTS, traces):
                vkmoe("routes", "-m", MODEL, "-f", text, "-n", TOKENS, "-c", CONTEXT, "--trace", trace)
            report = pathlib.Path(folder) / "report.json"
            vkmoe("pager-sim", "--trace", *traces, "--slots", ",".join(map(str, SLOTS)), "--link", LINK,
                  "--json", report)
            cls.report = json.loads(report.read_text())
        cls.results = {(r["policy"], r["link"], r["n_slots"]): r for r in cls.report["results"]}

    def rate(self, policy, n_slots, link=0):
        return self.results[policy, link, n_slots]["hit_rate"]

    def test_all_tokens_are_there(self):
        self.assertEqual(self.report["n_tokens"], TOKENS * len(TEXTS))
        self.assertEqual(self.report["n_layers"] * self.report["n_experts"], 64)
        wanted = self.report["n_tokens"] * self.report["n_layers"] * self.report["n_experts_used"]
        for key, result in self.results.items():
            self.assertEqual(result["n_hits"] + result["n_misses"], wanted, key)

    def test_the_others_reach_what_they_are_known_to(self):
        # An LRU that takes a step's experts one after the other has 0.25 at 8 slots: see POLICY.md.
        for n_slots, lru, belady in ((8, 0.296, 0.47), (16, 0.45, 0.69), (32, 0.73, 0.89), (48, 0.92, 0.97)):
            self.assertAlmostEqual(self.rate("lru", n_slots), lru, delta=0.01)
            self.assertAlmostEqual(self.rate("belady", n_slots), belady, delta=0.01)

    def test_never_below_lru(self):
        for n_slots in SLOTS:
            with self.subTest(n_slots=n_slots):
                self.assertGreaterEqual(self.rate("vkmoe", n_slots), self.rate("lru", n_slots))
                self.assertLessEqual(self.rate("vkmoe", n_slots), self.rate("belady", n_slots))
                self.assertGreaterEqual(self.rate("vkmoe", n_slots, LINK), self.rate("vkmoe", n_slots))

    def test_look_ahead_goes_half_of_the_way_to_belady(self):
        for n_slots in (16, 32):
            with self.subTest(n_slots=n_slots):
                lru, belady = self.rate("lru", n_slots), self.rate("belady", n_slots)
                self.assertGreaterEqual(self.rate("vkmoe", n_slots, LINK), (lru + belady) / 2)

    def test_most_of_what_is_fetched_ahead_is_used(self):
        for n_slots in (16, 32):
            with self.subTest(n_slots=n_slots):
                result = self.results["vkmoe", LINK, n_slots]
                self.assertGreater(result["n_prefetched"], TOKENS)
                self.assertGreaterEqual(result["n_prefetched_used"], 0.75 * result["n_prefetched"])


if __name__ == "__main__":
    PROGRAM = sys.argv.pop(1)
    unittest.main()
