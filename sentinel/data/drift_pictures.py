"""Pictures of two distributions beside each other, as SVG that a page can hold: then filled, now as a line or bar."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

import numpy as np
from numpy.typing import NDArray

from sentinel.data.profile import Numbers

WIDTH, HEIGHT, FLOOR = 520, 190, 160
BINS = 40
MOST_BARS = 12
_LOW, _HIGH = 0.002, 0.995  # the tails beyond would squeeze the rest of the picture
_WIDE = 30.0  # a range over so many times its least value is drawn on a logarithmic scale


def picture_of_numbers(then: Numbers, now: Numbers) -> str:
    """Shares of the rows by value. Empty when one side has none."""
    if not then.quantiles or not now.quantiles:
        return ""
    edges = _edges(then.quantiles, now.quantiles)
    shares = [_shares(side.quantiles, edges) for side in (then, now)]
    labels = {float(place): _short(edges[round(place * (len(edges) - 1))]) for place in (0.0, 0.5, 1.0)}
    return _drawn(_area(shares[0], shares) + _line(shares[1], shares), labels)


def picture_of_hours(then: Sequence[float], now: Sequence[float]) -> str:
    """Shares of the rows by hour of the day."""
    shares = [np.asarray(side, dtype=np.float64) for side in (then, now)]
    return _drawn(_area(shares[0], shares) + _line(shares[1], shares), {0.0: "0 h", 0.5: "12 h", 1.0: "24 h"})


def picture_of_categories(then: Mapping[str, float], now: Mapping[str, float]) -> str:
    """Two bars a category, the most frequent first; the rest together."""
    names = sorted({*then, *now}, key=lambda name: (-max(then.get(name, 0.0), now.get(name, 0.0)), name))
    rows = [(name, then.get(name, 0.0), now.get(name, 0.0)) for name in names[:MOST_BARS]]
    if rest := len(names) - len(rows):
        rest_then, rest_now = (max(0.0, 1 - sum(side)) for side in zip(*(row[1:] for row in rows), strict=True))
        rows.append((f"{rest:,} others", rest_then, rest_now))
    widest = max((max(row[1:]) for row in rows), default=1.0) or 1.0
    bars = "".join(_bars(number, *row, widest) for number, row in enumerate(rows))
    return f'<svg viewBox="0 0 {WIDTH} {26 * len(rows) + 4}" role="img">{bars}</svg>'


def _bars(number: int, name: str, then: float, now: float, widest: float) -> str:
    top, room = 26 * number + 3, WIDTH - 250
    text = f'<text x="0" y="{top + 15}">{escape(name if len(name) <= 18 else name[:17] + "…")}</text>'
    text += f'<text x="{WIDTH}" y="{top + 15}" class="end">{then:.1%} → {now:.1%}</text>'
    then_bar = f'<rect class="then" x="130" y="{top}" width="{room * then / widest:.1f}" height="10"/>'
    return text + then_bar + f'<rect class="now" x="130" y="{top + 11}" width="{room * now / widest:.1f}" height="7"/>'


def _edges(then: Sequence[float], now: Sequence[float]) -> NDArray[np.float64]:
    sides = [np.asarray(side, dtype=np.float64) for side in (then, now)]
    low = min(float(np.quantile(side, _LOW)) for side in sides)
    high = max(float(np.quantile(side, _HIGH)) for side in sides)
    if high <= low:
        low, high = low - 0.5, high + 0.5
    return np.geomspace(low, high, BINS + 1) if low > 0 and high / low > _WIDE else np.linspace(low, high, BINS + 1)


def _shares(quantiles: Sequence[float], edges: NDArray[np.float64]) -> NDArray[np.float64]:
    """Of each bin; the outer bins take what lies beyond the picture."""
    below = np.searchsorted(np.asarray(quantiles), edges, side="right") / len(quantiles)
    below[0], below[-1] = 0.0, 1.0
    return np.diff(below)


def _steps(shares: NDArray[np.float64], all_shares: Sequence[NDArray[np.float64]]) -> str:
    top = max(float(side.max()) for side in all_shares) or 1.0
    width = WIDTH / len(shares)
    heights = FLOOR - 145 * shares / top
    return " ".join(
        f"{number * width:.1f},{height:.1f} {(number + 1) * width:.1f},{height:.1f}"
        for number, height in enumerate(heights.tolist())
    )


def _area(shares: NDArray[np.float64], all_shares: Sequence[NDArray[np.float64]]) -> str:
    return f'<polygon class="then" points="0,{FLOOR} {_steps(shares, all_shares)} {WIDTH},{FLOOR}"/>'


def _line(shares: NDArray[np.float64], all_shares: Sequence[NDArray[np.float64]]) -> str:
    return f'<polyline class="line" points="{_steps(shares, all_shares)}"/>'


def _drawn(body: str, labels: Mapping[float, str]) -> str:
    anchors = {0.0: "", 0.5: "middle", 1.0: "end"}
    texts = "".join(
        f'<text x="{place * WIDTH:.0f}" y="{HEIGHT - 8}" class="{anchors[place]}">{escape(text)}</text>'
        for place, text in labels.items()
    )
    floor = f'<line class="floor" x1="0" x2="{WIDTH}" y1="{FLOOR}" y2="{FLOOR}"/>'
    return f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img">{body}{floor}{texts}</svg>'


def _short(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
