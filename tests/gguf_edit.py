"""Reads the header of a GGUF file and writes the file again with other metadata keys."""

import pathlib
import struct

SIZES = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
STRING, ARRAY = 8, 9
ALIGNMENT = 32


class GgufFile:
    """A file's metadata, {key: bytes of its type and value}, and tensors, [(name, shape, type, offset)]."""

    def __init__(self, path):
        self.bytes = pathlib.Path(path).read_bytes()
        if self.bytes[:4] != b"GGUF":
            raise ValueError(f"{path} is no GGUF file")
        n_tensors, n_keys = struct.unpack_from("<QQ", self.bytes, 8)
        self.at = 24
        self.metadata = {}
        for _ in range(n_keys):
            key = self._text().decode()
            start = self.at
            self._skip(self._number("<I"))
            self.metadata[key] = self.bytes[start:self.at]
        self.tensors = []
        for _ in range(n_tensors):
            name = self._text().decode()
            shape = [self._number("<Q") for _ in range(self._number("<I"))]
            self.tensors.append((name, shape, self._number("<I"), self._number("<Q")))
        self.data = self.bytes[(self.at + ALIGNMENT - 1) // ALIGNMENT * ALIGNMENT:]

    def write(self, path, keys=()):
        """`keys`: {key: value} of bool, int (u32), float (f32), str, or a list of one of these; None drops a key."""
        metadata = dict(self.metadata)
        for key, value in dict(keys).items():
            if value is None:
                metadata.pop(key, None)
            else:
                metadata[key] = encode(value)
        header = b"GGUF" + struct.pack("<IQQ", 3, len(self.tensors), len(metadata))
        header += b"".join(text(key) + value for key, value in metadata.items())
        for name, shape, kind, offset in self.tensors:
            header += text(name) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape, kind, offset)
        pathlib.Path(path).write_bytes(header + bytes(-len(header) % ALIGNMENT) + self.data)

    def split_experts(self):
        """Names each expert of a stacked F16 tensor, as files of 2023 do; the data stays."""
        tensors = []
        for name, shape, kind, offset in self.tensors:
            if not name.endswith("_exps.weight"):
                tensors.append((name, shape, kind, offset))
                continue
            stem = name.removesuffix("_exps.weight")
            size = 2 * shape[0] * shape[1]
            tensors += [(f"{stem}.{i}.weight", shape[:2], kind, offset + i * size) for i in range(shape[2])]
        self.tensors = tensors

    def _number(self, form):
        value, = struct.unpack_from(form, self.bytes, self.at)
        self.at += struct.calcsize(form)
        return value

    def _text(self):
        length = self._number("<Q")
        self.at += length
        return self.bytes[self.at - length:self.at]

    def _skip(self, kind):
        if kind == STRING:
            self._text()
        elif kind == ARRAY:
            element, count = self._number("<I"), self._number("<Q")
            if element in SIZES:
                self.at += count * SIZES[element]
            else:
                for _ in range(count):
                    self._skip(element)
        else:
            self.at += SIZES[kind]


def text(value):
    raw = value.encode()
    return struct.pack("<Q", len(raw)) + raw


def scalar(value):
    """(type, bytes)"""
    if isinstance(value, bool):
        return 7, struct.pack("<?", value)
    if isinstance(value, int):
        return 4, struct.pack("<I", value)
    if isinstance(value, float):
        return 6, struct.pack("<f", value)
    return STRING, text(value)


def encode(value):
    if isinstance(value, list):
        elements = [scalar(element) for element in value]
        return struct.pack("<IIQ", ARRAY, elements[0][0], len(elements)) + b"".join(raw for _, raw in elements)
    kind, raw = scalar(value)
    return struct.pack("<I", kind) + raw
