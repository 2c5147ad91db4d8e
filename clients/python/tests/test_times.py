from __future__ import annotations

import math
from datetime import timedelta
from typing import Any

import pytest

from redislocks import LockConfig
from redislocks._times import ttl_ms, wait_seconds


@pytest.mark.parametrize(
    ("value", "ms"),
    [(30, 30000), (0.5, 500), ("30s", 30000), ("1500 ms", 1500), ("1.5m", 90000), ("1h", 3600000), ("1d", 86400000),
     (timedelta(seconds=2), 2000), (0.0015, 2), (1.1, 1100), (0.001, 1)],
)  # fmt: skip
def test_a_ttl_is_a_number_of_seconds_a_timedelta_or_a_text(value: Any, ms: int) -> None:
    assert ttl_ms(value) == ms


@pytest.mark.parametrize("value", [None, 0, -1, "30", "s", "", "-1s", True, math.nan, math.inf, [3], 0.0001])
def test_what_is_no_ttl_is_refused_with_its_value(value: Any) -> None:
    with pytest.raises(LockConfig, match="ttl="):
        ttl_ms(value)


def test_a_ttl_of_none_is_refused_in_words() -> None:
    with pytest.raises(LockConfig, match="no lock without a time limit"):
        ttl_ms(None)


def test_a_wait_may_be_none_or_for_ever() -> None:
    assert wait_seconds(None) == 0
    assert wait_seconds("1m") == 60
    assert wait_seconds(math.inf) == math.inf
    with pytest.raises(LockConfig, match="wait="):
        wait_seconds(-1)
