"""The program as a user meets it: help, exit codes, messages for bad input, no half-written files.

    python3 tests/model/cli_test.py PROGRAM [unittest options]
"""

import array
import ast
import json
import os
import pathlib
import re
import signal
import struct
import subprocess
import sys
import tempfile
import unittest
import xml.etree.ElementTree

ROOT = pathlib.Path(__file__).resolve().parents[2]
MODEL = ROOT / "samples/models/babel-moe-14m-f16.gguf"
COMMANDS = ["run", "devices", "inspect", "plan", "tokenize", "logits", "perplexity", "bench", "routes",
            "pager-sim", "synth", "conformance"]
PROGRAM = ""
NO_DRIVER = {"VK_DRIVER_FILES": "/nonexistent.json", "VK_ICD_FILENAMES": "/nonexistent.json"}


def vkmoe(*arguments, env=None, stdin=""):
    return subprocess.run([PROGRAM, *map(str, arguments)], input=stdin.encode(), capture_output=True, timeout=300,
                          env={**os.environ, **(env or {})})


def gguf(metadata, tensors=()):
    """A GGUF file: metadata of str and int (u32) values, tensors of (name, type id, shape, offset)."""

    def text(value):
        raw = value.encode()
        return struct.pack("<Q", len(raw)) + raw

    out = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(metadata))
    for key, value in metadata.items():
        if isinstance(value, str):
            out += text(key) + struct.pack("<I", 8) + text(value)
        else:
            out += text(key) + struct.pack("<II", 4, value)
    for name, kind, shape, offset in tensors:
        out += text(name) + struct.pack("<I", len(shape)) + struct.pack(f"<{len(shape)}Q", *shape)
        out += struct.pack("<IQ", kind, offset)
    return out + bytes(-len(out) % 32) + bytes(64)


def read_npy(path):
    raw = path.read_bytes()
    length = struct.unpack("<H", raw[8:10])[0]
    header = ast.literal_eval(raw[10:10 + length].decode())
    numbers = array.array("f")
    numbers.frombytes(raw[10 + length:])
    return header, numbers


