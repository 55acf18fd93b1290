"""The program's exit codes where its surroundings fail: 0, 1, 2, or the end by SIGINT that a shell calls 130.

    python3 tests/model/exit_codes_test.py PROGRAM [unittest options]

Every subcommand runs with descriptors closed, with full and closed outputs, with a limit on the size of files, and with
threads and memory refused from some call on. VKMOE_REFUSE_LIBRARY names the library built from refuse.cpp; without it
nothing is refused and no crash is forgiven. In the short form the commands take turns in the conditions; with
VKMOE_LONG_SECONDS every command runs under every condition, and threads and memory are refused at random calls for that
many seconds. A crash or a hang inside a driver is no failure: its stack is appended to the file that
VKMOE_EXIT_CODES_CRASHES names.
"""

import collections
import json
import os
import pathlib
import random
import re
import resource
import signal
import subprocess
import sys
import tempfile
import time
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
MODEL = ROOT / "samples/models/babel-moe-14m-f16.gguf"
TEXT = (ROOT / "samples/models/held-out/english.txt").read_text()[:800]
PROGRAM = ""
REFUSE = os.environ.get("VKMOE_REFUSE_LIBRARY", "")
LONG_SECONDS = float(os.environ.get("VKMOE_LONG_SECONDS", 0))
SECONDS = LONG_SECONDS or 12
SEED = int(os.environ.get("VKMOE_EXIT_CODES_SEED", 1))
CRASHES = os.environ.get("VKMOE_EXIT_CODES_CRASHES", "")
GOOD_CODES = {0, 1, 2, -signal.SIGINT}
HANG_SECONDS = 100
# Libraries that crash or wait for ever by themselves where memory or a file is refused.
DRIVERS = re.compile(r"lvp|lavapipe|swiftshader|vk_swift|gallium|LLVM|libvulkan|VkLayer|vulkan_")
# Whose frames say nothing about who called.
SYSTEM = re.compile(r"libc\.so|libstdc\+\+|libgcc|libpthread|ld-linux|refuse|libm\.so|linux-vdso|\(_ZN?K?St|^\[0x")
GIBIBYTE = 1 << 30

Command = collections.namedtuple("Command", "name arguments prints output is_repeatable needs_device")


