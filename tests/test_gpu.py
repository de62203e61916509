from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sentinel.gpu import Card, card_fault, driver_fault, version

WHEEL = ("sm_75", "sm_80", "sm_86", "sm_90", "sm_100", "sm_120", "compute_120")  # of torch for CUDA 13


@pytest.mark.parametrize("capability", [(7, 5), (8, 0), (8, 6), (8, 9), (9, 0), (10, 0), (10, 3), (12, 0), (12, 1)])
def test_a_card_of_a_built_generation_runs(capability: tuple[int, int]) -> None:
    assert card_fault(Card("any", capability), WHEEL, "13.0", "13.0") is None


def test_an_older_card_is_told_apart_from_a_newer_one() -> None:
    old = card_fault(Card("GTX 1080", (6, 1)), WHEEL, "13.0", "13.0")
    assert old is not None
    assert "GTX 1080 (compute capability 6.1)" in old.found and "7.5 to 12.0" in old.found and "an older" in old.mend
    new = card_fault(Card("B200", (10, 0)), ("sm_80", "sm_90"), "13.0", "12.4")
    assert new is not None and "a newer" in new.mend


def test_ptx_runs_on_later_cards_if_the_driver_can_compile_it() -> None:
    later = Card("later", (13, 0))
    assert card_fault(later, WHEEL, "13.2", "13.0") is None
    fault = card_fault(later, WHEEL, "13.0", "13.2")
    assert fault is not None and "driver for CUDA 13.2" in fault.mend
    assert card_fault(Card("earlier", (7, 0)), ("compute_75",), "13.0", "13.0") is not None


def test_code_for_one_architecture_runs_on_no_other() -> None:
    assert card_fault(Card("H200", (9, 0)), ("sm_90a",), "13.0", "13.0") is None
    assert card_fault(Card("B300", (10, 3)), ("sm_100a", "compute_90a"), "13.0", "13.0") is not None
    assert card_fault(Card("B300", (10, 3)), ("sm_100f",), "13.0", "13.0") is None


def test_a_build_without_kernels_fits_no_card() -> None:
    assert card_fault(Card("H200", (9, 0)), (), "13.0", "13.0") is not None


@given(st.tuples(st.integers(1, 30), st.integers(0, 9)), st.tuples(st.integers(1, 30), st.integers(0, 9)))
def test_a_driver_runs_its_own_major_cuda_and_all_before(driver: tuple[int, int], built: tuple[int, int]) -> None:
    fault = driver_fault("580.65", "{}.{}".format(*driver), "{}.{}".format(*built))
    assert (fault is None) == (driver[0] >= built[0])


def test_versions_are_read_from_the_front() -> None:
    assert (version("12.8"), version("13"), version("12.10.1"), version("?")) == ((12, 8), (13, 0), (12, 10), (0, 0))
