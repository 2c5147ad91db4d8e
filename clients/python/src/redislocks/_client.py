"""What the user's client is, and how to make connections like its own.

A lock's connections are its own: a wait occupies one for as long as it takes, and a renewal must not queue
behind an exhausted pool. They are made by the client's connection class from the client's settings (address,
TLS, credentials, database, protocol), with time limits that fit locks and without retries: to ask again is
decided in `_steps`.
"""

from __future__ import annotations

import importlib
import itertools
import socket
from typing import Any, Protocol

from ._answers import Address, Redirect
from .errors import LockConfig

# Seconds, for connecting. A connection says hello before it is asked, so this is the limit for that too.
CONNECT = 2.0

# Settings that are replaced, or that belong to the pool they were made for.
_NOT_COPIED = {
    "cache", "cache_config", "client_cache", "health_check_interval", "himport_registry", "max_connections",
    "response_callbacks", "retry", "retry_on_error", "retry_on_timeout", "socket_timeout",
}  # fmt: skip
_NOT_COPIED_PREFIXES = ("maint", "orig_", "oss_cluster_")


class Client(Protocol):
    """A client of redis-py or valkey-py, for threads or for asyncio, Cluster or not."""

    def execute_command(self, *args: Any, **options: Any) -> Any: ...


class Errors:
    """The exception classes of the package that the client comes from."""

    def __init__(self, package: str) -> None:
        module: Any = importlib.import_module(f"{package}.exceptions")
        self.package = package
        self.response: type[Exception] = module.ResponseError
        self.timeout: type[Exception] = module.TimeoutError
        # A wrong password is an error of this kind too, and no reason to ask again.
        self.authentication: tuple[type[Exception], ...] = (module.AuthenticationError, module.AuthorizationError)
        self.all: tuple[type[Exception], ...] = (
            module.RedisError if package == "redis" else module.ValkeyError,
            OSError,
        )
        self.cluster: type[Exception] = (
            module.RedisClusterException if package == "redis" else module.ValkeyClusterException
        )


class Server:
    """One server, or the master that Sentinel tells of (the connection class asks it)."""

    def __init__(self, client: Any, package: str) -> None:
        self.errors = Errors(package)
        # Kept: what a pool of Sentinel's hands to its connections refers to the pool only weakly.
        self._pool = client.connection_pool

    def find(self, key: str | bytes) -> Address | None:
        """Where the key's lock lives; None: there is only one place."""
        return None

    def connection(self, address: Address | None) -> Any:
        """A new connection, not yet connected."""
        return _connection(self.errors.package, self._pool.connection_class, self._pool.connection_kwargs, address)

    def moved(self, to: Redirect, from_: Address | None) -> Address | None:
        """Where to ask instead, or None where nobody can know."""
        return None

    def gone(self, address: Address | None, key: str | bytes) -> None:
        """The node can't be reached."""


class Cluster:
    """The nodes of a cluster. The user's client says where a slot was; what the nodes say themselves counts more."""

    def __init__(self, client: Any, package: str) -> None:
        self.errors = Errors(package)
        self.client = client
        self._moved: dict[int, Address] = {}
        self._turn = itertools.count()

    def find(self, key: str | bytes) -> Address | None:
        known = self._moved.get(self.client.keyslot(key))
        if known is not None:
            return known
        node = self.client.get_node_from_key(key)
        return (str(node.host), int(node.port))

    def connection(self, address: Address | None) -> Any:
        node = self._any_node()
        if hasattr(node, "connection_kwargs"):  # asyncio
            return _connection(self.errors.package, node.connection_class, node.connection_kwargs, address)
        pool = getattr(self.client, f"get_{self.errors.package}_connection")(node).connection_pool
        return _connection(self.errors.package, pool.connection_class, pool.connection_kwargs, address)

    def moved(self, to: Redirect, from_: Address | None) -> Address | None:
        host = to.host or (from_[0] if from_ else "")
        address: Address = self.client.nodes_manager.remap_host_port(host, to.port)
        if not to.asking:
            self._moved[to.slot] = address
        return address

    def gone(self, address: Address | None, key: str | bytes) -> None:
        """Asks another node next time: that knows who has taken over, and says so."""
        others = [a for a in ((str(n.host), int(n.port)) for n in self.client.get_nodes()) if a != address]
        if others:
            self._moved[self.client.keyslot(key)] = others[next(self._turn) % len(others)]

    def _any_node(self) -> Any:
        nodes = self.client.get_nodes()
        if not nodes:
            raise LockConfig("the Cluster client knows no node: connect it first")
        return nodes[0]


Topology = Server | Cluster


def topology(client: object, *, asyncio: bool) -> Topology:
    """LockConfig where it is no client of the kind that is expected."""
    if isinstance(client, (list, tuple, set, frozenset)):
        raise LockConfig(
            f"a {type(client).__name__} of {len(client)} clients: one lock over several servers is not supported "
            "yet. Give one client: Locks(redis)"
        )
    for cls in type(client).__mro__:
        package, _, rest = cls.__module__.partition(".")
        if package not in ("redis", "valkey"):
            continue
        if rest in ("client", "cluster", "asyncio.client", "asyncio.cluster"):
            if rest.startswith("asyncio.") is not asyncio:
                kind, module = ("an asyncio", "redislocks.asyncio") if not asyncio else ("a blocking", "redislocks")
                raise LockConfig(f"{cls.__qualname__} is {kind} client: use Locks of {module} for it")
            return Cluster(client, package) if rest.endswith("cluster") else Server(client, package)
    raise LockConfig(
        f"{type(client).__qualname__} is no client: Locks takes a Redis or RedisCluster of redis-py or valkey-py"
    )


def _connection(package: str, cls: Any, settings: dict[str, Any], address: Address | None) -> Any:
    copied = {
        name: value
        for name, value in settings.items()
        if name not in _NOT_COPIED and not name.startswith(_NOT_COPIED_PREFIXES)
    }
    if address is not None:
        copied["host"], copied["port"] = address
    if _is_tcp(package, cls) and not copied.get("socket_keepalive"):
        # Who waits says nothing for long: a dead server, or a firewall that forgot him, is noticed by this.
        copied["socket_keepalive"] = True
        copied["socket_keepalive_options"] = _keepalive()
    copied["socket_connect_timeout"] = min(copied.get("socket_connect_timeout") or CONNECT, CONNECT)
    connection = cls(**copied)
    # For what is read while connecting; each answer later has a limit of its own. Not given to the constructor: that
    # of redis-py 5.0 forgets it for a unix socket.
    connection.socket_timeout = CONNECT
    return connection


def _is_tcp(package: str, cls: Any) -> bool:
    names = (f"{package}.connection", f"{package}.asyncio.connection")
    return any(c.__name__ == "Connection" and c.__module__ in names for c in cls.__mro__)


def _keepalive() -> dict[int, int]:
    wanted = {"TCP_KEEPIDLE": 15, "TCP_KEEPINTVL": 5, "TCP_KEEPCNT": 3}
    return {getattr(socket, name): value for name, value in wanted.items() if hasattr(socket, name)}