class Matrix(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(folder.cleanup)
        cls.folder = pathlib.Path(folder.name)
        text, tokens, trace = (cls.folder / name for name in ("text", "tokens.json", "trace"))
        text.write_text(TEXT)
        tokens.write_text(json.dumps(list(range(1, 40))))
        subprocess.run([PROGRAM, "routes", "-m", MODEL, "-f", text, "-n", "20", "--trace", trace], check=True,
                       capture_output=True)
        output = cls.folder / "output"
        run = ["run", "-m", MODEL, "-p", "The package", "-n", 6, "-c", 64, "--temp", 0]

        def command(name, arguments, prints=True, writes=None, is_repeatable=True, needs_device=True):
            if writes is not None:
                arguments = [*arguments, *([writes] if writes else []), output]
            return Command(name, [str(argument) for argument in (PROGRAM, *arguments)], prints,
                           output if writes is not None else None, is_repeatable, needs_device)

        cls.commands = [
            command("--help", ["--help"], needs_device=False),
            command("--version", ["--version"], needs_device=False),
            command("no command", [], prints=False, needs_device=False),
            command("run", run),
            command("run, paged", [*run, "--vram-budget", "20M", "--profile"]),
            command("run with statistics", run, writes="--router-statistics"),
            command("devices", ["devices"], is_repeatable=False),
            command("inspect", ["inspect", MODEL], needs_device=False),
            command("plan", ["plan", "-m", MODEL, "-c", 64], is_repeatable=False),
            command("tokenize", ["tokenize", "-m", MODEL, "-f", text], needs_device=False),
            command("logits", ["logits", "-m", MODEL, "--tokens", tokens], prints=False, writes="-o"),
            command("perplexity", ["perplexity", "-m", MODEL, "-f", text, "-c", 64], is_repeatable=False),
            command("bench", ["bench", "-m", MODEL, "-p", 8, "-n", 3, "-r", 1], is_repeatable=False),
            command("routes", ["routes", "-m", MODEL, "-f", text, "-n", 9], writes="--trace"),
            command("pager-sim", ["pager-sim", "--trace", trace], writes="--json", needs_device=False),
            command("synth", ["synth", "--shape", "OLMoE-1B-7B", "--type", "Q4_0", "--layers", 1, "--vocabulary", 300],
                    prints=False, writes="-o", needs_device=False),
            command("conformance", ["conformance", "--op", "swiglu", "--path", "scalar", "--seed", 1], writes="--json",
                    is_repeatable=False),
        ]

    def run_to_end(self, command, condition, before=None, env=None, **streams):
        """Its end and what it printed; None after a crash or a hang that is a driver's own."""
        if command.output is not None:
            command.output.unlink(missing_ok=True)
        stack = self.folder / "stack"
        stack.unlink(missing_ok=True)
        env = {**os.environ, **(env or {})}
        if REFUSE:
            env.update({"LD_PRELOAD": REFUSE, "VKMOE_REFUSE_STACK": str(stack)})
        streams = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **streams}
        with subprocess.Popen(command.arguments, preexec_fn=before, env=env, **streams) as process:
            try:
                outputs = process.communicate(timeout=HANG_SECONDS)
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGALRM)  # whose handler writes the stack
                outputs = process.communicate()
        result = subprocess.CompletedProcess(command.arguments, process.returncode, *outputs)
        if result.returncode in GOOD_CODES:
            return result
        frames = stack.read_text().splitlines() if stack.exists() else []
        telling = [frame for frame in frames[1:] if not SYSTEM.search(frame)]
        report = (f"{command.name}, {condition}: ended with {result.returncode}\n{(result.stderr or b'').decode()}\n" +
                  "\n".join(frames))
        self.assertTrue(telling and DRIVERS.search(telling[0]), report)
        if CRASHES:
            with open(CRASHES, "a") as file:
                file.write(report + "\n\n")
        return None

    def start(self, command, condition="", before=None, **streams):
        """Its end, what it printed and what it wrote."""
        result = self.run_to_end(command, condition, before, **streams)
        written = None
        if command.output is not None and command.output.exists() and command.is_repeatable:
            written = command.output.read_bytes()
        self.assertEqual([path.name for path in self.folder.iterdir() if path.name.startswith(".vkmoe")], [])
        return result, written

    def plain(self, command):
        if command.name not in PLAIN:
            PLAIN[command.name] = self.start(command)
            self.assertIsNotNone(PLAIN[command.name][0])
        return PLAIN[command.name]

    def expect(self, command, outputs_fail, before=None, **streams):
        """Runs it with other streams, none of which concerns a driver. outputs_fail: whether stdout cannot be
        written."""
        plain, plain_file = self.plain(command)
        result, written = self.start(command, streams, before, **streams)
        self.assertIsNotNone(result, command.name)
        fails = outputs_fail and command.prints
        self.assertEqual(result.returncode, 1 if fails else plain.returncode, (command.name, result.stderr))
        if fails:
            return result
        self.assertEqual(written, plain_file, command.name)
        if result.stdout is not None and command.is_repeatable:
            self.assertEqual(result.stdout, plain.stdout, command.name)
        return result

    def each(self, conditions, check):
        """check(command, condition) for every command and condition; in the short form those that need a device take
        turns."""
        for i, command in enumerate(self.commands):
            for j, condition in enumerate(conditions):
                if LONG_SECONDS or not command.needs_device or (i + j) % 4 == 0:
                    with self.subTest(command.name, condition=condition):
                        check(command, condition)

    def test_descriptors_that_are_closed(self):
        def check(command, closed):
            def close():
                for descriptor in closed:
                    os.close(descriptor)

            result = self.expect(command, 1 in closed, close)
            if closed == (1,) and command.prints:
                self.assertIn(b"vkmoe: the standard output is closed", result.stderr)

        self.each([(0,), (1,), (2,), (0, 1, 2)], check)

    def test_outputs_that_are_full(self):
        def check(command, streams):
            result = self.expect(command, "stdout" in streams, **{stream: full for stream in streams})
            if streams == ("stdout",) and command.prints:
                self.assertIn(b"vkmoe: cannot write to the standard output: No space left", result.stderr)

        with open("/dev/full", "wb") as full:
            self.each([("stdout",), ("stderr",), ("stdout", "stderr")], check)

    def test_pipes_without_a_reader(self):
        def check(command, streams):
            self.expect(command, "stdout" in streams, **{stream: pipe for stream in streams})

        reading, writing = os.pipe()
        os.close(reading)
        with os.fdopen(writing, "wb") as pipe:
            self.each([("stdout",), ("stderr",), ("stdout", "stderr")], check)

    def test_readers_that_leave_early(self):
        def check(command, script):
            result = subprocess.run(["bash", "-c", script, "bash", *command.arguments], capture_output=True, timeout=300)
            self.assertIn(result.returncode, (0, 1, 2))

        self.each(['"$@" 2>&1 | head -n 1; exit ${PIPESTATUS[0]}'], check)

    def test_a_limit_on_the_size_of_files(self):
        def check(command, condition):
            limit, to_files = condition

            def set_limit():
                resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))

            with open(self.folder / "out", "wb") as out, open(self.folder / "err", "wb") as err:
                result, _ = self.start(command, f"files of {limit} bytes", set_limit,
                                       **({"stdout": out, "stderr": err} if to_files else {}))
            if result is not None and limit == 0 and ((command.prints and to_files) or command.output):
                self.assertEqual(result.returncode, 1, result.stderr)

        self.each([(limit, to_files) for limit in (0, 100, 5000) for to_files in (False, True)], check)

    # Threads and memory.

    def counts(self, command):
        """How many threads a plain run starts and how often it calls new."""
        file = self.folder / "counts"
        file.unlink(missing_ok=True)
        self.run_to_end(command, "nothing refused", env={"VKMOE_REFUSE_COUNTS": str(file)})
        return [int(word) for word in file.read_text().split()]

    def refuse(self, command, variables):
        """Runs it with something refused."""
        result = self.run_to_end(command, variables, env=variables)
        if result is not None and result.returncode != 0 and command.name != "no command":
            self.assertRegex(result.stderr, rb"(?m)^vkmoe: .", (command.name, variables))

    def for_a_while(self, attempt, share):
        if not REFUSE:
            self.skipTest("VKMOE_REFUSE_LIBRARY is not set")
        chance = random.Random(SEED)
        # Each command once, then as many as there is time for.
        order = chance.sample(self.commands, len(self.commands))
        end = time.monotonic() + SECONDS * share
        n = 0
        while time.monotonic() < end:
            command = order[n % len(order)]
            n += 1
            if command.name not in COUNTS:
                COUNTS[command.name] = self.counts(command)
            with self.subTest(command.name, n=n):
                attempt(command, chance, *COUNTS[command.name])

    def test_threads_that_are_refused(self):
        def attempt(command, chance, n_threads, _):
            self.refuse(command, {"VKMOE_REFUSE_THREADS_AFTER": str(chance.randint(0, n_threads))})

        self.for_a_while(attempt, 0.4)

    def test_memory_that_is_refused(self):
        def attempt(command, chance, _, n_allocations):
            # As likely near the end as near the beginning: that is where the device is in use.
            near = int(n_allocations ** chance.random())
            after = near if chance.random() < 0.3 else n_allocations - near
            self.refuse(command, {"VKMOE_REFUSE_MEMORY_AFTER": str(max(after, 0))})

        self.for_a_while(attempt, 0.4)

    def test_address_space_that_is_refused(self):
        def attempt(command, chance, n_threads, _):
            if n_threads > 0:
                at = chance.randint(1, n_threads)
                self.refuse(command, {"VKMOE_REFUSE_SPACE": f"{at}:{int(GIBIBYTE * chance.random() ** 4)}"})

        self.for_a_while(attempt, 0.2)


PLAIN = {}
COUNTS = {}

if __name__ == "__main__":
    PROGRAM = sys.argv.pop(1)
    unittest.main()
