"""Keys with fields in braces, filled from the arguments of a call: "invoice:{order_id}"."""

from __future__ import annotations

import inspect
import string
from collections.abc import Callable
from typing import Any

from ._request import Keys
from .errors import LockConfig


def filler(keys: Keys, function: Callable[..., Any]) -> Callable[..., Keys]:
    """From the arguments of a call of `function` to its keys. LockConfig at once where a field is no parameter."""
    if isinstance(keys, bytes):
        return lambda *args, **kwargs: keys
    templates = [keys] if isinstance(keys, str) else list(keys)
    signature = inspect.signature(function)
    for template in templates:
        if isinstance(template, str):
            _check(template, signature, function)

    def fill(*args: Any, **kwargs: Any) -> Keys:
        bound = signature.bind(*args, **kwargs)
        bound.apply_defaults()
        return [t.format(**bound.arguments) if isinstance(t, str) else t for t in templates]

    return fill


def _check(template: str, signature: inspect.Signature, function: Callable[..., Any]) -> None:
    try:
        fields = [field for _, field, _, _ in string.Formatter().parse(template) if field is not None]
    except ValueError as error:
        raise LockConfig(
            f"{template!r} is no template: {error}. Braces that are meant are doubled: {{{{ }}}}"
        ) from None
    for field in fields:
        name = field.split(".")[0].split("[")[0]
        if name not in signature.parameters:
            raise LockConfig(
                f"{template!r}: {function.__qualname__} has no parameter {name!r} "
                f"(it has: {', '.join(signature.parameters) or 'none'}). Braces that are meant are doubled: {{{{ }}}}"
            )
