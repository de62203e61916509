"""What payments of an entity were like that proved genuine: a habit that no fraud has blurred yet.

Frauds raise a card's own mean, until they no longer look large beside it. Amounts whose labels said genuine do not.
The last payments, whose labels are still to come, are compared with that habit too: a card that was used for
unlikely amounts yesterday is suspicious today.
"""

# torch types many of its functions loosely:
# pyright: reportUnknownMemberType=false

from __future__ import annotations

import torch
from torch import Tensor, nn

from sentinel.model.arithmetic import deviation_of, log_of, mean_of, span, z_score
from sentinel.model.views import Columns, View

NEEDED = ("genuine_amount_sum", "label_count", "fraud_count")


class Genuine(nn.Module):
    """`names` has the columns; `spending` is the same entity's view of all payments, if it has one."""

    def __init__(self, labels: View, spending: View | None) -> None:
        super().__init__()
        windows = labels.windows(*NEEDED)
        squared = labels.windows(*NEEDED, "genuine_amount_sum_of_squares")
        topped = labels.windows("genuine_amount_max")
        recent = spending.windows("count", "amount_sum") if spending else []
        recent_tops = spending.windows("amount_max") if spending else []
        self.sums, self.labels, self.frauds = (Columns(labels.at(name, windows)) for name in NEEDED)
        self.squares = Columns(labels.at("genuine_amount_sum_of_squares", squared))
        self.squared = Columns([windows.index(window) for window in squared])
        self.tops = Columns(labels.at("genuine_amount_max", topped))
        self.recent_counts = Columns(spending.at("count", recent) if spending else [])
        self.recent_sums = Columns(spending.at("amount_sum", recent) if spending else [])
        self.recent_tops = Columns(spending.at("amount_max", recent_tops) if spending else [])
        named = {
            "log_genuine_mean": windows, "amount_to_genuine_mean": windows,
            "log_genuine_deviation": squared, "genuine_z_score": squared,
            "log_genuine_max": topped, "amount_to_genuine_max": topped,
            "mean_to_genuine_mean": recent, "max_to_genuine_mean": recent_tops,
        }  # fmt: skip
        self.names = [f"{labels.name}_{what}_{span(window)}" for what, found in named.items() for window in found]

    def forward(self, raw: Tensor, amount: Tensor) -> Tensor:
        """[N, len(names)], in the order of `names`; recent spending is compared with the longest window."""
        count = self.labels(raw) - self.frauds(raw)
        mean = mean_of(self.sums(raw), count)
        log_amount, log_mean = log_of(amount), log_of(mean)
        parts = [log_mean, log_amount - log_mean]
        if self.squares.at:
            middle = self.squared(mean)
            deviation = deviation_of(self.squares(raw), self.squared(count), middle)
            parts += [log_of(deviation), z_score(amount, middle, deviation)]
        if self.tops.at:
            log_top = log_of(self.tops(raw))
            parts += [log_top, log_amount - log_top]
        if self.recent_sums.at:
            parts.append(log_of(mean_of(self.recent_sums(raw), self.recent_counts(raw))) - log_mean[:, -1:])
        if self.recent_tops.at:
            parts.append(log_of(self.recent_tops(raw)) - log_mean[:, -1:])
        return torch.cat(parts, dim=1)
