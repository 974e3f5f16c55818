"""A process that saves, for tests that kill it, starve it or run two: `saver.py how folder seed budget`."""

import os
import random
import resource
import signal
import sys
from pathlib import Path

from engine.store.disk import Disk
from tests.engine.store.kept_values import Note, key, result, result_of

MB = 1 << 20


def forever(disk: Disk, seed: int) -> None:
    """Save until killed, beginning where no other seed does."""
    n = seed * 100_000
    while True:
        disk.save(key(n), result_of(n))
        n += 1


def the_same(disk: Disk, seed: int) -> None:
    """Save and load what the others do as well; exits with 1 when something is wrong."""
    chance = random.Random(seed)
    for _ in range(400):
        n = chance.randrange(120)
        found = disk.load(key(n))
        if found is None:
            disk.save(key(n), result_of(n))
            found = disk.load(key(n)) or result_of(n)
        if found != result_of(n):
            sys.exit(1)
        if chance.random() < 0.02:
            disk.clear(f"Kind{chance.randrange(4)}")


def short_of_room(disk: Disk, seed: int) -> None:
    """Save short and long results where no file may be longer than 400 kB."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, 400_000))
    for n in range(60):
        disk.save(key(n), result_of(n))
        disk.save(key(1000 + n), result(Note(str(n), (bytes([n]) * 500_000,))))
        disk.flush()
        for m in (n, 1000 + n):
            if disk.load(key(m)) not in (None, result_of(m), result(Note(str(n), (bytes([n]) * 500_000,)))):
                sys.exit(1)


def in_a_crowd(disk: Disk, seed: int) -> None:
    """Save more than there is room for, in all sizes, and load some of it; exits with 1 if it is wrong."""
    chance = random.Random(seed)
    for n in range(400):
        size = chance.choice([10, 1000, 5000, 17_000, 100_000, 300_000])
        saved = result(Note(f"{seed} {n}", (chance.randbytes(size),)), "x" * chance.randrange(3000))
        disk.save(key(1000 * seed + n), saved)
        if disk.load(key(1000 * seed + n)) not in (None, saved):
            sys.exit(1)


def dear_and_cheap(disk: Disk, seed: int) -> None:
    """Save a few small results that were dear, then many big ones that were cheap."""
    for n in range(10):
        disk.save(
            f"dear {seed} {n}", result(Note(f"{seed} {n}", (b"%d %d" % (seed, n) * 50,)), seconds=100.0)
        )
    disk.flush()
    for n in range(150):
        page = random.Random(1000 * seed + n).randbytes(100_000)
        disk.save(f"cheap {seed} {n}", result(Note(f"{seed} {n}", (page,))))


def evict(disk: Disk, seed: int) -> None:
    """Save, clear and verify by turns, until killed."""
    n = 0
    while True:
        n += 1
        disk.save(f"{seed} {n}", result(Note(f"{seed} {n}", (random.Random(n).randbytes(100_000),))))
        if n % 25 == 0:
            disk.clear()


if __name__ == "__main__":
    how, folder, seed, budget = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
    disk = Disk(folder, budget, lambda message: print("warning:", message, flush=True))
    print("ready", os.getpid(), flush=True)
    ways = (forever, the_same, short_of_room, in_a_crowd, dear_and_cheap, evict)
    {way.__name__: way for way in ways}[how](disk, seed)
    disk.close()
    print("done", flush=True)
