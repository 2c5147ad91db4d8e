"""Certificates of the tests' own, made by openssl, and what servers and clients are told of them."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

# Not every build talks TLS. Which server it is does not matter here: the connections are what is tested.
_CANDIDATES = [os.environ.get("REDIS_SERVER") or "redis-server", "redis-server"]


def _talks_tls(server: str) -> bool:
    """It misses the certificate, and not the support."""
    if shutil.which(server) is None:
        return False
    said = subprocess.run([server, "--port", "0", "--tls-port", "1"], capture_output=True, text=True, timeout=10)
    return "No tls-cert-file configured" in said.stdout + said.stderr


SERVER = next(filter(_talks_tls, _CANDIDATES), "")


def missing() -> str:
    if shutil.which("openssl") is None:
        return "no openssl here: apt-get install openssl"
    return "" if SERVER else "no server here that was built with TLS: apt-get install redis-server"


class Certificates:
    """An authority, what it signed for a server at localhost and for a client, and another authority."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        (folder / "openssl.cnf").write_text("[req]\ndistinguished_name = name\n[name]\n")
        for authority in ("ca", "other"):
            self._make(authority, "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=critical,keyCertSign")
        signed = ("-CA", "ca.crt", "-CAkey", "ca.key")
        self._make("server", "subjectAltName=DNS:localhost,IP:127.0.0.1", *signed)
        self._make("client", "basicConstraints=CA:FALSE", *signed)

    def _make(self, name: str, extension: str, *options: str) -> None:
        key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", f"{name}.key"]
        command = ["openssl", "req", "-config", "openssl.cnf", "-x509", "-days", "2", "-subj", f"/CN={name}"]
        command += [*key, "-out", f"{name}.crt", "-addext", extension, *options]
        subprocess.run(command, cwd=self._folder, check=True, capture_output=True)

    def of_server(self, port: int) -> list[str]:
        """Arguments: at this port nobody is let in without a certificate, other servers included."""
        files = {"cert-file": "server.crt", "key-file": "server.key", "ca-cert-file": "ca.crt"}
        arguments = [word for name, file in files.items() for word in (f"--tls-{name}", str(self._folder / file))]
        return ["--port", "0", "--tls-port", str(port), *arguments, "--tls-cluster", "yes", "--tls-replication", "yes"]

    def of_client(self, authority: str = "ca") -> dict[str, Any]:
        """Settings as users give them."""
        files = {"ca_certs": f"{authority}.crt", "certfile": "client.crt", "keyfile": "client.key"}
        return {f"ssl_{name}": str(self._folder / file) for name, file in files.items()}
