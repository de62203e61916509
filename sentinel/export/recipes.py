"""What can be made of the fp32 graph, and what every run makes of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from sentinel.scoring import PROVIDER

FP32 = "fp32"
Calibration = Literal["MinMax", "Entropy", "Percentile"]


@dataclass(frozen=True)
class Recipe:
    """`layers`: the dense layers to quantize, by node name; None: all but the last, which makes the logit."""

    name: str
    method: Literal["fp32", "dynamic", "static", "fp16"]
    per_channel: bool = False
    calibration: Calibration = "MinMax"
    layers: tuple[str, ...] | None = None
    provider: str = PROVIDER

    @property
    def precision(self) -> str:
        return "int8" if self.method in ("dynamic", "static") else self.method

    @property
    def description(self) -> str:
        """In words, for the record."""
        if self.method == "static":
            granularity = "per channel" if self.per_channel else "per tensor"
            return f"static QDQ, {granularity}, {self.calibration} ranges of the calibration rows"
        return {
            "fp32": "as exported",
            "dynamic": "weights per tensor; ranges of the activations from each batch as it comes",
            "fp16": "float16 after the derived features",
        }[self.method]


EVERY_RUN = (
    Recipe(FP32, "fp32"),
    Recipe("int8_dynamic", "dynamic"),
    Recipe("int8_static_per_tensor", "static"),
    Recipe("int8_static_per_channel", "static", per_channel=True),
)
