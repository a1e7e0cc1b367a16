"""A process beside a rank that ends it where it stands still before training: stopped, or waiting for what never comes.

MPI's start waits for all ranks and holds Python's lock, and a stopped rank may hold that of the data: only another
process sees it. It is started before anything is imported (scratchgrad_start.py), so this file imports no package; and
it leaves as soon as the watchdog watches, or its rank is gone. A launcher ends the job whose process dies by a signal.

    python guard.py <how to name it> <processes, the outermost first>       with lines of `tell_guard` on standard input
"""

from __future__ import annotations

import os
import select
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import suppress

DEADLINE = 20.0  # seconds, until the recipe says another
STOPPED, SLEEPS = "T", "S"  # other states: it runs, or waits for its turn, a disk or a debugger


def signs_of_life(process: int) -> tuple[str, ...]:
    """What stays the same only while the main thread of a process sleeps or is stopped, as far as /proc tells it."""
    moment = str(time.monotonic_ns())
    try:
        with open(f"/proc/{process}/task/{process}/stat") as file:
            state, *numbers = file.read().rpartition(")")[2].split()
        with open(f"/proc/{process}/task/{process}/status") as file:
            switches = [line.split()[1] for line in file if "ctxt_switches" in line]
    except OSError:
        return (moment,)
    if state not in (STOPPED, SLEEPS) or not switches:
        return (moment,)
    return (state if state == STOPPED else "", *numbers[10:12], *switches)


def children(process: int) -> Iterator[int]:
    """Its descendants, as far as the kernel tells them."""
    try:
        with open(f"/proc/{process}/task/{process}/children") as file:
            direct = [int(child) for child in file.read().split()]
    except OSError:
        return
    for child in direct:
        if child != os.getpid():
            yield child
            yield from children(child)


class Guard:
    """Looks at its rank, and at the processes that work for it, twice a second."""

    def __init__(self, name: str, processes: list[int]) -> None:
        self._name, self._processes, self._process = name, processes, processes[-1]
        self._deadline, self._phase, self._may_wait = DEADLINE, "start", False
        self._heard = b""

    def watch(self) -> None:
        """Until the rank is gone, or tells the end, or stands still for the deadline."""
        last, since, looked = None, time.monotonic(), time.monotonic()
        while self._listen(min(0.5, self._deadline / 8)):
            now = time.monotonic()
            signs = self._signs()
            if signs != last or now - looked > self._deadline / 2:  # or we were asleep ourselves
                last, since = signs, now
            looked = now
            if now - since > self._deadline:
                self._end(signs)
                return

    def _listen(self, seconds: float) -> bool:
        """Hear what the rank tells, for so long; False where it is the end."""
        if not select.select([sys.stdin.fileno()], [], [], seconds)[0]:
            return True
        told = os.read(sys.stdin.fileno(), 1 << 16)
        *lines, self._heard = (self._heard + told).split(b"\n")
        for line in lines:
            word, _, rest = line.decode(errors="replace").partition(" ")
            if word == "deadline":
                self._deadline = float(rest)
            elif word in ("phase", "waits"):
                self._phase, self._may_wait = rest, word == "waits"
            elif word == "end":
                return False
        return bool(told)

    def _signs(self) -> dict[int, tuple[str, ...]]:
        rank = signs_of_life(self._process)
        if self._may_wait and STOPPED not in rank:
            return {self._process: (str(time.monotonic_ns()),)}
        return {self._process: rank, **{child: signs_of_life(child) for child in children(self._process)}}

    def _end(self, signs: dict[int, tuple[str, ...]]) -> None:
        if STOPPED in signs[self._process]:
            what = f"has been stopped for {self._deadline:g} s"
        elif stopped := [child for child, told in signs.items() if STOPPED in told]:
            what = f"waits for its process {stopped[0]}, which has been stopped for {self._deadline:g} s"
        else:
            what = f"has not run for {self._deadline:g} s, as if it waited for what never comes"
        print(f"{self._name} {what} (it was in: {self._phase}): the job ends", file=sys.stderr, flush=True)
        time.sleep(0.5)  # launchers drop what was said just before the end
        for process in (*self._processes, *signs):  # what the launcher sees first, and what works for the rank last
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)


def main() -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # its rank hears them, too, and may need its time
    Guard(sys.argv[1], [int(process) for process in sys.argv[2:]]).watch()


if __name__ == "__main__":
    main()
