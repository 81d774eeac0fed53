"""The machine: what it is, which cores are used, how many descriptors there are."""

import datetime
import os
import platform
import resource
import subprocess
from pathlib import Path


def describe() -> dict[str, str]:
    cpu = next((line.split(":", 1)[1].strip() for line in read("/proc/cpuinfo").splitlines() if line.startswith("model name")), "?")
    memory = int(read("/proc/meminfo").split()[1]) / (1 << 20)
    return {
        "date": datetime.date.today().isoformat(),
        "cpu": cpu,
        "cores": str(os.cpu_count()),
        "memory": f"{memory:.0f} GiB",
        "kernel": f"{platform.system()} {platform.release()}",
        "rustc": first_line("rustc", "--version"),
        "commit": first_line("git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty"),
    }


def read(path: str) -> str:
    return Path(path).read_text()


def first_line(*command: str) -> str:
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout.split("\n")[0]
    except (OSError, subprocess.SubprocessError):
        return "?"


def cores() -> tuple[int, int] | None:
    """One for the servers and one for the generator, which do not share a physical core if that can be helped."""
    usable = sorted(os.sched_getaffinity(0))
    if len(usable) < 2:
        return None
    try:
        siblings = read(f"/sys/devices/system/cpu/cpu{usable[0]}/topology/thread_siblings_list").strip()
    except OSError:
        siblings = ""
    shared = {int(core) for part in siblings.split(",") if part for core in part.split("-")}
    apart = [core for core in usable[1:] if core not in shared]
    return usable[0], (apart or usable[1:])[0]


def raise_descriptors() -> int:
    """To the hard limit; servers and generator inherit it."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard
