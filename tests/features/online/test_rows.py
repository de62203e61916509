"""What every online store promises, held against the real ones; and the bytes of keys and rows."""

from __future__ import annotations

import random
import threading
from contextlib import closing
from pathlib import Path

import pytest
import redis
from hypothesis import given
from hypothesis import strategies as st

from sentinel.errors import ConfigInvalid, ServiceUnavailable
from sentinel.features.online.rows import (
    Key,
    OnlineRow,
    OnlineRows,
    pack_key,
    pack_moment,
    pack_row,
    unpack_key,
    unpack_moment,
    unpack_row,
)
from sentinel.features.online.store import online_file, open_online
from sentinel.paths import Paths

VIEW, OTHER = "customer_spending_0123456789ab", "customer_spending_ba9876543210"
INT64 = st.integers(-(2**63), 2**63 - 1)
KEYS = st.lists(INT64 | st.text(max_size=5), min_size=1, max_size=3).map(tuple)
ALIKE: tuple[Key, ...] = (
    (1, 23), (12, 3), (123,), ("1", "23"), ("12", "3"), (1, "23"), ("1,23",), ("[1,23]",), (1,), ("1",), ("",),
    ("", ""), (" 1",), ("1 ",), ("é",), ("e\u0301",), ("a:b",), ("a", "b"), ('a","b',), ("\x00",), ("*",), ("?",),
)  # fmt: skip


def row(key: Key, known_at_us: int, *values: int | None) -> OnlineRow:
    return OnlineRow(key, known_at_us, values)


@given(KEYS, INT64, st.lists(INT64 | st.none(), max_size=40))
def test_row_is_unpacked_as_it_was_packed(key: Key, moment: int, values: list[int | None]) -> None:
    packed = pack_row(row(key, moment, *values))
    assert unpack_row(key, packed) == row(key, moment, *values)
    assert unpack_moment(packed) == moment


@given(KEYS, KEYS)
def test_two_keys_are_never_written_alike(one: Key, other: Key) -> None:
    assert unpack_key(pack_key(one)) == one
    assert (pack_key(one) == pack_key(other)) == (one == other)


@given(INT64, INT64)
def test_moments_sort_as_their_bytes(one: int, other: int) -> None:
    assert (one < other) == (pack_moment(one) < pack_moment(other))


def test_value_beyond_64_bits_is_refused_and_not_cut(rows: OnlineRows) -> None:
    with pytest.raises(Exception, match="int"):
        rows.write(VIEW, [row((1,), 5, 2**63)])
    assert rows.read([(VIEW, (1,))]) == [None]


def test_keys_that_look_alike_have_rows_of_their_own(rows: OnlineRows) -> None:
    written = [row(key, 1_700_000_000_000_000, position, None) for position, key in enumerate(ALIKE)]
    rows.write(VIEW, written)
    assert rows.read([(VIEW, key) for key in ALIKE]) == written
    assert rows.read([(VIEW, (23, 1)), (VIEW, ("é", "é"))]) == [None, None]


def test_older_row_never_replaces_a_newer_one_not_even_by_a_microsecond(rows: OnlineRows) -> None:
    newest = row((7,), 1_700_000_000_000_001, 2)
    rows.write(VIEW, [newest])
    rows.write(VIEW, [row((7,), 1_700_000_000_000_000, 1), row((7,), -1, 0)])
    assert rows.read([(VIEW, (7,))]) == [newest]


def test_of_rows_of_one_moment_the_one_written_last_stays(rows: OnlineRows) -> None:
    rows.write(VIEW, [row((7,), 5, 9), row((7,), 5, 3)])
    assert rows.read([(VIEW, (7,))]) == [row((7,), 5, 3)]
    rows.write(VIEW, [row((7,), 5, 1)])
    assert rows.read([(VIEW, (7,))]) == [row((7,), 5, 1)]


def test_versions_of_a_view_hold_their_rows_apart(rows: OnlineRows) -> None:
    rows.write(VIEW, [row((7,), 5, 1)])
    rows.write(OTHER, [row((7,), 4, 2, None)])
    assert rows.read([(VIEW, (7,)), (OTHER, (7,)), ("unheard_of", (7,))]) == [
        row((7,), 5, 1), row((7,), 4, 2, None), None,
    ]  # fmt: skip


def test_data_sets_hold_their_rows_apart(tmp_path: Path, store_url: str | None, rows: OnlineRows) -> None:
    with closing(open_online(Paths(tmp_path / "root", tmp_path / "home"), "tiny-2", store_url)) as neighbour:
        neighbour.write(VIEW, [row((7,), 5, 1)])
        neighbour.note("subject", "text")
    assert rows.read([(VIEW, (7,))]) == [None]
    assert rows.noted("subject") is None


