"""One message of a chat."""

from __future__ import annotations

from typing import Literal, NamedTuple, get_args

Role = Literal["system", "user", "assistant"]
ROLES: tuple[Role, ...] = get_args(Role)


class Message(NamedTuple):
    role: Role
    content: str
