"""Runs a program as it stands, with redis.Redis() meaning the test's server: run_example.py PORT FILE"""

from __future__ import annotations

import runpy
import sys
from typing import Any

import redis
import redis.asyncio


def _on_port(cls: Any, port: int) -> Any:
    class Redis(cls):  # type: ignore[misc]
        def __init__(self, **options: Any) -> None:
            super().__init__(port=port, **options)

    return Redis


port, file = int(sys.argv[1]), sys.argv[2]
for module in (redis, redis.asyncio):
    setattr(module, "Redis", _on_port(module.Redis, port))  # noqa: B010
runpy.run_path(file, run_name="__main__")
