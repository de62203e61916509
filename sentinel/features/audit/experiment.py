"""All worlds of all cuts, and the probes, as one source with one list of questions: one build answers everything.

A key, and a transaction's id, is tagged with its world, so that no world knows another. The questions are those of
the original worlds, also about transactions that another world lacks: each sampled transaction, and the last ones of
the same keys before the cut, as of their own moments, and the sampled keys as of the cut itself.
"""

# pyarrow carries few types:
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false, reportMissingTypeStubs=false, reportMissingTypeArgument=false

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import parquet, types

from sentinel.features.audit.cuts import Cut
from sentinel.features.audit.oracle import Ints, microseconds_of, positions
from sentinel.features.audit.probes import Probes, free_tag, make_probes
from sentinel.features.audit.worlds import MOMENT, another_future, with_companions
from sentinel.features.first_versions import ASKED_AT, write_first_versions
from sentinel.features.spec import FeatureSet

LATEST = 80  # transactions of a cut that are asked about besides the sampled ones
_ID = "transaction_id"


@dataclass(frozen=True)
class Experiment:
    """`asked` has the questions in three runs: of the original worlds, the same of the changed ones, and the probes.

    `cut` [pairs]: which cut a pair of questions belongs to; `transaction_ids` and `asked_at` as in the data.
    """

    source: pa.Table
    asked: pa.Table
    pairs: int
    cut: Ints
    transaction_ids: list[int | str]
    asked_at: Ints
    probes: Probes


def make_experiment(
    cuts: Sequence[Cut], wanted: FeatureSet, honest: FeatureSet, scratch: Path, random: np.random.Generator
) -> Experiment:
    """`wanted`: the honest views with the planted ones."""
    originals = [with_companions(cut.rows, cut.asked, cut.moment, wanted, random) for cut in cuts]
    changed = [
        another_future(rows, cut.asked, cut.moment, wanted, random) for rows, cut in zip(originals, cuts, strict=True)
    ]
    untagged = pa.concat_tables([*originals, *changed]).combine_chunks()
    world = np.repeat(np.arange(2 * len(cuts)), [part.num_rows for part in (*originals, *changed)])
    tagged = _Tagged(untagged, world, 2 * len(cuts), wanted)
    questions = pa.concat_tables(
        [_questions(cut, number, wanted, scratch) for number, cut in enumerate(cuts)]
    ).combine_chunks()
    cut = questions["cut"].to_numpy()
    probes = make_probes(honest, tagged.source.schema, free_tag(tagged.source, wanted))
    asked = [tagged.asked(questions, cut), tagged.asked(questions, cut + len(cuts)), _probe_questions(probes, wanted)]
    numbered = pa.concat_tables(asked)
    numbered = numbered.append_column(_ID, pa.array(np.arange(numbered.num_rows)))
    return Experiment(
        source=pa.concat_tables([tagged.source, probes.transactions.select(tagged.source.column_names)]),
        asked=numbered,
        pairs=questions.num_rows,
        cut=cut,
        transaction_ids=questions[_ID].to_pylist(),
        asked_at=microseconds_of(questions, ASKED_AT),
        probes=probes,
    )


def _questions(cut: Cut, number: int, wanted: FeatureSet, scratch: Path) -> pa.Table:
    """Transactions as production asks about them, and the sampled ones once more as of the cut; none after it."""
    happened = microseconds_of(cut.rows, "event_timestamp")
    latest = np.argsort(-np.where(happened <= cut.moment, happened, -1), kind="stable")[:LATEST]
    chosen = cut.rows.take(pa.array(np.unique([*cut.asked, *latest.tolist()])))
    own = chosen.append_column(ASKED_AT, chosen["event_timestamp"])
    if wanted.has_recorded_at:
        own = _first_versions(cut, chosen, wanted, scratch)
    own = own.filter(pa.array(microseconds_of(own, "event_timestamp") <= cut.moment))
    sampled = cut.rows.take(pa.array(cut.asked))
    place = sampled.schema.get_field_index("event_timestamp")
    at_cut = pa.array(np.full(sampled.num_rows, cut.moment), MOMENT).cast(sampled.schema.types[place])
    moved = sampled.set_column(place, "event_timestamp", at_cut).append_column(ASKED_AT, at_cut)
    columns = [_ID, "event_timestamp", *wanted.keys, ASKED_AT]
    table = pa.concat_tables([own.select(columns), moved.select(columns)], promote_options="permissive")
    return table.append_column("cut", pa.array(np.full(table.num_rows, number)))


def _first_versions(cut: Cut, chosen: pa.Table, wanted: FeatureSet, scratch: Path) -> pa.Table:
    """By production's own function, from every version of these transactions."""
    scratch.mkdir(parents=True, exist_ok=True)
    given, found = scratch / "versions.parquet", scratch / "first_versions.parquet"
    is_chosen = positions(cut.rows[_ID], pa.chunked_array([chosen[_ID].unique()])) >= 0
    parquet.write_table(cut.rows.filter(pa.array(is_chosen)), given)
    write_first_versions(given, wanted, found, spill=scratch / "spill")
    return parquet.read_table(found)


class _Tagged:
    """`source`: the worlds' rows under tagged keys. Numbers are coded anew, densely; text gets a suffix."""

    def __init__(self, untagged: pa.Table, world: Ints, worlds: int, wanted: FeatureSet) -> None:
        self._names = [
            name for name in dict.fromkeys([_ID, *wanted.keys, "merchant_id"]) if name in untagged.schema.names
        ]
        self._values = {name: pa.chunked_array([untagged[name].unique().drop_null()]) for name in self._names}
        self._worlds, self._keys = worlds, wanted.keys
        self.source = self._tag(untagged, self._names, world)

    def asked(self, questions: pa.Table, world: Ints) -> pa.Table:
        """The questions about the keys of these worlds."""
        tagged = self._tag(questions, list(self._keys), world)
        moments = [tagged[name].cast(MOMENT) for name in ("event_timestamp", ASKED_AT)]
        return pa.table([*moments, *(tagged[key] for key in self._keys)], ["event_timestamp", ASKED_AT, *self._keys])

    def _tag(self, table: pa.Table, names: Sequence[str], world: Ints) -> pa.Table:
        for name in names:
            column = table[name]
            if types.is_int64(column.type):
                code = positions(column, self._values[name])
                tagged = pa.array(code * self._worlds + world, mask=code < 0)
            else:
                suffix = pa.array([f"#{number}" for number in range(self._worlds)], column.type).take(pa.array(world))
                empty = pa.scalar("", column.type)
                tagged = pc.call_function("binary_join_element_wise", [column.combine_chunks(), suffix, empty])
            table = table.set_column(table.schema.get_field_index(name), name, tagged)
        return table


def _probe_questions(probes: Probes, wanted: FeatureSet) -> pa.Table:
    """Where the honest views do without a key, no probe has one."""
    moments = probes.questions["event_timestamp"].cast(MOMENT)
    kinds = probes.transactions.schema
    keys = [
        probes.questions[key] if key in probes.questions.column_names else pa.nulls(len(moments), kinds.field(key).type)
        for key in wanted.keys
    ]
    return pa.table([moments, moments, *keys], ["event_timestamp", ASKED_AT, *wanted.keys])
