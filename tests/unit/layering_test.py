"""Holds the tree to its layering (which folder of src may include which) and to a few rules of form."""

import pathlib
import re
import sys
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]

# What each folder of src stands on. It may include from these and from whatever they stand on.
STANDS_ON = {
    "base": [],
    "formats": ["base"],
    "text": ["base", "formats"],
    "gpu": ["base"],
    "kernels": ["gpu", "formats"],
    "sched": ["kernels"],
    "conformance": ["sched", "kernels", "formats"],
    "experts": ["sched", "formats"],
    "model": ["experts", "sched", "kernels"],
    "engine": ["model", "text"],
    "capi": ["engine"],
    "cli": ["engine", "conformance"],  # beside the public header
    "ggml": ["sched", "kernels", "experts"],
}
# Folders in which no module stands on itself by way of others.
WITHOUT_CIRCLES = ["experts", "sched"]
# Who may include the public header include/vkmoe/vkmoe.h.
PUBLIC_HEADER_USERS = {"capi", "cli"}
# Headers read by C++ and GLSL alike lie here; kernels and what stands on it may include them.
SHADERS = ROOT / "shaders"

MAX_LINES = 800
SOURCE_SUFFIXES = {".h", ".c", ".cpp", ".comp", ".glsl", ".py", ".sh", ".cmake"}
SOURCE_FOLDERS = ("cmake", "include", "samples", "shaders", "src", "tests")
# Spelt in two pieces, or this file would break its own rule.
UNFINISHED = re.compile(r"\b(TO" r"DO|FIX" r"ME)\b")
PRINTS_OR_OPENS = re.compile(r"fmt::print\(|std::print\(|std::(cout|cerr|clog)\b|\b[io]?fstream\b|\b(f?printf|fputs|puts)\(|"
                             r"(?<!\w)::(open|openat|creat)\(|\b(fopen|freopen)\(|stderr_color_sink")
BEGINS_WITH_COMMENT = re.compile(r"(#version [^\n]*\n\s*)?(//|/\*)")
INCLUDE = re.compile(r'^\s*#\s*include\s*(["<])([^">]+)[">]', re.MULTILINE)


def allowed_folders(folder):
    allowed = {folder}
    for below in STANDS_ON[folder]:
        allowed |= allowed_folders(below)
    return allowed


def include_faults(folder, text):
    """What is wrong with the includes of a file of src/folder."""
    faults = []
    for delimiter, path in INCLUDE.findall(text):
        top = path.split("/")[0]
        if path == "vkmoe/vkmoe.h":
            if folder not in PUBLIC_HEADER_USERS:
                faults.append(f"includes the public header {path}, which only {sorted(PUBLIC_HEADER_USERS)} may")
        elif delimiter == '"' and (SHADERS / path).is_file():
            if "kernels" not in allowed_folders(folder):
                faults.append(f'includes "{path}", but src/{folder} lies below kernels')
        elif top in STANDS_ON and "/" in path:
            if top not in allowed_folders(folder):
                faults.append(f'includes "{path}", but src/{folder} may not stand on src/{top}')
        elif delimiter == '"':
            faults.append(f'includes "{path}", which is not written as "folder/file.h" from the root of src')
    return faults


def include_circles(files):
    """Circles of a folder's modules: a module is a header with its source, and stands on the modules that either
    includes. files: text by name, "experts/pager.h"."""
    stands_on = {}
    for name, text in files.items():
        module = name.rsplit(".", 1)[0]
        included = {path.rsplit(".", 1)[0] for _, path in INCLUDE.findall(text)}
        stands_on.setdefault(module, set()).update(included - {module})
    circles = []
    done = set()

    def visit(module, way):
        if module in way:
            circles.append(" -> ".join(way[way.index(module):] + [module]))
        elif module not in done:
            for below in sorted(stands_on.get(module, ())):
                visit(below, way + [module])
            done.add(module)

    for module in sorted(stands_on):
        visit(module, [])
    return circles


def stream_faults(text):
    """Printing and opening that src/base/standard_streams.h is there for: what throws when a stream cannot be
    written, and what may get descriptor 0, 1 or 2."""
    return [f"line {text.count(chr(10), 0, match.start()) + 1} has {match.group().strip()}: use base/standard_streams.h"
            for match in PRINTS_OR_OPENS.finditer(text)]


# Whoever starts a thread must bear that the system refuses it; base/worker_threads does.
STARTS_THREAD = re.compile(r"\bstd::(jthread|async|thread)\b(?!::)|\bpthread_create\b|\bthrd_create\b")
THREAD_STARTERS = {"src/base/worker_threads.h", "src/base/worker_threads.cpp"}


def thread_faults(path, text):
    """Threads that a file of src starts by itself."""
    if path in THREAD_STARTERS:
        return []
    return [f"starts a thread by {match.group()}: use base/worker_threads.h" for match in STARTS_THREAD.finditer(text)]


def form_faults(name, text):
    """What is wrong with the form of a source file, whatever its folder."""
    faults = []
    lines = text.count("\n")
    if lines > MAX_LINES:
        faults.append(f"has {lines} lines, over {MAX_LINES}: it holds more than one idea")
    for match in UNFINISHED.finditer(text):
        faults.append(f"line {text.count(chr(10), 0, match.start()) + 1} says {match.group()}")
    if name.endswith((".comp", ".glsl")) and not BEGINS_WITH_COMMENT.match(text):
        faults.append("does not begin with a comment that says what it computes")
    return faults


