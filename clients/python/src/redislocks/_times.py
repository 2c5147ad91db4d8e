"""Times as people write them: seconds as a number, a timedelta, or "30s"."""

from __future__ import annotations

import math
import re
from datetime import timedelta

from .errors import LockConfig

Duration = int | float | timedelta | str

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_WRITTEN = re.compile(r"\s*(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)\s*")


def seconds(name: str, value: Duration) -> float:
    """`value` in seconds; LockConfig where it is no time, or below 0."""
    result: float
    if isinstance(value, timedelta):
        result = value.total_seconds()
    elif isinstance(value, str):
        written = _WRITTEN.fullmatch(value)
        if written is None:
            raise LockConfig(
                f'{name}={value!r} is no time: write seconds as a number, a timedelta, or "30s" (ms, s, m, h, d)'
            )
        result = float(written[1]) * _UNITS[written[2]]
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        result = float(value)
    else:
        raise LockConfig(f'{name}={value!r} is no time: write seconds as a number, a timedelta, or "30s"')
    if math.isnan(result) or result < 0:
        raise LockConfig(f"{name}={value!r} must not be below 0")
    return result


def ttl_ms(value: Duration | None) -> int:
    """A ttl in whole milliseconds, as the server wants it."""
    if value is None:
        raise LockConfig(
            "ttl=None: there is no lock without a time limit. Give a ttl, say ttl=30; it is renewed while you work"
        )
    result = seconds("ttl", value)
    if not 0.001 <= result < math.inf:
        raise LockConfig(f"ttl={value!r} must be at least one millisecond, and finite")
    return math.ceil(round(result * 1000, 6))


def wait_seconds(value: Duration | None) -> float:
    """How long to stand in line: 0 (not at all) to infinity."""
    return 0.0 if value is None else seconds("wait", value)
