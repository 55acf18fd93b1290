"""The program on a terminal: the progress bar, errors, Ctrl-C.

    python3 tests/model/terminal_test.py PROGRAM [unittest options]
"""

import fcntl
import os
import pathlib
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import tempfile
import termios
import time
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
MODEL = ROOT / "samples/models/babel-moe-14m-f16.gguf"
TEXT = ROOT / "samples/models/held-out/english.txt"
PROGRAM = ""
CONTROL_C = b"\x03"
BAR = re.compile(r"\w+ \[[#-]+\] +\d+%")


# One state of a line that is drawn again: from the line's beginning to the sequence that erases its rest.
DRAWN = re.compile(rb"\r([^\r\n\x1b]+)\x1b\[K")
# The text of a generation that is under way, from the prompt "The" on.
GENERATES = re.compile(rb"\x1b\[KThe.{20}", re.S)


def lines_shown(output):
    """The lines that a very wide terminal shows in the end: text, carriage returns, line feeds, and the sequences to
    erase the rest of a line and for colours."""
    lines = [""]
    column = 0
    for part in re.findall(r"\x1b\[[\d;]*[A-Za-z]|.|\n|\r", output.decode("utf-8", "replace"), re.S):
        if part == "\r":
            column = 0
        elif part == "\n":
            lines.append("")
            column = 0
        elif part == "\x1b[K":
            lines[-1] = lines[-1][:column]
        elif not part.startswith("\x1b"):
            lines[-1] = lines[-1][:column] + part + lines[-1][column + 1:]
            column += 1
    return lines