def source_files():
    for folder in SOURCE_FOLDERS:
        for path in sorted((ROOT / folder).rglob("*")):
            if path.is_file() and (path.suffix in SOURCE_SUFFIXES or path.name == "CMakeLists.txt"):
                yield path


class Rules(unittest.TestCase):
    """The rules themselves, on invented files."""

    def test_an_arrow_up_is_a_fault(self):
        self.assertEqual(len(include_faults("base", '#include "gpu/device.h"\n')), 1)
        self.assertEqual(len(include_faults("model", '#include "text/tokenizer.h"\n')), 1)
        self.assertEqual(len(include_faults("cli", '#include "capi/handle.h"\n')), 1)
        self.assertEqual(len(include_faults("text", "#  include <gpu/device.h>\n")), 1)

    def test_arrows_down_are_not(self):
        text = '#include "base/error.h"\n#include "gpu/device.h"\n#include <vector>\n#include <fmt/format.h>\n'
        self.assertEqual(include_faults("model", text), [])
        self.assertEqual(include_faults("cli", '#include "vkmoe/vkmoe.h"\n#include "formats/gguf.h"\n'), [])

    def test_the_public_header_is_for_the_top(self):
        self.assertEqual(len(include_faults("engine", '#include "vkmoe/vkmoe.h"\n')), 1)

    def test_a_relative_include_is_a_fault(self):
        self.assertEqual(len(include_faults("gpu", '#include "device.h"\n')), 1)

    def test_circles(self):
        circle = {"a/x.h": "", "a/x.cpp": '#include "a/x.h"\n#include "a/y.h"\n', "a/y.h": '#include "a/z.h"\n',
                  "a/z.cpp": '#include "a/x.h"\n'}
        self.assertEqual(include_circles(circle), ["a/x -> a/y -> a/z -> a/x"])
        del circle["a/z.cpp"]
        self.assertEqual(include_circles(circle), [])

    def test_streams(self):
        for text in ("fmt::print(stderr, x);", "std::cerr << x;", "std::ifstream file(path);", "fprintf(stderr, x);",
                     "const int fd = ::open(path, O_RDONLY);"):
            self.assertEqual(len(stream_faults(text)), 1, text)
        self.assertEqual(stream_faults("std::snprintf(text, 9, x); open_file(path); print_standard_error(x);"), [])

    def test_threads_are_started_in_one_place(self):
        self.assertEqual(len(thread_faults("src/gpu/a.cpp", "std::thread worker([] {});\nstd::async(work);\n")), 2)
        self.assertEqual(thread_faults("src/gpu/a.cpp", "std::thread::hardware_concurrency()"), [])
        self.assertEqual(thread_faults("src/base/worker_threads.h", "std::vector<std::thread> threads_;"), [])

    def test_form(self):
        self.assertEqual(len(form_faults("a.cpp", "\n" * (MAX_LINES + 1))), 1)
        self.assertEqual(form_faults("a.cpp", "int x;  // TO" + "DO: y\n"), ["line 1 says TO" + "DO"])
        self.assertEqual(len(form_faults("a.comp", "#version 460\nlayout(local_size_x = 1) in;\n// Adds.\n")), 1)
        self.assertEqual(form_faults("a.comp", "// Adds.\n#version 460\n"), [])
        self.assertEqual(form_faults("a.comp", "#version 460\n// Adds.\n"), [])


class Tree(unittest.TestCase):
    def test_includes_follow_the_arrows(self):
        faults = []
        for path in source_files():
            parts = path.relative_to(ROOT).parts
            if parts[0] != "src" or path.suffix not in (".h", ".cpp", ".c"):
                continue
            if parts[1] not in STANDS_ON:
                faults.append(f"src/{parts[1]} has no place in STANDS_ON")
                continue
            faults += [f"{path.relative_to(ROOT)} {fault}" for fault in include_faults(parts[1], path.read_text())]
        self.assertEqual(faults, [], "\n" + "\n".join(faults))

    def test_modules_stand_on_none_of_their_users(self):
        for folder in WITHOUT_CIRCLES:
            files = {f"{folder}/{path.name}": path.read_text() for path in (ROOT / "src" / folder).glob("*.[hc]*")}
            self.assertGreater(len(files), 5)
            self.assertEqual(include_circles(files), [])

    def test_sources_print_and_open_through_one_place(self):
        faults = []
        for path in source_files():
            name = str(path.relative_to(ROOT))
            if name.startswith("src/") and path.suffix in (".h", ".cpp") and name != "src/base/standard_streams.cpp":
                faults += [f"{name} {fault}" for fault in stream_faults(path.read_text())]
        self.assertEqual(faults, [], "\n" + "\n".join(faults))

    def test_threads_are_started_in_one_place(self):
        faults = []
        for path in source_files():
            name = str(path.relative_to(ROOT))
            if name.startswith("src/"):
                faults += [f"{name} {fault}" for fault in thread_faults(name, path.read_text())]
        self.assertEqual(faults, [], "\n" + "\n".join(faults))

    def test_form_of_every_source(self):
        files = list(source_files())
        self.assertGreater(len(files), 10, f"no tree of sources under {ROOT}")
        faults = []
        for path in files:
            faults += [f"{path.relative_to(ROOT)} {fault}" for fault in form_faults(path.name, path.read_text())]
        self.assertEqual(faults, [], "\n" + "\n".join(faults))


if __name__ == "__main__":
    sys.exit(unittest.main(verbosity=1))
