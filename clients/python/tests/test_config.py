"""What asking again does not help against is told at once, and says what to do."""

from __future__ import annotations

import time
from typing import Any

import pytest
from clients import Redis
from servers import Server

from redislocks import LockConfig, Locks


def refused(locks: Locks, match: str, **options: Any) -> None:
    began = time.monotonic()
    with pytest.raises(LockConfig, match=match):
        locks.acquire(options.pop("keys", "a"), **{"ttl": 30, "wait": 10, **options})
    assert time.monotonic() - began < 1


def test_no_module() -> None:
    server = Server(module=False)
    try:
        refused(Locks(Redis(**server.settings())), "loadmodule")
    finally:
        server.stop()


def test_another_type_at_the_key(server: Server) -> None:
    server.redis.set("a", "an older program's", nx=True)
    refused(Locks(Redis(**server.settings())), "SET NX lock of an older program")


def test_a_ttl_above_the_servers_limit(server: Server) -> None:
    refused(Locks(Redis(**server.settings())), "between 1 and 86400000", ttl="2d")


def test_options_that_contradict_or_are_none(server: Server) -> None:
    locks = Locks(Redis(**server.settings()))
    refused(locks, "contradict", shared=True, limit=2)
    refused(locks, "limit must be between", limit=0)
    refused(locks, "limit='2' must be a whole number", limit="2")
    refused(locks, "fence=1.5 must be a whole number", fence=1.5)
    refused(locks, "meta=7 must be a text", meta=7)
    refused(locks, "meta must be at most 512 bytes", meta="x" * 513)
    refused(locks, "no key given", keys=[])
    for wrong in (7, None, bytearray(b"a")):
        refused(locks, "is no key", keys=[wrong])
        refused(locks, "is no key", keys=wrong)
    refused(locks, "too far ahead", fence=2**60)


def test_no_permission_and_no_password(own_server: Server) -> None:
    own_server.redis.execute_command("ACL", "SETUSER", "poor", "on", ">x", "~*", "+ping", "+client")
    refused(Locks(Redis(**own_server.settings(), username="poor", password="x")), r"ACL SETUSER")
    refused(Locks(Redis(**own_server.settings(), username="poor", password="y")), r"(?i)password")
    own_server.redis.config_set("requirepass", "secret")
    refused(Locks(Redis(**own_server.settings())), r"(?i)auth")
