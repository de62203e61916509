"""What a training will certainly need, by its settings: known before the first large tensor is made.

The least of it: a batch that does not fit is cut, down to one row, while weights and what judges them cannot be.
"""

from __future__ import annotations

from dataclasses import dataclass

from sentinel.config import Training
from sentinel.errors import TrainingFailed
from sentinel.model.network import NetworkSize
from sentinel.training.data.rows import BLOCK
from sentinel.training.device.memory import MemoryWatch

FLOAT = 4  # bytes
COPIES = 5  # of the weights: themselves, their gradients, two moments of the optimizer, those of the best epoch
LAYER_OBJECTS = 2_500  # bytes of Python objects that a layer is, besides its weights
NODE_OF_A_BLOCK = 9  # bytes of a row at a node of the forest's last level: the value, two answers' and two flags' share


@dataclass(frozen=True)
class Need:
    """Bytes, and what decides them."""

    settings: Training
    inputs: int  # of the first layer

    @property
    def parameters(self) -> int:
        of = self.settings
        return NetworkSize(of.width, of.layers, of.dropout).parameters(self.inputs)

    @property
    def network(self) -> int:
        """To train it: what is there once, however the batches are cut, and a row's way through it."""
        row = FLOAT * self.settings.width * self.settings.layers
        return COPIES * FLOAT * self.parameters + LAYER_OBJECTS * self.settings.layers + row

    @property
    def judging(self) -> int:
        """A block of rows between two layers of the network, or at the forest's last level."""
        forest = NODE_OF_A_BLOCK * self.settings.trees * 2 ** (self.settings.tree_depth - 1)
        return BLOCK * max(2 * FLOAT * self.settings.width, forest)

    def require(self, memory: MemoryWatch, processes: int) -> None:
        """Raises TrainingFailed when this is more than is left.

        `processes` train it on this host, or on a GPU each; 0: it is made there, and judges.
        """
        made, on_host = FLOAT * self.parameters + self.judging, processes * (self.network + self.judging)
        if memory.device.type == "cuda":
            self._require(self.network, memory.device_room(), "of the GPU's memory", "training.device_memory_fraction")
            on_host = 0
        self._require(max(made, on_host), memory.room(), "of memory", "training.memory_limit")

    def _require(self, needed: int, room: int, of: str, limit: str) -> None:
        if needed <= room:
            return
        settings = self.settings
        raise TrainingFailed(
            f"Training would take {_mb(needed)} {of} at least, and {_mb(room)} are left to it ({limit} = "
            f"{getattr(settings, limit.partition('.')[2]) or 'not set: all of the host'}). Its network has "
            f"{self.parameters:,} weights (training.width = {settings.width}, training.layers = {settings.layers}, "
            f"{self.inputs:,} inputs with training.bins = {settings.bins}), of which {COPIES} copies are kept, and "
            f"{_mb(self.judging)} are for {BLOCK:,} rows that are judged at once (training.width, training.trees = "
            f"{settings.trees}, training.tree_depth = {settings.tree_depth}). Lower some of these, or raise {limit}."
        )


def _mb(size: float) -> str:
    return f"{size / 1e6:,.0f} MB"
