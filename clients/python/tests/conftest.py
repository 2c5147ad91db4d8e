from __future__ import annotations

import signal
from collections.abc import Iterator

import clients
import pytest
from proxy import Proxy
from servers import MODULE, ClusterServers, SentinelServers, Server

# Where the tests are started in the background, it is ignored, and would be by all programs that they start.
signal.signal(signal.SIGINT, signal.default_int_handler)

# The examples are written for redis-py.
collect_ignore = [] if clients.PACKAGE == "redis" else ["test_examples.py"]


def pytest_report_header() -> str:
    return f"client: {clients.PACKAGE} {clients.VERSION}, module: {MODULE}"


@pytest.fixture(scope="session")
def shared_server() -> Iterator[Server]:
    server = Server()
    yield server
    server.stop()


@pytest.fixture
def server(shared_server: Server) -> Iterator[Server]:
    """A server that stays as it is: for tests that neither stop nor configure it."""
    shared_server.redis.flushall()
    yield shared_server


@pytest.fixture
def own_server() -> Iterator[Server]:
    """A server that the test may stop, freeze or configure."""
    server = Server("--appendonly", "yes", "--appendfsync", "always")
    yield server
    server.thaw()
    server.stop()


@pytest.fixture
def proxy(server: Server) -> Iterator[Proxy]:
    proxy = Proxy(server.path)
    yield proxy
    proxy.close()


@pytest.fixture(scope="session")
def cluster() -> Iterator[ClusterServers]:
    cluster = ClusterServers()
    yield cluster
    cluster.stop()


@pytest.fixture
def sentinel() -> Iterator[SentinelServers]:
    sentinel = SentinelServers()
    yield sentinel
    sentinel.stop()
