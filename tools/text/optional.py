"""Libraries that only some readers and steps need: imported when asked for, and told by name where they lack."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType

from scratchgrad.errors import UserError


def need(module: str, extra: str) -> ModuleType:
    """The module of this full name; UserError, which names the extra of this package that brings it, where it lacks."""
    try:
        return import_module(module)
    except ImportError as error:
        package = module.partition(".")[0]
        if error.name is not None and error.name.partition(".")[0] != package:
            raise  # it is there, and lacks something itself
        raise UserError(f'this needs {package}, which is not installed: pip install "scratchgrad[{extra}]"') from None
