"""Runs a server and the generator, each on its core, and gathers what they say."""

import contextlib
import json
import re
import select
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from statistics import median

from report.rows import RAW, Row
from report.servers import FOLDER, Built, Server

ADDRESS = re.compile(r"127\.0\.0\.1:\d+")

# Seconds for a server to say where it listens, and to end; valgrind needs some.
START = 60
END = 10
# For what a run takes besides its window: connections are opened, and one that hangs has to be noticed.
SLACK = 120


class Unsupported(Exception):
    """The server has no such mode."""


class Failed(Exception):
    """The run came to nothing, with the reason."""


@dataclass(frozen=True)
class Bench:
    built: Built
    server_core: int
    load_core: int
    seconds: float
    warm_up: float


@dataclass
class Result:
    """All runs of one server in one row, or why there are none."""

    runs: list[dict[str, float]] = field(default_factory=list)
    reason: str = ""

    def figure(self, name: str) -> float | None:
        values = [run[name] for run in self.runs if name in run]
        if not values:
            return None
        if name in ("server_user_us", "server_system_us"):
            # Counted in ticks of 10 ms: the more of them, the better.
            return sum(run[name] * run["messages"] for run in self.runs) / sum(run["messages"] for run in self.runs)
        return median(values)


@contextlib.contextmanager
def running(command: list[str], cores: str) -> Iterator[tuple[int, str]]:
    """The process and address of a server, which is ended whatever happens."""
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryFile("w+") as errors:
        server = subprocess.Popen(
            ["taskset", "-c", cores, *(part.replace(FOLDER, folder) for part in command)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )
        try:
            address = announced(server)
            if address is None:
                status = server.poll()
                errors.seek(0)
                raise (Unsupported if status == 2 else Failed)(errors.read().strip().split("\n")[0] or "it said nothing")
            yield server.pid, address
        finally:
            server.terminate()
            try:
                server.wait(timeout=END)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()
            server.stdout.close()


def announced(server: subprocess.Popen) -> str | None:
    deadline = time.monotonic() + START
    while (left := deadline - time.monotonic()) > 0:
        if select.select([server.stdout], [], [], left)[0]:
            line = server.stdout.readline()
            if found := ADDRESS.search(line):
                return found[0]
            if not line:
                server.wait(timeout=END)
                return None
    return None


def load(bench: Bench, arguments: list[str], pid: int, address: str, limit: float) -> dict[str, float]:
    command = ["taskset", "-c", str(bench.load_core), bench.built.load, *arguments, f"--address={address}", f"--pid={pid}"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=limit)
    except subprocess.TimeoutExpired:
        raise Failed(f"nothing after {limit:.0f} s") from None
    if done.returncode != 0:
        raise Failed(done.stderr.strip() or f"the generator ended with {done.returncode}")
    return json.loads(done.stdout)


def once(bench: Bench, row: Row, server: Server) -> dict[str, float]:
    if server.modes and row.mode not in server.modes:
        raise Unsupported(f"{server.name} has no mode {row.mode}")
    arguments = [*row.load]
    if row.timed:
        arguments += [f"--seconds={bench.seconds}", f"--warm-up={bench.warm_up}"]
    if server.modes:
        arguments += server.modes[row.mode]
    elif server.name in (RAW, "raw-tokio") and row.load[0] == "echo":
        arguments.append("--raw")
    cores = f"{bench.server_core},{bench.load_core}" if row.both_cores else str(bench.server_core)
    with running(server.start(row.mode), cores) as (pid, address):
        return load(bench, arguments, pid, address, bench.seconds + bench.warm_up + SLACK)


def interleaved(bench: Bench, row: Row, servers: list[Server], runs: int, progress) -> dict[str, Result]:
    """Each server once, then each once more, and so on. One that fails is not tried again."""
    results = {server.name: Result() for server in servers}
    for number in range(min(runs, row.runs)):
        for server in servers:
            result = results[server.name]
            if result.reason:
                continue
            progress(f"{row.name} {number + 1}/{min(runs, row.runs)} {server.name}")
            try:
                result.runs.append(once(bench, row, server))
            except Unsupported:
                result.reason = "-"
            except Failed as failed:
                result.reason = f"failed: {failed}"
    return results
