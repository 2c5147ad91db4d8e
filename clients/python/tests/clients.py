"""The client package under test: redis-py or valkey-py, whichever is installed."""

from __future__ import annotations

import importlib
import importlib.util
from typing import Any

PACKAGE = "redis" if importlib.util.find_spec("redis") else "valkey"
_sync: Any = importlib.import_module(PACKAGE)
_asyncio: Any = importlib.import_module(f"{PACKAGE}.asyncio")
_name = PACKAGE.capitalize()

VERSION: str = _sync.__version__
Redis = getattr(_sync, _name)
RedisCluster = getattr(_sync, f"{_name}Cluster")
Sentinel = _sync.Sentinel
AsyncRedis = getattr(_asyncio, _name)
AsyncRedisCluster = getattr(_asyncio, f"{_name}Cluster")
AsyncSentinel = _asyncio.Sentinel
