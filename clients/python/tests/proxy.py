"""A proxy before a server, with a network's faults: an answer that gets lost, a request that comes late."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress


class Proxy:
    def __init__(self, path: str) -> None:
        self._path = path
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._lose_answer_to: bytes | None = None
        self._hold_back: bytes | None = None
        self._deliver, self._delivered = threading.Event(), threading.Event()
        threading.Thread(target=self._accept, daemon=True).start()

    def lose_answer_to(self, command: str) -> None:
        """The next such command reaches the server; instead of its answer the connection is closed."""
        self._lose_answer_to = command.encode()

    def hold_back(self, command: str) -> None:
        """The next such command, and what follows on its connection, reaches the server on `deliver`."""
        self._hold_back = command.encode()
        self._deliver.clear()
        self._delivered.clear()

    def deliver(self) -> None:
        self._deliver.set()
        assert self._delivered.wait(10)

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.socket(socket.AF_UNIX)
                server.connect(self._path)
                threading.Thread(target=self._serve, args=(client, server), daemon=True).start()

    def _serve(self, client: socket.socket, server: socket.socket) -> None:
        threading.Thread(target=self._pump, args=(server, client), daemon=True).start()
        with suppress(OSError):
            while data := client.recv(65536):
                if self._lose_answer_to is not None and self._lose_answer_to in data:
                    self._lose_answer_to = None
                    self._carry_out(data)
                    break
                if self._hold_back is not None and self._hold_back in data:
                    self._hold_back = None
                    while more := client.recv(65536):
                        data += more
                    self._deliver.wait(20)
                    self._carry_out(data)
                    self._delivered.set()
                    break
                server.sendall(data)
        for s in (client, server):
            with suppress(OSError):
                s.shutdown(socket.SHUT_RDWR)
            s.close()

    def _carry_out(self, data: bytes) -> None:
        """All of it, with nobody to hear the answers."""
        with socket.socket(socket.AF_UNIX) as server:
            server.connect(self._path)
            server.sendall(data)
            server.shutdown(socket.SHUT_WR)
            while server.recv(65536):
                pass

    def _pump(self, source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                target.sendall(data)
