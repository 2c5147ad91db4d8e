"""A Postgres of the tests' own: on a unix socket in a temporary folder."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from servers import until

_BINARIES = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"))
MISSING = "" if _BINARIES else "no Postgres here: apt-get install postgresql brings its programs"


@contextmanager
def postgres_server() -> Iterator[Path]:
    """Its folder, for PGHOST; user "test", database "postgres". It refuses to be root, so then it is nobody."""
    binaries = _BINARIES[-1].parent
    folder = Path(tempfile.mkdtemp(prefix="redislocks", dir="/tmp"))  # a socket's path must be short
    if os.geteuid() == 0:
        shutil.chown(folder, "nobody", "nogroup")
    data = folder / "data"
    with (folder / "log").open("w") as log:
        initdb: list[str | Path] = [binaries / "initdb", "-D", data, "-A", "trust", "-U", "test", "--no-sync"]
        assert _start(initdb, folder, subprocess.DEVNULL).wait() == 0
        arguments: list[str | Path] = [binaries / "postgres", "-D", data, "-k", folder, "-c", "listen_addresses=", "-F"]
        process = _start(arguments, folder, log.fileno())
        try:
            until(lambda: subprocess.call([str(binaries / "pg_isready"), "-q", "-h", str(folder)]) == 0, 30)
            yield folder
        finally:
            process.send_signal(signal.SIGINT)
            process.wait()
            shutil.rmtree(folder)


def _start(arguments: list[str | Path], folder: Path, output: int) -> subprocess.Popen[bytes]:
    if os.geteuid() != 0:
        return subprocess.Popen(arguments, stdout=output, stderr=output, cwd=folder)
    return subprocess.Popen(
        arguments, stdout=output, stderr=output, cwd=folder, user="nobody", group="nogroup", extra_groups=[]
    )
