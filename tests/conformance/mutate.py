"""Writes a shader source with one mistake in it, from the real one: so that a mutant cannot go stale.

    python3 tests/conformance/mutate.py MUTANT.json SHADERS_FOLDER OUT_FOLDER

MUTANT.json has "file" (below SHADERS_FOLDER), "old" and "new"; old must stand in the file exactly once. The result
goes to OUT_FOLDER under the same name, to be found before the real one by #include.
"""

import json
import pathlib
import sys


def main():
    mutant, shaders, out = map(pathlib.Path, sys.argv[1:])
    change = json.loads(mutant.read_text())
    text = (shaders / change["file"]).read_text()
    count = text.count(change["old"])
    if count != 1:
        sys.exit(f"{mutant}: its \"old\" stands {count} times in {change['file']}, not once; adapt it to the shader")
    target = out / change["file"]
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(text.replace(change["old"], change["new"]))


if __name__ == "__main__":
    main()
