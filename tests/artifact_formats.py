"""Every file that a run leaves, parsed to its end by the format that its name says; what is not known is refused.

None of these formats can hold code: a pickle, or a zip with one inside, parses as none of them.
"""

from __future__ import annotations

import json
import re
import sqlite3
import struct
import tomllib
import zlib
from collections.abc import Callable, Iterator
from contextlib import closing
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import onnx
import pyarrow as pa
import pyarrow.ipc as ipc
import pyarrow.parquet as pq
import yaml

KNOWN_OPERATORS = {"", "ai.onnx", "ai.onnx.ml", "com.microsoft"}  # ONNX Runtime's own
_SIZES = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8, "I32": 4, "I16": 2, "I8": 1, "U8": 1, "BOOL": 1}
_PNG = b"\x89PNG\r\n\x1a\n"
# feast.core.Registry without on_demand_feature_views (8) and stream_feature_views (14), which may hold pickled code
_FEAST_FIELDS = {1, 2, 3, 4, 5, 6, 7, 10, 11, 12, 13, 15, 16, 17, 18, 19}
_SQLITE = b"SQLite format 3\x00"


class RefusedError(Exception):
    """A file that is not what its name says, or of a format that nobody here knows."""


def refusals(folder: Path) -> list[str]:
    """A sentence for each file below `folder` that is refused."""
    return [sentence for file in sorted(folder.rglob("*")) if file.is_file() for sentence in _refusal(file, folder)]


def parse(file: Path) -> None:
    """Raises RefusedError, or what the format's own reader raises."""
    if file.name in _BY_NAME:
        _BY_NAME[file.name](file)
    elif file.suffix in _BY_SUFFIX:
        _BY_SUFFIX[file.suffix](file)
    elif re.fullmatch(r"[0-9a-f]{30,64}", file.name):
        _content_addressed(file)
    else:
        raise RefusedError(f"nobody knows the format of {file.suffix or file.name!r}")


def _refusal(file: Path, folder: Path) -> Iterator[str]:
    try:
        parse(file)
    except Exception as error:
        yield f"{file.relative_to(folder)}: {type(error).__name__}: {error}"


def _safetensors(file: Path) -> None:
    """The header's tensors fill the rest of the file, without gap and without end."""
    content = file.read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    if length > len(content) - 8:
        raise RefusedError("its header is longer than the file")
    header = json.loads(content[8 : 8 + length])
    header.pop("__metadata__", None)
    at = 0
    for tensor in sorted(header.values(), key=lambda one: one["data_offsets"]):
        begin, end = tensor["data_offsets"]
        size = _SIZES[tensor["dtype"]]
        for edge in tensor["shape"]:
            size *= edge
        if begin != at or end - begin != size:
            raise RefusedError("its tensors do not follow each other")
        at = end
    if at != len(content) - 8 - length:
        raise RefusedError("something stands behind its tensors")


def _json(file: Path) -> None:
    json.loads(file.read_text(encoding="utf-8"))


def _json_lines(file: Path) -> None:
    for line in file.read_text(encoding="utf-8").splitlines():
        json.loads(line)


def _text(file: Path) -> None:
    if "\x00" in file.read_text(encoding="utf-8"):
        raise RefusedError("it holds more than text")


def _toml(file: Path) -> None:
    tomllib.loads(file.read_text(encoding="utf-8"))


def _yaml(file: Path) -> None:
    yaml.safe_load(file.read_text(encoding="utf-8"))


def _html(file: Path) -> None:
    text = file.read_text(encoding="utf-8")
    if not text.lstrip().lower().startswith(("<!doctype html", "<html")):
        raise RefusedError("it is no HTML")
    HTMLParser().feed(text)


def _svg(file: Path) -> None:
    if not ElementTree.parse(file).getroot().tag.endswith("svg"):
        raise RefusedError("it is no SVG")


def _columns(schema: pa.Schema) -> None:
    opaque = [field.name for field in schema if pa.types.is_binary(field.type) or pa.types.is_large_binary(field.type)]
    if opaque:
        raise RefusedError(f"its columns {opaque} hold bytes of which nothing is known")


def _parquet(file: Path) -> None:
    for _ in (table := pq.ParquetFile(file)).iter_batches():
        pass
    _columns(table.schema_arrow)


def _arrow(file: Path) -> None:
    with pa.memory_map(str(file)) as source, ipc.open_file(source) as table:
        for number in range(table.num_record_batches):
            table.get_batch(number)
        _columns(table.schema)