def on_terminal(arguments, columns=80, term="xterm", until=None, send=b"", stdout=None, limit=120):
    """Runs a command on a terminal of its own. Returns everything it showed and how it ended, as Popen.returncode.
    Once `until` is there, `send` is typed."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.environ.update({"TERM": term, "VKMOE_LOG": "warn"})
        os.environ.pop("COLUMNS", None)
        if stdout is not None:
            os.dup2(os.open(stdout, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666), 1)
        os.execvp(str(arguments[0]), [str(argument) for argument in arguments])
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    output = b""
    deadline = time.monotonic() + limit
    while time.monotonic() < deadline:
        if not select.select([terminal], [], [], 0.2)[0]:
            continue
        try:
            data = os.read(terminal, 65536)
        except OSError:
            break  # the other side was closed
        if not data:
            break
        output += data
        if until is not None and re.search(until, output):
            os.write(terminal, send)
            until = None
    else:
        os.kill(pid, signal.SIGKILL)
    status = os.waitpid(pid, 0)[1]
    os.close(terminal)
    return output, os.waitstatus_to_exitcode(status)


class Terminal(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def text(self, n_bytes):
        path = self.folder / "text"
        path.write_bytes(TEXT.read_bytes()[:n_bytes])
        return path

    def prompt(self):
        """Long enough for the bar, which waits 100 ms before it is drawn."""
        return ["run", "-m", MODEL, "-f", self.text(1500), "-c", 4096, "--micro-batch", 8, "--no-prompt", "-n", 2]


class Bar(Terminal):
    def expect_drawn_within(self, output, columns):
        """What was drawn, which must leave the last column free: text there would wrap on some terminals."""
        drawn = [line.decode() for line in DRAWN.findall(output)]
        self.assertTrue(drawn, output)
        self.assertLess(max(map(len, drawn)), columns, output)
        return drawn

    def test_it_is_gone_before_the_next_line_and_fits(self):
        for columns in (120, 40, 20, 5):
            with self.subTest(columns=columns):
                output, code = on_terminal([PROGRAM, *self.prompt()], columns)
                self.assertEqual(code, 0, output)
                drawn = self.expect_drawn_within(output, columns)
                if columns >= 40:
                    self.assertTrue(any(BAR.search(line) for line in drawn), output)
                lines = lines_shown(output)
                self.assertEqual([line for line in lines if BAR.search(line)], [])
                device = [line for line in lines if "device:" in line]
                self.assertEqual(len(device), 1)
                self.assertTrue(device[0].startswith("device:"), device)

    def test_it_is_plain_on_a_dumb_terminal(self):
        for term in ("dumb", ""):
            output, code = on_terminal([PROGRAM, *self.prompt()], term=term)
            self.assertEqual(code, 0, output)
            self.assertNotIn(b"\x1b", output)
            self.assertNotIn(b"[#", output)

    def test_wide_notes_are_cut(self):
        output, code = on_terminal([PROGRAM, "conformance", "--quick", "--op", "matvec", "--path", "scalar", "--seed", 1],
                                   60, stdout="/dev/null", until=rb"\] +\d+%", send=CONTROL_C)
        self.assertEqual(code, -signal.SIGINT, output)
        self.expect_drawn_within(output.replace(b"^C", b""), 60)  # which the terminal echoes


class Errors(Terminal):
    def test_an_error_in_mid_text_begins_on_its_own_line(self):
        # The waits of the load and the prompt are fewer, those of the text more.
        output, code = on_terminal(["env", "VKMOE_FAULTS=device_lost:after=60", PROGRAM, "run", "-m", MODEL, "-p", "The",
                                    "-n", 500, "--ignore-end"])
        self.assertEqual(code, 1, output)
        lines = lines_shown(output)
        errors = [line for line in lines if "vkmoe: " in line]
        self.assertEqual(len(errors), 1, output)
        self.assertTrue(errors[0].startswith("vkmoe: "), errors)
        self.assertTrue(any(line.startswith("The") for line in lines), output)


class Interrupts(Terminal):
    def test_generation_ends_by_the_signal_after_its_statistics(self):
        output, code = on_terminal([PROGRAM, "run", "-m", MODEL, "-p", "The", "-n", 4000, "--ignore-end"],
                                   until=GENERATES, send=CONTROL_C)
        self.assertEqual(code, -signal.SIGINT, output)
        self.assertRegex(output, rb"\nprompt .* tok/s; decode .* tok/s")
        self.assertNotIn(b"vkmoe: ", output)

    def test_a_shell_says_130_and_ends_its_loop(self):
        run = f"{PROGRAM} run -m {MODEL} -p The -n 4000 --ignore-end"
        for shell in ("sh", "bash"):
            output, code = on_terminal([shell, "-c", f"for i in 1 2 3; do echo round; {run}; done"],
                                       until=GENERATES, send=CONTROL_C)
            self.assertEqual(output.count(b"round\r\n"), 1, output)
            self.assertEqual(code, -signal.SIGINT, output)
        result = subprocess.run(["sh", "-c", f"timeout -s INT 2 {run}; exit $?"], capture_output=True, timeout=60)
        self.assertIn(result.returncode, (124, 130), result.stderr)

    def test_every_command_ends_by_it(self):
        synth = ["synth", "--shape", "Qwen3-30B-A3B", "-o", self.folder / "big.gguf"]
        for arguments, until in (
            (["perplexity", "-m", MODEL, "-f", TEXT], rb"perplexity"),
            (["bench", "-m", MODEL, "-r", 1000], rb"device:"),
            (["routes", "-m", MODEL, "-f", TEXT, "--trace", self.folder / "t"], rb"routes"),
            (["conformance", "--op", "matvec", "--path", "scalar"], rb"conformance"),
            (synth, rb"writing"),
        ):
            with self.subTest(command=arguments[0]):
                output, code = on_terminal([PROGRAM, *arguments], until=until, send=CONTROL_C)
                self.assertEqual(code, -signal.SIGINT, output)
                self.assertEqual([path.name for path in self.folder.iterdir()], [])
                lines = lines_shown(output.replace(b"^C", b""))
                self.assertEqual([line for line in lines if BAR.search(line)], [])

    def test_an_ignored_interrupt_stays_ignored(self):
        result = subprocess.Popen(["sh", "-c", f"trap '' INT; exec {PROGRAM} run -m {MODEL} -p The -n 200 --ignore-end"],
                                  stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        result.stdout.read(5)
        result.send_signal(signal.SIGINT)
        errors = result.communicate(timeout=120)[1]
        self.assertEqual(result.returncode, 0, errors)


if __name__ == "__main__":
    PROGRAM = sys.argv.pop(1)
    unittest.main()
