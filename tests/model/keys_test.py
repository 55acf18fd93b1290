"""Metadata keys as a user meets them: refusals that name the key, one warning, --ignore-key, inspect.

    python3 tests/model/keys_test.py PROGRAM [unittest options]
"""

import json
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests"))
from gguf_edit import GgufFile

MODEL = ROOT / "samples/models/babel-moe-14m-f16.gguf"
PROGRAM = ""
CAUSAL = {"qwen3moe.attention.causal": False}
NO_DRIVER = {"VK_DRIVER_FILES": "/nonexistent.json", "VK_ICD_FILENAMES": "/nonexistent.json"}


def vkmoe(*arguments, env=None):
    return subprocess.run([PROGRAM, *map(str, arguments)], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          timeout=300, env={**os.environ, **(env or {})})


class Keys(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        self.path = self.folder / "model.gguf"
        self.tokens = self.folder / "tokens.json"
        self.tokens.write_text("[1, 2, 3, 400, 5, 6, 7]")
        self.text = self.folder / "text"
        self.text.write_text("def read(file): return file.read() # a text of some length for perplexity\n" * 3)

    def model(self, keys):
        GgufFile(MODEL).write(self.path, keys)
        return self.path

    def commands(self):
        """Every subcommand that loads a model."""
        model, out = self.path, self.folder / "out"
        return (["run", "-m", model, "-p", "def", "-n", 1], ["logits", "-m", model, "--tokens", self.tokens, "-o", out],
                ["perplexity", "-m", model, "-f", self.text, "-c", 32], ["bench", "-m", model, "-p", 2, "-n", 0, "-r", 1],
                ["routes", "-m", model, "-f", self.text, "--trace", out], ["plan", "-m", model])

    def test_refused_keys_and_the_way_round(self):
        self.model(CAUSAL)
        for command in self.commands():
            with self.subTest(command[0]):
                result = vkmoe(*command)
                self.assertEqual(result.returncode, 1, result.stderr)
                lines = [line for line in result.stderr.splitlines() if line.startswith("vkmoe: ")]
                self.assertEqual(len(lines), 1, result.stderr)
                for part in (self.path, "'qwen3moe.attention.causal' is false", "would change the result",
                             "--ignore-key qwen3moe.attention.causal"):
                    self.assertIn(str(part), lines[0])
                result = vkmoe(*command, "--ignore-key", "qwen3moe.attention.causal")
                self.assertEqual(result.returncode, 0, result.stderr)
                self.assertNotIn("causal", result.stderr)

    def test_ignored_keys_leave_the_logits(self):
        results = []
        for model, options in ((MODEL, []), (self.model({"qwen3moe.rope.scale_linear": 4.0}), []),
                               (self.path, ["--ignore-key", "qwen3moe.rope.scale_linear"])):
            out = self.folder / "out.npy"
            result = vkmoe("logits", "-m", model, "--tokens", self.tokens, "-o", out, *options)
            self.assertEqual(result.returncode, 0, result.stderr)
            results.append(out.read_bytes())
        self.assertNotEqual(results[0], results[1])
        self.assertEqual(results[0], results[2])

    def test_warnings_are_one_line_each(self):
        self.model({"qwen3moe.attention.sliding_window": 16, "qwen3moe.shiny": True, "qwen3moe.new": 1})
        result = vkmoe("run", "-m", self.path, "-p", "def", "-n", 1, "--ignore-key", "qwen3moe.no_such")
        self.assertEqual(result.returncode, 0, result.stderr)
        warnings = [line for line in result.stderr.splitlines() if "warning" in line]
        self.assertEqual(len(warnings), 3, result.stderr)
        self.assertIn("no key 'qwen3moe.no_such'", warnings[0])
        self.assertIn("'qwen3moe.attention.sliding_window' (16) is ignored", warnings[1])
        self.assertIn("'qwen3moe.shiny', 'qwen3moe.new'", warnings[2])

    def test_inspect_says_what_runs(self):
        result = vkmoe("inspect", MODEL, env=NO_DRIVER)
        self.assertRegex(result.stdout, r"(?m)^supported +yes$")
        self.assertNotIn("warnings", result.stdout)

        self.model(CAUSAL)
        result = vkmoe("inspect", self.path, env=NO_DRIVER)
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertRegex(result.stdout, r"(?m)^supported +no: key 'qwen3moe.attention.causal' is false")
        self.assertNotIn("minimum", result.stdout)
        report = json.loads(vkmoe("inspect", "--json", self.path, env=NO_DRIVER).stdout)
        self.assertFalse(report["supported"])
        self.assertIn("attention.causal", report["refusal"])

        self.model({"qwen3moe.shiny": True})
        result = vkmoe("inspect", self.path, env=NO_DRIVER)
        self.assertRegex(result.stdout, r"(?m)^warnings\n  .*'qwen3moe.shiny'")

        self.model({"general.architecture": None, "general.type": "imatrix"})
        result = vkmoe("inspect", self.path, env=NO_DRIVER)
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertRegex(result.stdout, r"(?m)^supported +no: this is an importance matrix")
        self.assertNotIn("parameters", result.stdout)

    def test_inspect_knows_one_tensor_an_expert(self):
        stacked = vkmoe("inspect", "--json", MODEL, env=NO_DRIVER)
        path = one_tensor_an_expert(self.path)
        result = vkmoe("inspect", path, env=NO_DRIVER)
        self.assertRegex(result.stdout, r"(?m)^supported +no: tensor 'blk.0.ffn_\w+.0.weight': one tensor per expert")
        report = json.loads(vkmoe("inspect", "--json", path, env=NO_DRIVER).stdout)
        self.assertEqual(report["experts_bytes"], json.loads(stacked.stdout)["experts_bytes"])
        self.assertIn("all experts", result.stdout)
        result = vkmoe("plan", "-m", path)
        self.assertEqual(result.returncode, 1)
        self.assertIn("one tensor per expert", result.stderr)


def one_tensor_an_expert(path):
    """The bundled model in the layout of 2023, with the same bytes under other names."""
    file = GgufFile(MODEL)
    file.split_experts()
    file.write(path)
    return path


if __name__ == "__main__":
    PROGRAM = sys.argv.pop(1)
    unittest.main()
