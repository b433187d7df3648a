"""What a server left behind: processes, told from later ones with the same number by their start, and control groups."""

import contextlib
import os
import pathlib


def below(ancestor):
    """Every living process below one, by its number and its start."""
    parents = {}
    for entry in pathlib.Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
                if fields[0] not in "ZX":
                    parents[int(entry.name)] = (int(fields[1]), fields[19])
    found, known = {}, {ancestor}
    while True:
        more = {number: start for number, (parent, start) in parents.items() if parent in known and number not in known}
        if not more:
            return found
        found.update(more)
        known.update(more)


def living(processes):
    """Those of them that still live."""
    left = []
    for number, start in processes.items():
        with contextlib.suppress(OSError):
            fields = pathlib.Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()
            if fields[19] == start and fields[0] not in "ZX":
                left.append(number)
    return left


def control_groups(supervisor):
    """The control groups of one server, in every tree that is mounted."""
    found = []
    for line in pathlib.Path("/proc/self/mountinfo").read_text().splitlines():
        before, _, after = line.partition(" - ")
        if after.startswith("cgroup"):
            for folder, folders, _ in os.walk(before.split(" ")[4]):
                found += [f"{folder}/{name}" for name in folders if name.startswith(f"crucible-{supervisor}-")]
    return found
