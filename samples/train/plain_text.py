#!/usr/bin/env python3
"""Turns a folder of documents into plain text and splits it into training and held-out parts (see collect_text.sh).

HTML loses its markup, every kind of file its web addresses. Needs only Python's standard library.
"""

import argparse
import hashlib
import html.parser
import pathlib
import re
import sys

ADDRESS = re.compile(r"(?:\b(?:https?|ftp|git)://|\bwww\.)[^\s<>\"')\]}]*[^\s<>\"')\]}.,;:!?]")
BLOCKS = {"p", "div", "li", "dt", "dd", "tr", "pre", "h1", "h2", "h3", "h4", "h5", "h6", "ul", "ol", "table", "br"}
SILENT = {"script", "style", "head", "title"}
# Navigation that every page repeats, by class or id.
NAVIGATION = {"docnav", "banner", "title-bar"}


class Text(html.parser.HTMLParser):
    """Collects a page's text: one line a block, preformatted text as it stands."""

    VOID = {"br", "img", "hr", "meta", "link", "input", "col"}

    def __init__(self):
        super().__init__(convert_charrefs=True)
        self.parts = []
        self.silent = 0  # depth inside what is left out
        self.pre = 0

    def handle_starttag(self, tag, attrs):
        names = {word for key, value in attrs if key in ("class", "id") for word in (value or "").split()}
        if tag not in self.VOID and (self.silent or tag in SILENT or names & NAVIGATION):
            self.silent += 1
        if tag == "pre":
            self.pre += 1
        if tag in BLOCKS:
            self.parts.append("\n")

    def handle_startendtag(self, tag, attrs):
        if tag in BLOCKS:
            self.parts.append("\n")

    def handle_endtag(self, tag):
        if self.silent and tag not in self.VOID:
            self.silent -= 1
        if tag == "pre" and self.pre:
            self.pre -= 1
        if tag in BLOCKS:
            self.parts.append("\n")

    def handle_data(self, data):
        if not self.silent:
            text = data if self.pre else re.sub(r"\s+", " ", data)
            at_line_start = not self.parts or self.parts[-1].endswith("\n")
            self.parts.append(text.lstrip(" ") if at_line_start and not self.pre else text)


def plain(path):
    text = path.read_bytes().decode("utf-8", errors="replace")
    if path.suffix == ".html":
        page = Text()
        page.feed(text)
        page.close()
        text = "".join(page.parts)
    text = ADDRESS.sub("", text)
    text = "\n".join(line.rstrip() for line in text.splitlines())
    return re.sub(r"\n{3,}", "\n\n", text).strip() + "\n"


def held_out(name, percent):
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "big") % 10000 < percent * 100


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=pathlib.Path, required=True)
    parser.add_argument("--kind", required=True, help="name of this kind of text")
    parser.add_argument("--suffix", required=True, help="of the files to take, e.g. .html")
    parser.add_argument("--percent", type=float, default=5.0, help="of the documents to hold out")
    parser.add_argument("folders", type=pathlib.Path, nargs="+")
    args = parser.parse_args()

    train = args.out / "train" / args.kind
    train.mkdir(parents=True, exist_ok=True)
    (args.out / "held-out").mkdir(exist_ok=True)
    documents, kept_back, size = 0, [], 0
    for folder in args.folders:
        for path in sorted(folder.rglob("*" + args.suffix)):
            if path.is_symlink() or not path.is_file():
                continue
            text = plain(path)
            if len(text) < 200:
                continue
            name = path.relative_to(folder).as_posix()
            if held_out(name, args.percent):
                kept_back.append(text)
                continue
            (train / f"{documents:05d}.txt").write_text(text, encoding="utf-8")
            documents += 1
            size += len(text.encode())
    if not documents:
        sys.exit(f"{args.kind}: no {args.suffix} files in {', '.join(map(str, args.folders))}")
    if not kept_back:
        sys.exit(f"{args.kind}: nothing was held out; raise --percent above {args.percent}")
    (args.out / "held-out" / f"{args.kind}.txt").write_text("\n".join(kept_back), encoding="utf-8")
    held = sum(len(t.encode()) for t in kept_back)
    print(f"{args.kind}: {documents} documents, {size / 1e6:.2f} MB; held out {len(kept_back)}, {held / 1e3:.0f} kB")


if __name__ == "__main__":
    main()
