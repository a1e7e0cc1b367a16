"""What tensors are called in the code that asks for a picture: its variables."""

from __future__ import annotations

from scratchgrad.autograd import Node
from scratchgrad.callers import users_frame
from scratchgrad.tensor import Tensor


def variables_of_the_caller() -> dict[Node, tuple[str, Tensor]]:
    """The names and tensors of the innermost caller outside of this package, by the node that a variable holds.

    Its local variables count before its module's, and the first of several names.
    """
    frame = users_frame()
    found: dict[Node, tuple[str, Tensor]] = {}
    for variables in (frame.f_locals, frame.f_globals):
        for name, value in list(variables.items()):
            if isinstance(value, Tensor) and value.node is not None and not name.startswith("_"):
                found.setdefault(value.node, (name, value))
    return found
