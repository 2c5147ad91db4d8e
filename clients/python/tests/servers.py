"""Servers of the tests' own: started in a temporary folder, ended by their process id."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import certificates as tls
from certificates import Certificates
from clients import Redis

PACKAGE = Path(__file__).resolve().parent.parent
MODULE = os.environ.get("REDIS_LOCK_MODULE") or str(PACKAGE.parents[1] / "target/release/libredis_lock.so")
SERVER = os.environ.get("REDIS_SERVER") or "redis-server"


def until(condition: Callable[[], Any], seconds: float = 10.0) -> Any:
    """What `condition` gives once it is true."""
    end = time.monotonic() + seconds
    while True:
        try:
            result, why = condition(), ""
        except Exception as error:  # such as: not there yet
            result, why = None, repr(error)
        if result:
            return result
        assert time.monotonic() < end, f"not within {seconds} s: {condition} {why}"
        time.sleep(0.005)


def in_thread(function: Callable[[], Any]) -> Callable[[], Any]:
    """Starts it; the result is for whoever calls what this returns."""
    outcome: list[Any] = []

    def run() -> None:
        try:
            outcome.append(function())
        except BaseException as error:
            outcome.append(error)

    thread = threading.Thread(target=run)
    thread.start()

    def result() -> Any:
        thread.join(20)
        assert outcome, "the thread has not ended"
        return outcome[0]

    return result


# Processes begin at different places.
PORTS = iter(range(10000 + os.getpid() % 80 * 101, 20000))


def free_port() -> int:
    """Below the range that the system takes for clients, with room for a cluster's bus above it, and never twice:
    nobody answers in place of a server that was killed."""
    for port in PORTS:
        try:
            for candidate in (port, port + 10000):
                with socket.socket() as s:
                    s.bind(("127.0.0.1", candidate))
        except OSError:
            continue
        return port
    raise AssertionError("no free port")


class Server:
    """With certificates it talks TLS at its port. Tests ask it by its unix socket in any case."""

    def __init__(
        self, *arguments: str, module: bool = True, port: int = 0, certificates: Certificates | None = None
    ) -> None:
        self.folder = tempfile.mkdtemp(prefix="redislocks")
        self.port = port
        self.path = os.path.join(self.folder, "socket")
        self._arguments = [tls.SERVER if certificates else SERVER, *(["--loadmodule", MODULE] if module else [])]
        self._arguments += certificates.of_server(port) if certificates else ["--port", str(port)]
        self._arguments += ["--bind", "127.0.0.1", "--unixsocket", self.path]
        self._arguments += ["--dir", self.folder, "--save", "", "--logfile", "log"]
        self._arguments += ["--repl-diskless-sync-delay", "0", *arguments]
        self.start()

    def start(self) -> None:
        self.process = subprocess.Popen(self._arguments, stdout=subprocess.DEVNULL)
        self.redis = Redis(unix_socket_path=self.path, decode_responses=True)
        until(self.redis.ping)

    def settings(self) -> dict[str, Any]:
        """For a client of this server."""
        return {"host": "127.0.0.1", "port": self.port} if self.port else {"unix_socket_path": self.path}

    def freeze(self) -> None:
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self.process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def stop(self) -> None:
        self.redis.close()
        self.kill()
        shutil.rmtree(self.folder)

    def info(self, key: str) -> dict[str, Any]:
        """LOCK.INFO, as a map whatever the protocol."""
        return _info(self.redis.execute_command("LOCK.INFO", key))

    def waiting(self, key: str) -> int:
        return len(self.in_line(key))

    def in_line(self, key: str) -> list[dict[str, Any]]:
        waiters: list[dict[str, Any]] = self.info(key).get("waiters", [])
        return waiters

    def holders(self, key: str) -> list[dict[str, Any]]:
        holders: list[dict[str, Any]] = self.info(key).get("holders", [])
        return holders

    def nothing_left(self, *keys: str) -> bool:
        """Nobody holds or waits."""
        return not any(self.info(key) for key in keys)

    def is_in_sync(self) -> bool:
        return bool(self.redis.info("replication").get("master_link_status") == "up")


def _info(reply: Any) -> dict[str, Any]:
    if not reply:
        return {}
    flat = _map(reply)
    return {**flat, "holders": [_map(h) for h in flat["holders"]], "waiters": [_map(w) for w in flat["waiters"]]}


def _map(reply: Any) -> dict[str, Any]:
    return reply if isinstance(reply, dict) else dict(zip(reply[::2], reply[1::2], strict=True))


class ClusterServers:
    """Three masters, with all slots; `replicas` more behind them."""

    def __init__(self, replicas: int = 0, certificates: Certificates | None = None) -> None:
        options = ("--cluster-enabled", "yes", "--cluster-node-timeout", "1000", "--appendonly", "no")
        self.nodes: list[Server] = []
        for _ in range(3 + replicas):
            # One after the other: each port is taken then.
            self.nodes.append(Server(*options, port=free_port(), certificates=certificates))
        masters = self.nodes[:3]
        for i, node in enumerate(masters):
            first, last = 16384 * i // 3, 16384 * (i + 1) // 3 - 1
            node.redis.execute_command("CLUSTER", "ADDSLOTSRANGE", first, last)
            node.redis.execute_command("CLUSTER", "SET-CONFIG-EPOCH", i + 1)
        for node in self.nodes[1:]:
            node.redis.execute_command("CLUSTER", "MEET", "127.0.0.1", self.nodes[0].port)
        until(lambda: all(self._sees(node, len(self.nodes)) for node in self.nodes), 20)
        for i, replica in enumerate(self.nodes[3:]):
            replica.redis.execute_command("CLUSTER", "REPLICATE", self.id(masters[i]))
            until(replica.is_in_sync, 20)
        until(lambda: all(self._knows_replicas(node, replicas) for node in self.nodes), 20)

    def _sees(self, node: Server, count: int) -> bool:
        info = node.redis.execute_command("CLUSTER", "INFO")
        return "cluster_state:ok" in info and f"cluster_known_nodes:{count}\r" in info

    def _knows_replicas(self, node: Server, count: int) -> bool:
        nodes: str = node.redis.execute_command("CLUSTER", "NODES")
        return nodes.count("slave") == count

    def id(self, node: Server) -> str:
        return str(node.redis.execute_command("CLUSTER", "MYID"))

    def owner_of(self, key: str) -> Server:
        """As it was laid out in the beginning."""
        slot = self.nodes[0].redis.execute_command("CLUSTER", "KEYSLOT", key)
        return next(node for i, node in enumerate(self.nodes[:3]) if slot < 16384 * (i + 1) // 3)

    def move(self, key: str, source: Server, target: Server) -> None:
        """Moves the slot of `key`, keys and all, as redis-cli does."""
        slot = source.redis.execute_command("CLUSTER", "KEYSLOT", key)
        target.redis.execute_command("CLUSTER", "SETSLOT", slot, "IMPORTING", self.id(source))
        source.redis.execute_command("CLUSTER", "SETSLOT", slot, "MIGRATING", self.id(target))
        for k in source.redis.execute_command("CLUSTER", "GETKEYSINSLOT", slot, 1000):
            source.redis.execute_command("MIGRATE", "127.0.0.1", target.port, k, 0, 5000)
        for node in (target, source, *self.nodes[:3]):
            node.redis.execute_command("CLUSTER", "SETSLOT", slot, "NODE", self.id(target))

    def stop(self) -> None:
        for node in self.nodes:
            node.stop()


class SentinelServers:
    """A master, a replica, and one sentinel that suffices to fail over."""

    def __init__(self) -> None:
        self.master = Server(port=free_port())
        self.replica = Server("--replicaof", f"127.0.0.1 {self.master.port}", port=free_port())
        until(self.replica.is_in_sync, 20)
        self.port = free_port()
        self.folder = tempfile.mkdtemp(prefix="redislocks")
        Path(self.folder, "sentinel.conf").write_text(
            f"port {self.port}\nbind 127.0.0.1\ndir {self.folder}\nlogfile log\n"
            f"sentinel monitor main 127.0.0.1 {self.master.port} 1\n"
            "sentinel down-after-milliseconds main 500\nsentinel failover-timeout main 5000\n"
        )
        self.process = subprocess.Popen(
            [SERVER, f"{self.folder}/sentinel.conf", "--sentinel"], stdout=subprocess.DEVNULL
        )
        redis = Redis(port=self.port, decode_responses=True)
        # The sentinel must know the replica before it can promote it.
        until(lambda: len(redis.execute_command("SENTINEL", "REPLICAS", "main")) == 1, 20)
        redis.close()

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()
        self.master.stop()
        self.replica.stop()
        shutil.rmtree(self.folder)
