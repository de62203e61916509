"""When a version, and when its label, becomes knowable: the rules of time of one feature set, for single events."""

from __future__ import annotations

from collections.abc import Sequence
from operator import itemgetter

from sentinel.errors import ConfigInvalid
from sentinel.features.online.stream.journal import Id, Spoken, Version
from sentinel.features.online.stream.windows import KeyWindows, Moved, WindowPlan
from sentinel.features.spec import FeatureSet, FeatureView, microseconds, view_name

# A version that is knowable by now: since when and until when (None: still) it speaks, then the rest of a Moved.
_Speaking = tuple[int, int | None, int, int, Id | None, int | None]


class Rules:
    """Moments in microseconds. `label_delay_us`: None where the moment of a label is mapped."""

    def __init__(self, wanted: FeatureSet) -> None:
        self.lag_us = microseconds(wanted.ingestion_lag)
        self.label_delay_us = None if wanted.has_label_available_at else microseconds(wanted.label_delay)

    def known_at(self, version: Version) -> int:
        """When the version is knowable: the lag after it was recorded."""
        return version.known_us + self.lag_us

    def labelled_at(self, version: Version) -> int | None:
        """When its label is knowable, never before the version itself; None: it has none."""
        if version.is_fraud is None:
            return None
        arrived = version.available_us if self.label_delay_us is None else version.happened_us + self.label_delay_us
        return None if arrived is None else max(arrived, version.known_us + self.lag_us)


class ViewState:
    """One view of one feature set: how a key's windows come from the versions that are held of it."""

    def __init__(self, wanted: FeatureSet, view: FeatureView) -> None:
        if view.known_after is not None or any(aggregate.ahead for aggregate in view.aggregates):
            raise ConfigInvalid(
                f"The view {view.name} breaks the rules of time (known_after, ahead): that can be audited, but nothing "
                "online can know it. Take it out of the feature spec."
            )
        self.name = view_name(view, wanted)
        self.is_spending = view.kind == "spending"
        self.plan = WindowPlan(view)
        self.rules = Rules(wanted)

    def windows(self, versions: Sequence[Spoken], now_us: int) -> KeyWindows | None:
        """The windows of the key that all these versions have, as of its last event that is knowable by now."""
        spoken = self._spoken(versions, now_us)
        if not spoken:
            return None
        longest = self.plan.longest
        last = max(at for at, _, _, _, _, _ in spoken)
        ends = [until for at, until, _, _, _, _ in spoken if until is not None and until < at + longest]
        last = max(last, *ends) if ends else last
        alive = [
            Moved(at, happened, amount, merchant, is_fraud)
            for at, until, happened, amount, merchant, is_fraud in spoken
            if at > last - longest and (until is None or until > last)
        ]
        alive.sort(key=itemgetter(0))
        return KeyWindows(self.plan, last, alive)

    def _spoken(self, versions: Sequence[Spoken], now_us: int) -> list[_Speaking]:
        lag, delay = self.rules.lag_us, self.rules.label_delay_us
        found: list[_Speaking] = []
        for known, happened, amount, is_fraud, arrived, merchant, replaced in versions:
            at = known + lag
            if not self.is_spending:  # as Rules.labelled_at, spelled out: this is half the work of a cold start
                arrived = arrived if delay is None else happened + delay
                if is_fraud is None or arrived is None:
                    continue
                at = max(arrived, at)
            if at > now_us:
                continue
            until = None if replaced is None else replaced + lag
            if until is None or until > at:
                ends = None if until is None or until > now_us else until
                found.append((at, ends, happened, amount, merchant, is_fraud))
        return found