def _onnx(file: Path) -> None:
    model = onnx.load_model(str(file), load_external_data=False)
    onnx.checker.check_model(model)
    strange = {node.domain for node in model.graph.node} - KNOWN_OPERATORS
    if strange or model.functions:
        raise RefusedError(f"it has operators of its own: {sorted(strange)}")
    if any(one.data_location == onnx.TensorProto.EXTERNAL for one in model.graph.initializer):
        raise RefusedError("its weights lie in another file")


def _png(file: Path) -> None:
    content = file.read_bytes()
    if not content.startswith(_PNG):
        raise RefusedError("it is no PNG")
    at, kind = len(_PNG), b""
    while kind != b"IEND":
        length, kind = struct.unpack(">I4s", content[at : at + 8])
        body = content[at + 4 : at + 8 + length]
        (told,) = struct.unpack(">I", content[at + 8 + length : at + 12 + length])
        if zlib.crc32(body) != told:
            raise RefusedError(f"its part {kind!r} is damaged")
        at += 12 + length
    if at != len(content):
        raise RefusedError("something stands behind the picture")


def _database(file: Path) -> None:
    if file.read_bytes()[:16] != _SQLITE:
        _feast_registry(file)
        return
    with closing(sqlite3.connect(f"{file.resolve().as_uri()}?mode=ro", uri=True)) as database:
        if database.execute("PRAGMA quick_check").fetchall() != [("ok",)]:
            raise RefusedError("SQLite finds it damaged")


def _feast_registry(file: Path) -> None:
    """Feast calls its Protocol Buffer so. Its outermost fields are read to the end (importing Feast takes seconds)."""
    content, at = file.read_bytes(), 0
    while at < len(content):
        tag, at = _varint(content, at)
        if tag >> 3 not in _FEAST_FIELDS:
            raise RefusedError("it is no database, and no registry of Feast without code")
        if tag & 7 == 2:
            length, at = _varint(content, at)
            at += length
        elif tag & 7 == 0:
            _, at = _varint(content, at)
        else:
            raise RefusedError("it is no registry of Feast")
    if at != len(content) or not content:
        raise RefusedError("it is cut short")


def _varint(content: bytes, at: int) -> tuple[int, int]:
    """A number of Protocol Buffers, and where it ends."""
    value, shift = 0, 0
    while True:
        value |= (content[at] & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if not content[at - 1] & 0x80:
            return value, at


def _sqlite_journal(file: Path) -> None:
    """What SQLite keeps beside an open database."""
    if not file.with_name(re.sub("-(wal|shm|journal)$", "", file.name)).is_file():
        raise RefusedError("it lies beside no database")


def _content_addressed(file: Path) -> None:
    """An object of DVC, or a result that Prefect keeps: Parquet or JSON."""
    with file.open("rb") as content:
        is_parquet = content.read(4) == b"PAR1"
    if is_parquet:
        _parquet(file)
        return
    result = json.loads(file.read_text(encoding="utf-8"))
    if isinstance(result, dict) and "metadata" in result and result["metadata"]["serializer"]["type"] != "json":
        raise RefusedError("Prefect kept it in another format than JSON")


def _key(file: Path) -> None:
    """One key in PEM, and nothing around it."""
    kind = "PRIVATE" if file.suffix == ".key" else "PUBLIC"
    lines = rf"-----BEGIN {kind} KEY-----\n(?:[A-Za-z0-9+/=]+\n)+-----END {kind} KEY-----\n"
    if not re.fullmatch(lines, file.read_text(encoding="ascii")):
        raise RefusedError("it is no key in PEM")


def _starts_with(*beginnings: bytes) -> Callable[[Path], None]:
    def check(file: Path) -> None:
        if not file.read_bytes().startswith(beginnings):
            raise RefusedError("its beginning is that of another format")

    return check


_BY_NAME = {"MLmodel": _yaml}
_BY_SUFFIX: dict[str, Callable[[Path], None]] = {
    ".safetensors": _safetensors, ".json": _json, ".jsonl": _json_lines, ".dir": _json, ".parquet": _parquet,
    ".arrow": _arrow, ".onnx": _onnx, ".png": _png, ".html": _html, ".svg": _svg, ".css": _text, ".md": _text,
    ".txt": _text, ".log": _text, ".lock": _text, ".dvc": _yaml, ".toml": _toml, ".yaml": _yaml, ".yml": _yaml,
    ".db": _database, ".db-wal": _sqlite_journal, ".db-shm": _sqlite_journal, ".db-journal": _sqlite_journal,
    ".sig": _json, ".head": _json, ".key": _key, ".pub": _key,
    ".gif": _starts_with(b"GIF8"), ".ico": _starts_with(b"\x00\x00\x01\x00", _PNG), ".otf": _starts_with(b"OTTO"),
}  # fmt: skip
