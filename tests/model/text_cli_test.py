"""What the program says about vocabularies that lack something, about ends of text and about long contexts.

    python3 tests/model/text_cli_test.py PROGRAM [unittest options]
"""

import json
import struct
import sys
import unittest

import cli_test
from cli_test import MODEL, vkmoe


def patched(key, number, raw=MODEL.read_bytes()):
    """The bundled model with another value of an unsigned 32-bit key."""
    at = raw.index(key.encode()) + len(key)
    assert raw[at:at + 4] == struct.pack("<I", 4)
    return raw[:at + 4] + struct.pack("<I", number) + raw[at + 8:]


class Text(cli_test.Case):
    def warnings(self, word, *arguments):
        """How many warnings have this word."""
        result = vkmoe(*arguments)
        errors = result.stderr.decode()
        self.assertEqual(result.returncode, 0, errors)
        return sum(line.startswith("vkmoe: warning: ") and word in line for line in errors.splitlines())

    def one_warning(self, word, *arguments):
        self.assertEqual(self.warnings(word, *arguments), 1, arguments)

    def test_a_missing_pre_tokenizer(self):
        raw = MODEL.read_bytes()
        key = b"tokenizer.ggml.pre" + struct.pack("<IQ", 8, len("gpt-2"))
        self.assertEqual(raw.count(key), 1)
        path = self.file("model.gguf", raw.replace(key, key.replace(b".pre", b".prf")))
        self.one_warning("tokenizer.ggml.pre is missing", "inspect", path)
        self.one_warning("tokenizer.ggml.pre is missing", "tokenize", "-m", path, "-p", "It's 12345")
        self.assertIn("with pre-tokenizer default\n", vkmoe("inspect", path).stdout.decode())
        self.assertEqual(self.warnings("tokenizer", "inspect", MODEL), 0)
        self.assertIn("with pre-tokenizer gpt-2\n", vkmoe("inspect", MODEL).stdout.decode())

    def test_special_ids_that_no_token_has(self):
        for bad in (4096, 4294967295):
            path = self.file("model.gguf", patched("tokenizer.ggml.bos_token_id", bad))
            for command in (["inspect", path], ["tokenize", "-m", path, "-p", "a"],
                            ["run", "-m", path, "-p", "a", "-n", "1"]):
                self.one_warning(f"tokenizer.ggml.bos_token_id is {bad}", *command)

    def test_an_end_token_is_not_shown(self):
        arguments = ["-p", "The package", "--temp", "0", "-n", "3"]
        whole = vkmoe("run", "-m", MODEL, *arguments).stdout.decode()
        tokens = vkmoe("tokenize", "-m", MODEL, "-p", whole.rstrip("\n"), "--json").stdout.decode()
        prompt = vkmoe("tokenize", "-m", MODEL, "-p", "The package", "--json").stdout.decode()
        first = json.loads(tokens)[len(json.loads(prompt))]
        path = self.file("model.gguf", patched("tokenizer.ggml.eos_token_id", first))
        self.assertEqual(vkmoe("run", "-m", path, *arguments).stdout.decode(), "The package\n")

    def test_a_context_longer_than_the_trained_one(self):
        path = self.file("model.gguf", patched("qwen3moe.context_length", 32))
        text = self.file("text", "The package is not here. " * 60)
        tokens = self.file("tokens.json", str([5] * 40))
        longer = "is longer than the 32"
        self.one_warning(longer, "run", "-m", path, "-p", "a", "-n", "1", "-c", "64")
        self.one_warning(longer, "perplexity", "-m", path, "-f", text, "-c", "64")
        self.one_warning(longer, "logits", "-m", path, "--tokens", tokens, "-o", self.folder / "logits.npy")
        self.one_warning(longer, "bench", "-m", path, "-p", "40", "-n", "2", "-r", "1")
        for command in (["run", "-m", path, "-p", "a", "-n", "1"], ["run", "-m", path, "-p", "a", "-n", "1", "-c", "32"],
                        ["perplexity", "-m", path, "-f", text, "-c", "32"]):
            self.assertEqual(self.warnings("longer than", *command), 0)


if __name__ == "__main__":
    cli_test.PROGRAM = sys.argv.pop(1)
    unittest.main()
