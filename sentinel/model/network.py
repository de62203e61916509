"""FraudNet: raw inputs to the probability of fraud, with everything it needs to answer inside.

    numeric, categorical -> derived features -> encoding -> dense layers -> logit ┐
                                             -> forest of boosted trees  -> logit ┴ mean -> calibrated probability

A model is stored as weights.safetensors and model.json; neither can hold code.
"""

# torch and safetensors type many of their functions loosely:
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportMissingTypeStubs=false

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from sentinel.errors import DataDamaged
from sentinel.model.derived import DerivedFeatures
from sentinel.model.encoding import Encoding, EncodingSize
from sentinel.model.forest import Forest, ForestSize
from sentinel.model.inputs import ModelInputs
from sentinel.model.row_dropout import RowDropout
from sentinel.storage import complete_file, write_json

WEIGHTS, MODEL, INPUTS = "weights.safetensors", "model.json", "inputs.json"


@dataclass(frozen=True)
class NetworkSize:
    width: int
    layers: int
    dropout: float

    def parameters(self, inputs: int) -> int:
        """How many weights `_dense` makes of it, over an encoding of so many values."""
        between = (self.layers - 1) * (self.width + 1) * self.width
        return (inputs + 1) * self.width + between + self.width + 1


class FraudNet(nn.Module):
    """Calling it gives the calibrated probability; training changes what `network_logit` answers."""

    scale: Tensor  # of the logit, fitted on the calibration set
    shift: Tensor

    def __init__(
        self,
        inputs: ModelInputs,
        feature_set: Mapping[str, Any],
        encoding: Encoding,
        size: NetworkSize,
        fraud_rate: float = 0.01,
        forest: Forest | None = None,
    ) -> None:
        super().__init__()
        self.inputs, self.feature_set, self.size = inputs, dict(feature_set), size
        self.derived = DerivedFeatures(inputs, feature_set, fraud_rate)
        self.encoding = encoding
        self.layers = _dense(encoding.width, size)
        self.forest = forest
        self.register_buffer("scale", torch.ones(()))
        self.register_buffer("shift", torch.zeros(()))

    def forward(self, numeric: Tensor, categorical: Tensor | None = None) -> Tensor:
        """numeric float64 [N, K], categorical int64 [N, C] (left out when C = 0) -> probability float32 [N]."""
        return self.probability(self.logits(numeric, categorical))

    def logits(self, numeric: Tensor, categorical: Tensor | None = None) -> Tensor:
        """The uncalibrated logit [N]."""
        return self.score(self.derived(numeric), categorical)

    def score(self, derived: Tensor, categorical: Tensor | None = None) -> Tensor:
        """The uncalibrated logit [N] of rows whose derived features [N, D] are already known."""
        logit = self.network_logit(derived, categorical)
        return logit if self.forest is None else (logit + self.forest(derived, categorical)) / 2

    def network_logit(self, derived: Tensor, categorical: Tensor | None = None) -> Tensor:
        """The network's own part of it."""
        return self.layers(self.encoding(derived, categorical)).squeeze(-1)

    def probability(self, logits: Tensor) -> Tensor:
        return torch.sigmoid(logits.float() * self.scale + self.shift)

    def save(self, folder: Path) -> None:
        """Write weights.safetensors, model.json and inputs.json into an existing folder."""
        with complete_file(folder / WEIGHTS) as temporary:
            save_file({name: value.detach().cpu().contiguous() for name, value in self.state_dict().items()}, temporary)
        write_json(folder / INPUTS, self.inputs.to_dict())
        description = {
            "kind": "FraudNet",
            "inputs": self.inputs.to_dict(),
            "feature_set": self.feature_set,
            "encoding": asdict(self.encoding.size),
            "network": asdict(self.size),
            "forest": asdict(self.forest.size) if self.forest else None,
        }
        write_json(folder / MODEL, description)

    @classmethod
    def load(cls, folder: Path) -> FraudNet:
        """The model of `folder`, in evaluation mode. Raises DataDamaged when its files do not fit each other."""
        try:
            description = json.loads((folder / MODEL).read_text())
            inputs = ModelInputs.from_dict(description["inputs"])
            encoding = Encoding(EncodingSize(**description["encoding"]), inputs)
            forest = Forest(ForestSize(**description["forest"])) if description["forest"] else None
            size = NetworkSize(**description["network"])
            model = cls(inputs, description["feature_set"], encoding, size, forest=forest)
            model.load_state_dict(load_file(folder / WEIGHTS))
        except (OSError, KeyError, TypeError, ValueError, RuntimeError) as error:
            raise DataDamaged(f"The model in {folder} cannot be loaded: {error}. Train it again.") from error
        return model.eval()


def _dense(width: int, size: NetworkSize) -> nn.Sequential:
    layers: list[nn.Module] = []
    for _ in range(size.layers):
        layers += [nn.Linear(width, size.width), nn.ReLU(), RowDropout(size.dropout)]
        width = size.width
    return nn.Sequential(*layers, nn.Linear(width, 1))
