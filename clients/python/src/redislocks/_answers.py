"""What the server's refusals mean: where to ask instead, whether to ask again, or that it never helps."""

from __future__ import annotations

import re
from dataclasses import dataclass

from .errors import Deadlock, LockConfig, LockError, LockUnavailable

Address = tuple[str, int]


@dataclass(frozen=True)
class Redirect:
    """Another node of the cluster has the slot: for good (MOVED) or for this one request (ASK)."""

    slot: int
    host: str  # empty: the host that said so
    port: int
    asking: bool


# By the first word of the error. The clients take off some of these words and say them by a class instead.
_PASSING_WORDS = {
    "BUSY", "CLUSTERDOWN", "COOLDOWN", "LOADING", "MASTERDOWN", "MAXWAITERS",
    "MISCONF", "NOREPLICAS", "OOM", "READONLY", "TRYAGAIN", "UNBLOCKED",
}  # fmt: skip
_PASSING_CLASSES = {
    "BusyLoadingError", "ClusterDownError", "MasterDownError", "MaxConnectionsError", "OutOfMemoryError",
    "ReadOnlyError", "TryAgainError",
}  # fmt: skip
_REDIRECTION = re.compile(r"(?:(MOVED|ASK) )?(\d+) (\S*):(\d+)")


def redirect(error: Exception) -> Redirect | None:
    """MOVED and ASK, as an error class of the cluster clients or as any client's plain text."""
    word = {"MovedError": "MOVED", "AskError": "ASK"}.get(type(error).__name__)
    found = _REDIRECTION.fullmatch(str(error))
    if found is None or (word or found[1]) is None:
        return None
    host = "" if found[3] == "?" else found[3]
    return Redirect(int(found[2]), host, int(found[4]), asking=(word or found[1]) == "ASK")


def tls_refusal(error: BaseException, what: str) -> LockConfig | None:
    """Where one side does not take the other's certificate, or the server does not talk TLS."""
    cause: BaseException | None = error
    while cause is not None:
        reason = str(getattr(cause, "reason", "")) if getattr(cause, "library", "") == "SSL" else ""
        if any(part in reason for part in ("CERTIFICATE", "UNKNOWN_CA", "WRONG_VERSION")):
            return LockConfig(f"{what}: {cause}. Give the client what this server asks for, such as ssl_ca_certs")
        cause = cause.__cause__ or cause.__context__
    return None


def refusal(error: Exception, what: str) -> LockError:
    """An error that the server answered, as one of ours."""
    text = str(error)
    kind = type(error).__name__
    word = text.split(" ", 1)[0]
    if word == "DEADLOCK":
        return Deadlock(f"{what}: waiting would close a circle ({text}). Release what you hold and begin again")
    if word in _PASSING_WORDS or kind in _PASSING_CLASSES or "max number of clients" in text:
        return LockUnavailable(f"{what}: the server can't do it now: {text}")
    if "unknown command" in text.lower():
        return LockConfig(
            f"{what}: the server does not know the LOCK commands. Load the module there: loadmodule "
            f"/path/to/libredis_lock.so in its configuration ({text})"
        )
    if word == "WRONGTYPE":
        return LockConfig(
            f"{what}: the key holds something else than a lock, perhaps the SET NX lock of an older program. "
            f"Use another key, or wait until that one is gone ({text})",
            other_type=True,
        )
    if kind == "NoPermissionError" or word == "NOPERM":
        return LockConfig(
            f"{what}: the user has no permission. Grant it, say: ACL SETUSER name ~key* +lock.acquire "
            f"+lock.extend +lock.release ({text})"
        )
    if "CROSSSLOT" in text or kind == "ClusterCrossSlotError":
        return LockConfig(
            f"{what}: keys that are locked together must be in one slot. Give them a common part in braces, as in "
            "{acct}:1 and {acct}:2"
        )
    if kind == "MovedError" or word == "MOVED":
        return LockConfig(f"{what}: the server is part of a cluster. Use the client's Cluster class ({text})")
    return LockConfig(f"{what}: {text}")
