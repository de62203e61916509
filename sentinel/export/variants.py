"""The variants of one model: what each is called and how it is made from the fp32 graph."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from sentinel.export.choice import FP32
from sentinel.export.fp16_graph import write_fp16
from sentinel.export.int8_graph import Calibration, Prepared, write_dynamic, write_static
from sentinel.export.rows import Rows
from sentinel.scoring import PROVIDER

Scheme = Literal["fp32", "fp16", "dynamic", "static"]


@dataclass(frozen=True)
class Variant:
    """`per_channel`, `method` and `left_out` (layers that stay fp32) are of static quantization alone.

    `provider`: what of ONNX Runtime computes it.
    """

    name: str
    scheme: Scheme
    per_channel: bool = False
    method: Calibration = "MinMax"
    left_out: tuple[str, ...] = ()
    provider: str = PROVIDER

    @property
    def description(self) -> str:
        where = "" if self.provider == PROVIDER else f", on {self.provider}"
        return f"{self._scheme}{where}"

    @property
    def _scheme(self) -> str:
        if self.scheme != "static":
            return {"fp32": "as exported", "fp16": "dense layers in fp16", "dynamic": "dynamic INT8"}[self.scheme]
        ranges = "per channel" if self.per_channel else "per tensor"
        left = f", {', '.join(self.left_out)} in fp32" if self.left_out else ""
        return f"static INT8, QDQ, {ranges}, {self.method}{left}"


IN_EVERY_RUN = (
    Variant(FP32, "fp32"),
    Variant("int8_dynamic", "dynamic"),
    Variant("int8_static_per_tensor", "static"),
    Variant("int8_static_per_channel", "static", per_channel=True),
)


def write_variants(variants: Iterable[Variant], fp32: Path, source: Prepared, calibration: Rows, folder: Path) -> None:
    """One graph a variant, `<name>.onnx`."""
    for variant in variants:
        write_variant(variant, fp32, source, calibration, folder / f"{variant.name}.onnx")


def write_variant(variant: Variant, fp32: Path, source: Prepared, calibration: Rows, path: Path) -> None:
    if variant.scheme == "fp32":
        shutil.copyfile(fp32, path)
    elif variant.scheme == "dynamic":
        write_dynamic(source, path)
    elif variant.scheme == "fp16":
        write_fp16(source, path)
    else:
        write_static(
            source, path, calibration, per_channel=variant.per_channel, method=variant.method, left_out=variant.left_out
        )