class Case(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def file(self, name, content):
        path = self.folder / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    def refused(self, code, words, *arguments, env=None):
        """One line on stderr (after what comes before the failure) that has these words, and the exit code."""
        result = vkmoe(*arguments, env=env)
        errors = result.stderr.decode()
        self.assertEqual(result.returncode, code, errors)
        lines = [line for line in errors.splitlines() if line.startswith("vkmoe: ")]
        self.assertEqual(len(lines), 1, errors)
        for word in words:
            self.assertIn(str(word), lines[0])
        return result


class Help(Case):
    def test_every_command_has_help(self):
        overview = vkmoe("--help")
        self.assertEqual(overview.returncode, 0)
        for command in COMMANDS:
            self.assertIn(command, overview.stdout.decode())
            result = vkmoe(command, "--help")
            self.assertEqual(result.returncode, 0, command)
            self.assertIn(f"Usage: vkmoe {command}", result.stdout.decode())
            self.assertEqual(result.stderr, b"")

    def test_help_tells_defaults(self):
        text = vkmoe("run", "--help").stdout.decode()
        for default in ("--temp FLOAT=0.8", "--top-k UINT=40", "--kv f16|f32|q8_0=f16", "--micro-batch N=512"):
            self.assertIn(default, text)

    def test_version(self):
        result = vkmoe("--version")
        self.assertEqual(result.returncode, 0)
        self.assertRegex(result.stdout.decode(),
                         r"^vkmoe \d+\.\d+\.\d+ \(commit ([0-9a-f]{7,40}(-modified)?|unknown)\)\n$")
        if (ROOT / ".git").exists():
            commit = subprocess.run(["git", "-C", ROOT, "rev-parse", "HEAD"], capture_output=True, text=True).stdout
            built = re.search(r"commit ([0-9a-f]+)", result.stdout.decode())
            if commit:
                self.assertTrue(built and commit.startswith(built.group(1)), (commit, result.stdout))

    def test_help_tells_conventions(self):
        text = vkmoe("--help").stdout.decode()
        for words in ("`-f -`", r"\n", "Exit codes: 0", " 1 ", " 2 ", " 130 "):
            self.assertIn(words, text)
        self.assertIn("standard input", vkmoe("run", "--help").stdout.decode())


class Usage(Case):
    def test_subcommands_that_do_not_exist(self):
        for typed, meant in (("rnu", "'run'"), ("device", "'devices'"), ("perplexty", "'perplexity'"),
                             ("help", "'--help'")):
            with self.subTest(typed):
                self.refused(2, [f"unknown subcommand '{typed}'", f"did you mean {meant}"], typed, "-m", MODEL)
        result = self.refused(2, ["unknown subcommand 'nonsense'", "vkmoe --help"], "nonsense")
        self.assertNotIn(b"did you mean", result.stderr)

    def test_wrong_command_lines(self):
        text = self.file("text", "some text")
        tokens = self.file("tokens.json", "[1]")
        for arguments in (
            [],
            ["nonsense"],
            ["run"],
            ["run", "-m", MODEL],
            ["run", "-m", MODEL, "-p", "a", "-f", text],
            ["run", "-m", MODEL, "-p", "a", "--nonsense"],
            ["run", "-m", MODEL, "-p", "a", "--temp", "-1"],
            ["run", "-m", MODEL, "-p", "a", "--temp", "nan"],
            ["run", "-m", MODEL, "-p", "a", "--temp", "warm"],
            ["run", "-m", MODEL, "-p", "a", "--top-p", "0"],
            ["run", "-m", MODEL, "-p", "a", "--top-p", "1.5"],
            ["run", "-m", MODEL, "-p", "a", "--min-p", "2"],
            ["run", "-m", MODEL, "-p", "a", "--top-p", "1e-50"],
            ["run", "-m", MODEL, "-p", "a", "--temp", "1e-50"],
            ["run", "-m", MODEL, "-p", "a", "--temp", "1e39"],
            ["run", "-m", MODEL, "-p", "a", "--temp", "inf"],
            ["run", "-m", MODEL, "-p", "a", "--min-p", "1e-50"],
            ["run", "-m", MODEL, "-p", "a", "--repeat-penalty", "1e-50"],
            ["run", "-m", MODEL, "-p", "a", "--repeat-penalty", "3.5e38"],
            ["run", "-m", MODEL, "-p", "a", "--repeat-penalty", "0"],
            ["run", "-m", MODEL, "-p", "a", "-n", "-5"],
            ["run", "-m", MODEL, "-p", "a", "-c", "-5"],
            ["run", "-m", MODEL, "-p", "a", "--top-k", "-1"],
            ["run", "-m", MODEL, "-p", "a", "--seed", "-1"],
            ["run", "-m", MODEL, "-p", "a", "--kv", "f64"],
            ["run", "-m", MODEL, "-p", "a", "--micro-batch", "0"],
            ["run", "-m", MODEL, "-p", "a", "--vram-budget", "12Q"],
            ["run", "-m", MODEL, "-p", "a", "--vram-budget", "0"],
            ["run", "-m", MODEL, "-p", "a", "--ram-budget", "-1G"],
            ["perplexity", "-m", MODEL, "-f", text, "--ram-budget", "101%"],
            ["run", "-m", MODEL, "-p", "a", "--pager", "nobody"],
            ["run", "-m", MODEL, "-p", "a", "--prefetch", "perhaps"],
            ["plan"],
            ["plan", "-m", MODEL, "--vram-budget", "much"],
            ["plan", "-m", MODEL, "-c", "-1"],
            ["logits", "-m", MODEL, "--tokens", tokens],
            ["perplexity", "-m", MODEL, "-f", text, "-c", "2"],
            ["synth", "--shape", "GPT-5", "-o", self.folder / "x.gguf"],
            ["synth", "--shape", "OLMoE-1B-7B", "--type", "Q3", "-o", self.folder / "x.gguf"],
            ["synth", "--shape", "OLMoE-1B-7B", "--vocabulary", "10", "-o", self.folder / "x.gguf"],
            ["inspect"],
        ):
            with self.subTest(arguments):
                result = self.refused(2, ["--help"], *arguments)
                self.assertEqual(result.stdout, b"")

    def test_files_that_are_not_there(self):
        for arguments in (["run", "-p", "a"], ["tokenize", "-p", "a"], ["perplexity", "-f", MODEL],
                          ["logits", "--tokens", MODEL, "-o", "x"]):
            with self.subTest(arguments):
                self.refused(2, ["/no/such/model"], *arguments, "-m", "/no/such/model")
                self.refused(2, [self.folder], *arguments, "-m", self.folder)
        self.refused(2, ["/no/such/text"], "run", "-m", MODEL, "-f", "/no/such/text")

    def test_paths_that_lead_nowhere(self):
        (self.folder / "a").symlink_to("b")
        (self.folder / "b").symlink_to("a")
        (self.folder / "gone").symlink_to("../blobs/0123")
        os.mkfifo(self.folder / "pipe")
        for code, path, words in ((2, self.folder / "a", ["Too many levels of symbolic links"]),
                                  (2, self.folder / "gone", ["link to '../blobs/0123', which is missing"]),
                                  (2, MODEL / "x", ["Not a directory"]),
                                  (2, self.folder, ["is a folder"]),
                                  (1, self.folder / "pipe", ["is a pipe"]),
                                  (1, "/dev/null", ["is a device"])):
            for command in (["inspect"], ["run", "-p", "a", "-m"]):
                with self.subTest(path=path, command=command[0]):
                    self.refused(code, [path, *words], *command, path)

    def test_a_folder_without_access(self):
        closed = self.folder / "closed"
        closed.mkdir()
        (closed / "model.gguf").write_bytes(b"GGUF")
        closed.chmod(0)
        self.addCleanup(closed.chmod, 0o700)
        self.folder.chmod(0o755)
        command = [PROGRAM, "inspect", closed / "model.gguf"]
        if os.geteuid() == 0:  # whom no permissions stop
            try:
                result = subprocess.run(command, capture_output=True, user=65534, group=65534, extra_groups=[])
            except PermissionError:
                self.skipTest("the program is out of reach of other users")
        else:
            result = subprocess.run(command, capture_output=True)
        self.assertEqual(result.returncode, 2, result.stderr)
        self.assertIn(b"Permission denied; check the permissions", result.stderr)

    def test_texts_from_the_standard_input(self):
        ids = vkmoe("tokenize", "-m", MODEL, "-p", "The package").stdout
        self.assertEqual(vkmoe("tokenize", "-m", MODEL, "-f", "-", stdin="The package").stdout, ids)


class Devices(Case):
    def test_digits_in_a_name_choose_nothing(self):
        name = json.loads(vkmoe("devices", "--json").stdout)[0]["name"]
        for wish in ("5", "1.", "99"):
            for environment, arguments in ((None, ["--device", wish]), ({"VKMOE_DEVICE": wish}, [])):
                with self.subTest(wish=wish, arguments=arguments):
                    self.refused(1, [f"'{wish}'", f"0: {name}"], "run", "-m", MODEL, "-p", "a", *arguments,
                                 env=environment)
        self.assertEqual(vkmoe("plan", "-m", MODEL, "--device", name.split()[0].upper()).returncode, 0)

    def test_a_report_has_what_a_bug_report_needs(self):
        listed = json.loads(vkmoe("devices", "--json").stdout)[0]
        result = vkmoe("devices", "--report", env={"VKMOE_LOG": "warn"})
        self.assertEqual(result.returncode, 0, result.stderr)
        report = result.stdout.decode()
        self.assertIn(vkmoe("--version").stdout.decode().strip(), report)
        for words in ("compiler:", "system:", os.uname().release, "Vulkan loader:", "VKMOE_LOG=warn", listed["name"],
                      listed["driver"], listed["driver_info"], listed["api_version"], "heap 0:", "extensions:",
                      "features:", "subgroups used:", f"kernels:           {', '.join(listed['kernels'])}"):
            self.assertIn(words, report)
        self.assertEqual(len([line for line in report.splitlines() if len(line) > 20000]), 0)
        self.refused(2, ["--json", "--report"], "devices", "--json", "--report")


class Outputs(Case):
    """An output that is an input is refused before any work; the input stays as it was."""

    def setUp(self):
        super().setUp()
        self.model = self.file("model.gguf", MODEL.read_bytes())
        self.text = self.file("text", "The package is in the archive.")
        self.tokens = self.file("tokens.json", "[1, 2]")
        self.trace = self.file("a.trace", "not read")

    def names_of(self, path):
        """The path itself, through a folder, through a link, and another name of the same file."""
        link = self.folder / "link"
        link.unlink(missing_ok=True)
        link.symlink_to(path)
        other = self.folder / "other"
        other.unlink(missing_ok=True)
        os.link(path, other)
        return [path, path.parent / ".." / path.parent.name / path.name, link, other]

    def check_refused(self, inputs, *arguments):
        for path in inputs:
            before = path.read_bytes()
            for name in self.names_of(path):
                with self.subTest(arguments[0], output=name):
                    result = self.refused(2, [name, path, "--help"], *arguments, name, env=NO_DRIVER)
                    self.assertEqual(result.stdout, b"")
                    self.assertEqual(path.read_bytes(), before)

    def test_every_command_that_writes(self):
        model, text, tokens, trace = self.model, self.text, self.tokens, self.trace
        self.check_refused([model, tokens], "logits", "-m", model, "--tokens", tokens, "-o")
        self.check_refused([model, text], "routes", "-m", model, "-f", text, "-f", MODEL, "--trace")
        self.check_refused([model, text], "run", "-m", model, "-f", text, "--router-statistics")
        self.check_refused([model, text], "perplexity", "-m", model, "-f", text, "--router-statistics")
        for flag in ("--svg", "--json"):
            self.check_refused([trace], "pager-sim", "--trace", trace, flag)

    def test_every_part_of_a_split_model(self):
        parts = [self.file(f"m-{i:05}-of-00003.gguf", f"part {i}") for i in (1, 2, 3)]
        self.check_refused(parts, "logits", "-m", parts[1], "--tokens", self.tokens, "-o")

    def test_two_outputs_that_are_one_file(self):
        report = self.folder / "report"
        for arguments in (["conformance", "--op", "swiglu", "--path", "scalar", "--json", report, "--junit"],
                          ["pager-sim", "--trace", self.trace, "--svg", report, "--json"]):
            self.refused(2, [report, "--json"], *arguments, report, env=NO_DRIVER)
            self.refused(2, [report, "--json"], *arguments, self.folder / "." / report.name, env=NO_DRIVER)
            self.assertFalse(report.exists())

    def test_other_outputs_are_not(self):
        output = self.file("out.npy", "older")
        result = vkmoe("logits", "-m", self.model, "--tokens", self.tokens, "-o", output)
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertGreater(output.stat().st_size, 100)
        result = vkmoe("logits", "-m", self.model, "--tokens", self.tokens, "-o", "/dev/stdout")
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertEqual(result.stdout, output.read_bytes())


class BadModels(Case):
    def check(self, name, content, *words):
        path = self.file(name, content)
        output = self.folder / "out.npy"
        tokens = self.file("tokens.json", "[1]")
        for arguments in (["run", "-m", path, "-p", "a"],
                          ["logits", "-m", path, "--tokens", tokens, "-o", output],
                          ["perplexity", "-m", path, "-f", tokens]):
            with self.subTest(name=name, command=arguments[0]):
                self.refused(1, [path, *words], *arguments)
                self.assertEqual(sorted(p.name for p in self.folder.iterdir()), sorted({name, "tokens.json"}))
        path.unlink()

    def test_no_gguf(self):
        self.check("text.gguf", "This is no model at all, but a text that is long enough for a header.")
        self.check("empty.gguf", b"")

    def test_truncated(self):
        whole = MODEL.read_bytes()
        for size in (20, 5000, len(whole) // 2, len(whole) - 1):
            self.check("truncated.gguf", whole[:size])

    def test_unsupported_architecture(self):
        self.check("mamba.gguf", gguf({"general.architecture": "mamba"}), "mamba")

    def test_no_architecture(self):
        self.check("bare.gguf", gguf({"general.name": "bare"}), "general.architecture")

    def test_missing_hyper_parameters(self):
        self.check("short.gguf", gguf({"general.architecture": "qwen3moe"}), "qwen3moe.")

    def test_tensor_outside_the_file(self):
        self.check("outside.gguf", gguf({"general.architecture": "qwen3moe"}, [("blk.0.x", 0, [1 << 20], 0)]),
                   "blk.0.x")

    def test_unknown_type(self):
        self.check("type.gguf", gguf({"general.architecture": "qwen3moe"}, [("odd", 99, [4], 0)]), "odd")


class WithoutDevice(Case):
    def test_commands_that_need_one_say_so(self):
        self.refused(1, ["ulkan"], "devices", env=NO_DRIVER)
        self.refused(1, ["ulkan"], "run", "-m", MODEL, "-p", "a", env=NO_DRIVER)

    def test_commands_that_need_none_work(self):
        result = vkmoe("inspect", MODEL, env=NO_DRIVER)
        self.assertEqual(result.returncode, 0, result.stderr)
        for fact in ("qwen3moe", "14.4 M", "16 per layer, 2 active per token", "4096 tokens"):
            self.assertIn(fact, result.stdout.decode())
        inspected = json.loads(vkmoe("inspect", MODEL, "--json", env=NO_DRIVER).stdout)
        self.assertEqual(inspected["metadata"]["qwen3moe.expert_count"], 16)
        self.assertEqual(len(inspected["metadata"]["tokenizer.ggml.tokens"]), 4096)
        self.assertEqual(len(inspected["tensors"]), 50)
        experts = sum(tensor["bytes"] for tensor in inspected["tensors"] if "_exps." in tensor["name"])
        everything = sum(tensor["bytes"] for tensor in inspected["tensors"])
        self.assertEqual(inspected["experts_bytes"], experts)
        self.assertEqual(inspected["dense_bytes"], everything - experts)
        classes = inspected["expert_classes"]
        self.assertEqual(sum(16 * size["expert_bytes"] * size["layers"] for size in classes), experts)
        for fact in ("dense weights", "one expert", "experts per layer", "all experts", "minimum"):
            self.assertIn(fact, result.stdout.decode())

        text = "def read(x): # caf\u00e9 \U0001F600"
        ids = json.loads(vkmoe("tokenize", "-m", MODEL, "-p", text, "--json", env=NO_DRIVER).stdout)
        self.assertTrue(ids and all(isinstance(i, int) for i in ids))
        from_file = vkmoe("tokenize", "-m", MODEL, "-f", self.file("text", text), "--json", env=NO_DRIVER)
        self.assertEqual(json.loads(from_file.stdout), ids)
        lines = vkmoe("tokenize", "-m", MODEL, "-p", "def", env=NO_DRIVER).stdout.decode()
        self.assertIn("'def'", lines)

    def test_special_tokens_can_be_text(self):
        special = json.loads(vkmoe("tokenize", "-m", MODEL, "-p", "<|endoftext|>", "--json").stdout)
        self.assertEqual(special, [0])
        plain = json.loads(vkmoe("tokenize", "-m", MODEL, "-p", "<|endoftext|>", "--json", "--no-special").stdout)
        self.assertNotIn(0, plain)

    def test_synth_writes_whole_files_only(self):
        self.refused(1, ["/no/such/folder"], "synth", "--shape", "OLMoE-1B-7B", "--layers", 1, "-o",
                     "/no/such/folder/x.gguf")
        path = self.folder / "synthetic.gguf"
        arguments = ["synth", "--shape", "olmoe-1b-7b", "--type", "q4_k", "--layers", 1, "--vocabulary", 300]
        result = vkmoe(*arguments, "-o", path, env=NO_DRIVER)
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertEqual([p.name for p in self.folder.iterdir()], ["synthetic.gguf"])
        self.assertIn("64 per layer, 8 active per token", vkmoe("inspect", path).stdout.decode())


class Device(Case):
    def test_devices(self):
        result = vkmoe("devices")
        self.assertEqual(result.returncode, 0, result.stderr)
        devices = json.loads(vkmoe("devices", "--json").stdout)
        self.assertTrue(devices)
        self.assertIn(devices[0]["name"], result.stdout.decode())
        self.assertEqual(sum(device["default"] for device in devices), 1)

    def test_unknown_device(self):
        self.refused(1, ["no such GPU"], "run", "-m", MODEL, "-p", "a", "--device", "no such GPU")


class Plan(Case):
    def plan(self, *arguments):
        result = vkmoe("plan", "-m", MODEL, "--json", *arguments)
        self.assertEqual(result.returncode, 0, result.stderr)
        return json.loads(result.stdout)

    def test_says_what_goes_where(self):
        result = vkmoe("plan", "-m", MODEL, "-c", 300)
        self.assertEqual(result.returncode, 0, result.stderr)
        for fact in (MODEL, "device memory", "dense weights", "KV cache", "300 tokens", "tokens/s"):
            self.assertIn(str(fact), result.stdout.decode())
        plan = self.plan("-c", 300)
        self.assertTrue(plan["fits"])
        self.assertEqual(plan["context"], 300)
        inspected = json.loads(vkmoe("inspect", MODEL, "--json").stdout)
        # Tables, padding and norms in float32 come on top.
        for key in ("dense_bytes", "experts_bytes"):
            self.assertGreaterEqual(plan[key], inspected[key])
            self.assertLess(plan[key], 1.02 * inspected[key] + (1 << 20))
        self.assertGreater(self.plan("-c", 600)["kv_cache_bytes"], 1.9 * plan["kv_cache_bytes"])
        self.assertGreater(plan["tokens_per_second"], 0)

    def test_a_speed_that_cannot_be_measured_fails_nothing(self):
        for budget in ("20M", "1G"):
            arguments = ["plan", "-m", MODEL, "-c", 300, "--vram-budget", budget]
            result = vkmoe(*arguments, env={"VKMOE_FAULTS": "device_allocation"})
            self.assertEqual(result.returncode, 0, result.stderr)
            self.assertRegex(result.stdout.decode(), r"(?m)^expected speed: not measured\n +reason +.*cannot allocate")
            self.assertIn("dense weights", result.stdout.decode())

    def test_budgets_are_kept(self):
        least = self.plan("-c", 300, "--pager", "device")["least_vram_budget"]
        slots = 0
        for budget in (least, least + (2 << 20), least + (8 << 20)):
            plan = self.plan("-c", 300, "--vram-budget", budget)
            self.assertTrue(plan["fits"] and plan["paged"], plan)
            self.assertEqual(plan["vram_budget"], budget)
            self.assertGreater(plan["slots"], slots)
            slots = plan["slots"]
            parts = ("dense_bytes", "kv_cache_bytes", "activation_bytes", "slot_bytes", "ring_bytes")
            self.assertLessEqual(sum(plan[part] for part in parts), budget)
        self.assertTrue(0 < plan["hit_rate"] < 1)
        self.assertGreater(plan["link_seconds"], 0)

    def test_the_least_budget_is_the_least(self):
        text = vkmoe("run", "-m", MODEL, "-p", "It was a dark night", "-n", 8, "-c", 100, "--temp", 0)
        self.assertEqual(text.returncode, 0, text.stderr)
        for pager in ("device", "host"):
            budget = self.plan("-c", 100, "--pager", pager)["least_vram_budget"]
            arguments = ["run", "-m", MODEL, "-p", "It was a dark night", "-n", 8, "-c", 100, "--temp", 0, "--pager", pager]
            paged = vkmoe(*arguments, "--vram-budget", budget)
            self.assertEqual(paged.returncode, 0, paged.stderr)
            self.assertEqual(paged.stdout, text.stdout)
            self.refused(1, ["smallest --vram-budget"], *arguments, "--vram-budget", budget - 8192)
            for too_small in ("1M", "4M", budget // 2):
                self.refused(1, ["smallest --vram-budget"], *arguments, "--vram-budget", too_small)

    def test_a_budget_that_is_too_small(self):
        plan = self.plan("--vram-budget", "1M")
        self.assertFalse(plan["fits"])
        self.assertNotIn("tokens_per_second", plan)
        text = vkmoe("plan", "-m", MODEL, "--vram-budget", "1M").stdout.decode()
        self.assertIn("does not fit", text)
        self.assertIn(f"--vram-budget {plan['least_vram_budget']}", text)

    def test_sizes_below_a_mebibyte_are_not_zero(self):
        for option in ("--vram-budget", "--ram-budget"):
            for budget in ("1", "100K", "900K"):
                with self.subTest(option=option, budget=budget):
                    result = self.refused(1, ["iB"], "run", "-m", MODEL, "-p", "a", option, budget)
                    self.assertNotRegex(result.stderr.decode(), r"\b0(\.0+)? [KMG]iB")
        result = self.refused(1, ["900.00 KiB"], "run", "-m", MODEL, "-p", "a", "--vram-budget", "900K")

    def test_shares(self):
        whole = self.plan("--vram-budget", "100%")["vram_budget"]
        self.assertAlmostEqual(self.plan("--vram-budget", "50%")["vram_budget"], whole / 2, delta=1)


class Run(Case):
    def run_model(self, *arguments):
        result = vkmoe("run", "-m", MODEL, *arguments)
        self.assertEqual(result.returncode, 0, result.stderr)
        return result.stdout.decode(), result.stderr.decode()

    def test_streams_text_and_tells_speed_and_experts(self):
        out, errors = self.run_model("-p", "The package", "-n", 12, "--temp", 0)
        self.assertTrue(out.startswith("The package "), out)
        self.assertTrue(out.endswith("\n"))
        self.assertRegex(errors, r"(?m)^device: \S")
        self.assertRegex(errors, r"(?m)^prompt \d+ tokens, [\d.]+ tok/s; decode \d+ tokens, [\d.]+ tok/s$")
        self.assertRegex(errors, r"(?m)^experts: \d+ of 64 used; busiest layer \d expert \d+ with \d+% of its layer's "
                                 r"routes$")

    def test_counts_what_was_given_and_what_was_written(self):
        for prompt, n_prompt in (("The", 1), ("a" + " a" * 512, 513)):
            tokens = json.loads(vkmoe("tokenize", "-m", MODEL, "-p", prompt, "--json").stdout)
            self.assertEqual(len(tokens), n_prompt)
            for n_written in (1, 3):
                for temperature in (0, 1):  # chosen on the device, and on the host
                    with self.subTest(n_prompt=n_prompt, n_written=n_written, temperature=temperature):
                        _, errors = self.run_model("-p", prompt, "-n", n_written, "--temp", temperature, "--ignore-end")
                        self.assertRegex(errors, rf"(?m)^prompt {n_prompt} tokens?, [\d.]+ tok/s; "
                                                 rf"decode {n_written} tokens?, [\d.]+ tok/s$")

    def test_says_who_pages_experts(self):
        arguments = ["-p", "The package", "-n", 6, "--temp", 0]
        resident, errors = self.run_model(*arguments)
        self.assertNotIn("paged", errors)
        for pager, prefetch in (("device", "on"), ("host", "off")):
            out, errors = self.run_model(*arguments, "--pager", pager, "--prefetch", prefetch)
            self.assertEqual(out, resident)
            who = "device" if pager == "device" else "host, copied by (its threads|a queue)"
            self.assertRegex(errors, rf"(?m)^experts paged by the {who} \(link: [\d.]+ GB/s by shader reads, [\d.]+ GB/s by "
                                     r"queue copies(, [\d.]+ GB/s by host threads)?, round trip \d+ us\); all 64 in "
                                     r"[\d.]+ MiB of host memory$")

    def test_prompt_from_a_file_and_not_shown(self):
        shown, _ = self.run_model("-p", "The package", "-n", 12, "--temp", 0)
        hidden, _ = self.run_model("-f", self.file("prompt", "The package"), "-n", 12, "--temp", 0, "--no-prompt")
        self.assertEqual("The package" + hidden, shown)

    def test_seeds(self):
        texts = [self.run_model("-p", "The", "-n", 16, "--temp", 1.5, "--seed", seed)[0] for seed in (1, 1, 2)]
        self.assertEqual(texts[0], texts[1])
        self.assertNotEqual(texts[0], texts[2])

    def test_a_penalty_and_a_profile(self):
        out, errors = self.run_model("-p", "The package", "-n", 8, "--temp", 0, "--repeat-penalty", 1.3, "--profile",
                                     "--kv", "q8_0")
        self.assertTrue(out.startswith("The package"))
        self.assertGreater(len(errors.splitlines()), 5)

    def test_router_statistics(self):
        report = self.folder / "routers.json"
        text = ["-p", "The package is", "-n", 4, "--temp", 0]
        plain, _ = self.run_model(*text)
        out, errors = self.run_model(*text, "--router-statistics", report)
        self.assertEqual(out, plain)
        self.assertIn("aux loss", errors)
        layers = json.loads(report.read_text())["layers"]
        self.assertEqual([layer["layer"] for layer in layers], [0, 1, 2, 3])
        for layer in layers:
            self.assertEqual(sum(layer["tokens_per_expert"]), 2 * layer["tokens"])
            self.assertAlmostEqual(sum(layer["mean_probability"]), 1, places=5)
            loss = sum(n * p for n, p in zip(layer["tokens_per_expert"], layer["mean_probability"]))
            self.assertAlmostEqual(layer["auxiliary_loss"], 16 * loss / (2 * layer["tokens"]), places=6)
        _, errors = self.run_model("--router-statistics", *text)
        self.assertIn("aux loss", errors)
        result = self.refused(1, ["/nonexistent/r.json"], "run", "-m", MODEL, "-p", "The", "--router-statistics",
                              "/nonexistent/r.json")
        self.assertEqual(result.stdout, b"")

    def test_prompts_that_do_not_fit(self):
        self.refused(1, ["context of 16"], "run", "-m", MODEL, "-p", "word " * 40, "-c", 16)
        self.refused(1, ["no tokens"], "run", "-m", MODEL, "-p", "")

    def test_the_context_ends_the_text(self):
        _, errors = self.run_model("-p", "The", "-c", 8, "-n", 100, "--ignore-end")
        self.assertIn("context of 8 tokens is full", errors)

    def test_closed_output_is_no_noise(self):
        process = subprocess.Popen([PROGRAM, "run", "-m", MODEL, "-p", "The", "-n", "1000", "--ignore-end"],
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        process.stdout.read(5)
        process.stdout.close()
        errors = process.stderr.read().decode()
        process.stderr.close()
        self.assertEqual(process.wait(timeout=120), 1)
        self.assertEqual([line for line in errors.splitlines() if not line.startswith(("device:", "loading:"))], [])

    def test_full_output_is_an_error(self):
        if not os.path.exists("/dev/full"):
            self.skipTest("no /dev/full")
        with open("/dev/full", "wb") as full:
            result = subprocess.run([PROGRAM, "inspect", MODEL], stdout=full, stderr=subprocess.PIPE, timeout=60)
        self.assertEqual(result.returncode, 1)
        self.assertIn(b"vkmoe: cannot write to the standard output", result.stderr)

    def test_an_interrupt_ends_the_text_with_its_statistics(self):
        process = subprocess.Popen([PROGRAM, "run", "-m", MODEL, "-p", "The", "-n", "2000", "--ignore-end"],
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        process.stdout.read(5)
        process.send_signal(signal.SIGINT)
        out, errors = process.communicate(timeout=120)
        self.assertEqual(process.returncode, -signal.SIGINT, errors)
        self.assertTrue(out.endswith(b"\n"))
        self.assertIn(b"tok/s", errors)


class Logits(Case):
    def logits(self, tokens, *arguments):
        path = self.folder / "logits.npy"
        result = vkmoe("logits", "-m", MODEL, "--tokens", self.file("tokens.json", json.dumps(tokens)), "-o", path,
                       *arguments)
        self.assertEqual(result.returncode, 0, result.stderr)
        header, numbers = read_npy(path)
        self.assertEqual(header, {"descr": "<f4", "fortran_order": False, "shape": (len(tokens), 4096)})
        self.assertEqual(len(numbers), len(tokens) * 4096)
        return numbers

    def test_prefill_then_decode_is_all_at_once(self):
        tokens = [290, 1263, 8, 88, 9, 100, 200, 300, 400, 1, 2, 3]
        whole = self.logits(tokens)
        power = sum(x * x for x in whole)
        self.assertGreater(power, 0)
        for arguments in (["--split", 5], ["--split", 0], ["--micro-batch", 3], ["-c", 100]):
            with self.subTest(arguments):
                other = self.logits(tokens, *arguments)
                error = sum((a - b) ** 2 for a, b in zip(whole, other))
                self.assertLessEqual(error / power, 1e-6)

    def test_bad_tokens_leave_no_file(self):
        output = self.folder / "out.npy"
        for content, word in (("[1, 2", "JSON"), ("{}", "array"), ("[1, 4096]", "element 1"), ("[-1]", "element 0"),
                              ("[1, 2.5]", "element 1"), ("[]", "array")):
            with self.subTest(content):
                path = self.file("tokens.json", content)
                self.refused(1, [path, word], "logits", "-m", MODEL, "--tokens", path, "-o", output)
                self.assertEqual([p.name for p in self.folder.iterdir()], ["tokens.json"])

    def test_more_tokens_than_context(self):
        path = self.file("tokens.json", "[1, 2, 3]")
        self.refused(1, ["context of 2"], "logits", "-m", MODEL, "--tokens", path, "-c", 2, "-o", self.folder / "out")
        self.assertEqual([p.name for p in self.folder.iterdir()], ["tokens.json"])

    def test_a_folder_that_is_not_there(self):
        path = self.file("tokens.json", "[1]")
        self.refused(1, ["/no/such/folder"], "logits", "-m", MODEL, "--tokens", path, "-o", "/no/such/folder/out.npy")


class Perplexity(Case):
    def test_estimate(self):
        text = (ROOT / "samples/models/held-out/english.txt").read_text()[:2500]
        result = vkmoe("perplexity", "-m", MODEL, "-f", self.file("text", text), "-c", 128)
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertRegex(result.stdout.decode(), r"^estimate: PPL = [\d.]+ \+/- [\d.]+ \(\d+ tokens, [\d.]+ s, "
                                                 r"[\d.]+ tok/s\)\n$")
        # The model was trained on such text: a few dozen, where guessing has 4096.
        self.assertTrue(5 < float(result.stdout.split()[3]) < 100, result.stdout)

    def test_a_text_that_is_too_short(self):
        self.refused(1, ["text", "512"], "perplexity", "-m", MODEL, "-f", self.file("text", "Too short."))


class Routes(Case):
    def test_a_trace_has_every_token_of_every_text(self):
        trace = self.folder / "two.trace"
        texts = [self.file("a.txt", "The package is in the archive."), self.file("b.txt", "def main(): return 0")]
        result = vkmoe("routes", "-m", MODEL, "-f", texts[0], "-f", texts[1], "-n", 5, "-c", 3, "--trace", trace)
        self.assertEqual(result.returncode, 0, result.stderr)
        out = result.stdout.decode()
        self.assertIn("10 tokens, 2 of 16 experts active in each of 4 layers", out)
        self.assertRegex(out, r"look-ahead: \d+\.\d% .* among its top 2 predictions, \d+\.\d% among all 4\n$")
        raw = trace.read_bytes()
        version, n_layers, n_experts, n_used, n_predicted, n_name = struct.unpack("<6I", raw[8:32])
        self.assertEqual((version, n_layers, n_experts, n_used, n_predicted), (1, 4, 16, 2, 4))
        # Each token: whether it begins a sequence, then 4 layers of 2 experts, 3 of them with 4 named ones.
        size = 1 + 4 * 2 + 3 * 4 * 3
        tokens = [raw[at:at + size] for at in range(32 + n_name, 32 + n_name + 10 * size, size)]
        self.assertEqual([token[0] for token in tokens], [1, 0, 0, 1, 0] * 2)
        for token in tokens:
            used, named = set(token[1:3]), token[3:7]
            self.assertEqual(len(used), 2)
            self.assertEqual(len(set(named)), 4)
            probabilities = struct.unpack("<4H", token[7:15])
            self.assertEqual(sorted(probabilities, reverse=True), list(probabilities))
        self.assertEqual(raw[32 + n_name + 10 * size:], struct.pack("<BQ", 2, 10))

    def test_texts_and_folders_that_are_not_there(self):
        text = self.file("a.txt", "")
        self.refused(1, [text, "no tokens"], "routes", "-m", MODEL, "-f", text, "--trace", self.folder / "t")
        text = self.file("a.txt", "The")
        self.refused(1, ["/no/such"], "routes", "-m", MODEL, "-f", text, "--trace", "/no/such/t")
        self.refused(2, ["--trace"], "routes", "-m", MODEL, "-f", text)


class BrokenLogits(Case):
    """A model whose logit of one token is NaN: an error wherever logits are used."""

    def setUp(self):
        super().setUp()
        raw = bytearray(MODEL.read_bytes())
        # The output norm is the last tensor, the embedding, which is the output too, the first.
        norm = raw.index(b"output_norm.weight") + len("output_norm.weight")
        n_columns, kind, offset = struct.unpack_from("<QIQ", raw, norm + 4)
        self.assertEqual(kind, 0)
        data = len(raw) - 4 * n_columns - offset
        row = data + 300 * 2 * n_columns
        raw[row:row + 2 * n_columns] = n_columns * struct.pack("<H", 0x7E00)
        self.model = self.file("broken.gguf", bytes(raw))

    def broken(self, position, *arguments):
        return self.refused(1, ["token 300 is nan", f"position {position}"], *arguments)

    def test_generation(self):
        self.broken(0, "run", "-m", self.model, "-p", "a", "-n", 3, "--temp", 0)
        self.broken(0, "run", "-m", self.model, "-p", "a", "-n", 3)

    def test_perplexity(self):
        text = (ROOT / "samples/models/held-out/english.txt").read_text()[:2500]
        result = self.broken(63, "perplexity", "-m", self.model, "-f", self.file("text", text), "-c", 128)
        self.assertEqual(result.stdout, b"")

    def test_bench(self):
        self.broken(19, "bench", "-m", self.model, "-p", 20, "-n", 6, "-r", 1)
        self.broken(0, "bench", "-m", self.model, "-p", 0, "-n", 6, "-r", 1)

    def test_logits(self):
        tokens = self.file("tokens.json", "[1, 2, 3]")
        output = self.folder / "out.npy"
        self.broken(0, "logits", "-m", self.model, "--tokens", tokens, "-o", output)
        self.assertFalse(output.exists())
        result = vkmoe("logits", "-m", self.model, "--tokens", tokens, "-o", output, "--allow-nonfinite")
        self.assertEqual(result.returncode, 0, result.stderr)
        numbers = read_npy(output)[1]
        self.assertEqual([i for i, x in enumerate(numbers) if x != x], [300, 4096 + 300, 2 * 4096 + 300])


class Bench(Case):
    def test_speeds_for_people_and_programs(self):
        result = vkmoe("bench", "-m", MODEL, "-p", 20, "-n", 6, "-r", 3)
        self.assertEqual(result.returncode, 0, result.stderr)
        lines = result.stdout.decode().splitlines()
        self.assertRegex(lines[0], r"^model: .*(olmoe|qwen3moe|llama).* parameters, [\d.]+ MiB in device memory$")
        self.assertRegex(lines[1], r"^device: .+, .+$")
        for line, what in ((lines[2], "prompt of 20"), (lines[3], "decode of 6")):
            self.assertRegex(line, rf"^{what} tokens: [\d.]+ tok/s \(median of 3; [\d.]+ to [\d.]+\)$")

        result = vkmoe("bench", "-m", MODEL, "-p", 0, "-n", 4, "-r", 2, "--json")
        self.assertEqual(result.returncode, 0, result.stderr)
        report = json.loads(result.stdout)
        self.assertIsNone(report["prompt"])
        speed = report["decode"]["tokens_per_second"]
        self.assertEqual(len(speed["all"]), 2)
        self.assertAlmostEqual(speed["median"], sum(speed["all"]) / 2)
        self.assertEqual((speed["least"], speed["most"]), (min(speed["all"]), max(speed["all"])))
        self.assertGreater(report["peak_device_bytes"], report["weight_bytes"])

    def test_a_text_as_prompt(self):
        text = self.file("a.txt", "The package is in the archive.")
        result = vkmoe("bench", "-m", MODEL, "-f", text, "-p", 4, "-n", 0, "-r", 1)
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertNotIn("decode", result.stdout.decode())
        self.refused(1, [text, "400"], "bench", "-m", MODEL, "-f", text, "-p", 400)

    def test_steps_of_several_rows(self):
        plot = self.folder / "plot.svg"
        arguments = ["bench", "-m", MODEL, "-p", 10, "-r", 2]
        result = vkmoe(*arguments, "--batch", "1-3,8", "--svg", plot)
        self.assertEqual(result.returncode, 0, result.stderr)
        lines = result.stdout.decode().splitlines()
        self.assertEqual(lines[2], "steps after 10 tokens: median of 2")
        self.assertEqual(lines[3].split(), ["rows", "ms", "tok/s"])
        self.assertEqual([line.split()[0] for line in lines[4:8]], ["1", "2", "3", "8"])
        for line in lines[4:8]:
            rows, milliseconds, speed = map(float, line.split()[:3])
            self.assertAlmostEqual(speed, 1000 * rows / milliseconds, delta=0.02 * speed)
        self.assertRegex(lines[8], "^(no cliff|cliffs? at )")
        self.assertEqual(len(lines), 9)
        svg = xml.etree.ElementTree.parse(plot).getroot()
        self.assertEqual(svg.tag.split("}")[1], "svg")
        self.assertEqual(len([mark for mark in svg.iter() if mark.tag.endswith("circle")]), 4 + 1)  # and the legend's

        result = vkmoe(*arguments, "--batch", "4,2", "--json")
        self.assertEqual(result.returncode, 0, result.stderr)
        report = json.loads(result.stdout)
        self.assertEqual([step["rows"] for step in report["steps"]], [2, 4])
        self.assertEqual(len(report["steps"][0]["seconds"]["all"]), 2)
        self.assertLessEqual(len(report["cliffs"]), 1)

    def test_bad_lists_of_rows(self):
        for rows in ("0", "x", "3-1", "1,", "1-", "5000", "-3", "1.5"):
            self.refused(1, [rows, "1-64"], "bench", "-m", MODEL, f"--batch={rows}")
        self.refused(2, ["--batch"], "bench", "-m", MODEL, "--svg", self.folder / "plot.svg")
        self.refused(2, ["--tokens", "--batch"], "bench", "-m", MODEL, "--batch", "1", "-n", 4)
        missing = self.folder / "missing/plot.svg"
        self.refused(1, [str(missing)], "bench", "-m", MODEL, "--batch", "1", "--svg", missing)

    def test_nothing_to_measure(self):
        self.refused(1, ["-p", "-n"], "bench", "-m", MODEL, "-p", 0, "-n", 0)


if __name__ == "__main__":
    PROGRAM = sys.argv.pop(1)
    unittest.main()
