"""What each kind of op keeps alive for the backward pass, in bytes."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from scratchgrad.drawing.record import in_bytes, record_of
from scratchgrad.tensor import Tensor


@dataclass(frozen=True)
class MemoryTable:
    """rows: (op, how often it occurs, the bytes that its closures keep), the largest first. Parameters do not count."""

    rows: list[tuple[str, int, int]]

    @property
    def total(self) -> int:
        return sum(kept for _, _, kept in self.rows)

    def __str__(self) -> str:
        width = max([len("op"), *(len(name) for name, _, _ in self.rows)])
        lines = [f"{'op':{width}}  calls      keeps", "-" * (width + 18)]
        lines += [f"{name:{width}}  {count:5}  {in_bytes(kept):>9}" for name, count, kept in self.rows]
        return "\n".join([*lines, f"{'all':{width}}  {sum(c for _, c, _ in self.rows):5}  {in_bytes(self.total):>9}"])


def memory_table(root: Tensor) -> MemoryTable:
    """What the record below `root` keeps until its backward pass. Memory that several keep counts for the oldest."""
    record, _ = record_of(root)
    calls: Counter[str] = Counter()
    kept: Counter[str] = Counter()
    for box in record.boxes.values():
        if box.kind != "leaf":
            calls[box.name] += 1
            kept[box.name] += box.kept
    return MemoryTable(sorted(((name, calls[name], kept[name]) for name in calls), key=lambda row: (-row[2], row[0])))