def test_many_rows_come_back_in_the_order_asked(rows: OnlineRows) -> None:
    written = [row((number, f"m{number}"), number, number, None, -number) for number in range(25_000)]
    rows.write(VIEW, random.Random(1).sample(written, len(written)))
    asked = random.Random(2).sample(written, 500)
    assert rows.read([(VIEW, each.key) for each in asked]) == asked
    held = [each for batch in rows.held(VIEW) for each in batch]
    assert sorted(held) == [(each.key, each.known_at_us) for each in written]


def test_removal_spares_what_became_knowable_later(rows: OnlineRows) -> None:
    rows.write(VIEW, [row((1,), 5, 1), row((2,), 6, 1), row((3,), 5, 1)])
    rows.remove(VIEW, [(1,), (2,), (4,)], 5)
    rows.remove("unheard_of", [], 5)
    assert rows.read([(VIEW, (1,)), (VIEW, (2,)), (VIEW, (3,))]) == [None, row((2,), 6, 1), row((3,), 5, 1)]


def test_writers_at_once_leave_the_newest_row_of_each_key(tmp_path: Path, store_url: str | None) -> None:
    paths = Paths(tmp_path / "root", tmp_path / "home")

    def write(seed: int) -> None:
        drawn = random.Random(seed)
        with closing(open_online(paths, "tiny", store_url)) as own:
            for moment in drawn.sample(range(100), 100):
                own.write(VIEW, [row((key,), moment * 4 + seed, seed) for key in range(20)])

    threads = [threading.Thread(target=write, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with closing(open_online(paths, "tiny", store_url)) as rows:
        assert rows.read([(VIEW, (key,)) for key in range(20)]) == [row((key,), 399, 3) for key in range(20)]


def test_rows_and_notes_outlive_the_connection(tmp_path: Path, store_url: str | None, rows: OnlineRows) -> None:
    rows.write(VIEW, [row((1,), 5, 1)])
    rows.note("subject", "text")
    rows.close()
    with closing(open_online(Paths(tmp_path / "root", tmp_path / "home"), "tiny", store_url)) as again:
        assert again.read([(VIEW, (1,))]) == [row((1,), 5, 1)]
        assert again.noted("subject") == "text"


def test_redis_that_forgot_the_script_is_taught_it_again(tmp_path: Path, redis_url: str) -> None:
    with (
        closing(open_online(Paths(tmp_path, tmp_path), "tiny", redis_url)) as rows,
        redis.Redis.from_url(redis_url) as client,
    ):
        rows.write(VIEW, [row((1,), 5, 1)])
        client.script_flush()
        rows.write(VIEW, [row((1,), 6, 2), row((2,), 6, 2)])
        assert rows.read([(VIEW, (1,)), (VIEW, (2,))]) == [row((1,), 6, 2), row((2,), 6, 2)]


def test_redis_rows_have_readable_keys_and_do_not_expire(tmp_path: Path, redis_url: str) -> None:
    with (
        closing(open_online(Paths(tmp_path, tmp_path), "tiny", redis_url)) as rows,
        redis.Redis.from_url(redis_url) as client,
    ):
        rows.write(VIEW, [row((1, "a"), 5, 1)])
        (key,) = client.keys()
        assert key.decode() == f'sentinel:tiny:{VIEW}:[1,"a"]'
        assert client.ttl(key) == -1


def test_redis_that_does_not_answer_is_told_with_its_address_and_where_it_is_named(tmp_path: Path) -> None:
    address = "redis://user:sesame@127.0.0.1:1/0"
    with pytest.raises(ServiceUnavailable) as told:
        open_online(Paths(tmp_path, tmp_path), "tiny", address, where="configs/bank.toml:12")
    sentence = str(told.value)
    assert "redis://127.0.0.1:1/0" in sentence and "configs/bank.toml:12" in sentence and "sesame" not in sentence


def test_redis_that_refuses_to_write_is_told(tmp_path: Path, redis_url: str) -> None:
    with (
        closing(open_online(Paths(tmp_path, tmp_path), "tiny", redis_url)) as rows,
        redis.Redis.from_url(redis_url) as client,
    ):
        client.config_set("maxmemory", "1")
        try:
            with pytest.raises(ServiceUnavailable, match="memory"):
                rows.write(VIEW, [row((1,), 5, 1)])
        finally:
            client.config_set("maxmemory", "0")


def test_nonsense_for_an_address_is_a_mistake_in_the_configuration(tmp_path: Path) -> None:
    with pytest.raises(ConfigInvalid, match="localhost:6379 is no address of a Redis"):
        open_online(Paths(tmp_path, tmp_path), "tiny", "localhost:6379")


def test_damaged_file_is_told_in_a_sentence(tmp_path: Path) -> None:
    paths = Paths(tmp_path, tmp_path / "home")
    file = online_file(paths, "tiny")
    file.parent.mkdir(parents=True)
    file.write_bytes(b"this is no database" * 100)
    with pytest.raises(ServiceUnavailable, match="delete it and run `sentinel features materialize`"):
        open_online(paths, "tiny", None)
