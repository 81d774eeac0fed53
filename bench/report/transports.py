"""What an update costs by polling, by polls that are held, by server-sent events and by WebSocket.

Listeners in one room of `fdx serve` get updates at a steady rate by each transport in turn. The generator counts what goes through its sockets, both
ways, and asks the system for the server's CPU time. All connections are kept open where the transport lets them be.
"""

import argparse
import asyncio
import json
import os
import random
import re
import statistics
import subprocess
import time
from collections.abc import Awaitable, Callable
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

FDX = os.environ.get("FDX", str(Path(__file__).resolve().parent.parent.parent / "target" / "release" / "fdx"))
MESSAGES = "/api/v1/rooms/updates/messages"
# Seconds that the last update has to reach everybody: a poll later.
SETTLE = 1.5
TICKS = os.sysconf("SC_CLK_TCK")


@dataclass
class Count:
    """What all listeners of a transport have seen."""

    connections: int = 0
    requests: int = 0
    bytes: int = 0
    updates: int = 0
    latencies: list[float] = field(default_factory=list)

    def got(self, body: str) -> None:
        """An update, whose body is when it was sent."""
        self.updates += 1
        self.latencies.append(time.monotonic() - float(body))


@dataclass
class Wire:
    """One connection, counted."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    count: Count

    @classmethod
    async def open(cls, port: int, count: Count) -> "Wire":
        count.connections += 1
        return cls(*await asyncio.open_connection("127.0.0.1", port), count)

    def send(self, data: bytes) -> None:
        self.count.requests += 1
        self.count.bytes += len(data)
        self.writer.write(data)

    async def take(self, size: int) -> bytes:
        data = await self.reader.readexactly(size)
        self.count.bytes += size
        return data

    async def until(self, end: bytes) -> bytes:
        data = await self.reader.readuntil(end)
        self.count.bytes += len(data)
        return data

    async def get(self, path: str) -> dict:
        """A request as a browser would send it, but for its many other headers, and the answer."""
        self.send(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nAccept: application/json\r\n\r\n".encode())
        head = await self.until(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 "), head
        return json.loads(await self.take(int(re.search(rb"content-length: (\d+)", head)[1])))


async def poll(port: int, count: Count, wait: int, pause: float) -> None:
    wire = await Wire.open(port, count)
    cursor = (await wire.get(f"{MESSAGES}?limit=1"))["cursor"]
    await asyncio.sleep(random.uniform(0, pause))
    while True:
        page = await wire.get(f"{MESSAGES}?wait={wait}&after={cursor}")
        cursor = page["cursor"]
        for event in page["events"]:
            count.got(event["body"])
        await asyncio.sleep(pause)


async def stream(port: int, count: Count) -> None:
    wire = await Wire.open(port, count)
    wire.send(b"GET /sse/updates?backlog=0 HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n\r\n")
    await wire.until(b"\r\n\r\n")
    while True:
        size = int(await wire.until(b"\r\n"), 16)
        chunk = await wire.take(size + 2)
        for event in re.findall(rb'"body":"([^"]*)"', chunk):
            count.got(event.decode())


async def socket(port: int, count: Count) -> None:
    wire = await Wire.open(port, count)
    wire.send(
        b"GET /ws HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: fdx.v1.json\r\n\r\n"
    )
    await wire.until(b"\r\n\r\n")
    for command in ({"op": "hello"}, {"op": "join", "room": "updates", "backlog": 0}):
        wire.send(frame(1, json.dumps(command).encode()))
    while True:
        first, second = await wire.take(2)
        size = second if second < 126 else int.from_bytes(await wire.take(2))
        payload = await wire.take(size)
        if first & 0x0F == 9:
            wire.send(frame(10, payload))
        elif (event := json.loads(payload)).get("ev") == "msg":
            count.got(event["body"])


def frame(opcode: int, payload: bytes) -> bytes:
    """A client's frame. The mask is zero: what it hides is no matter here."""
    size = bytes([0x80 | len(payload)]) if len(payload) < 126 else b"\xfe" + len(payload).to_bytes(2)
    return bytes([0x80 | opcode]) + size + bytes(4) + payload


TRANSPORTS: dict[str, Callable[[int, Count], Awaitable[None]]] = {
    "polling each second": lambda port, count: poll(port, count, 0, 1),
    "polls that are held": lambda port, count: poll(port, count, 25, 0),
    "server-sent events": stream,
    "WebSocket": socket,
}


@contextmanager
def served():
    """The port and process of a server, in memory."""
    arguments = [FDX, "serve", "--listen", "127.0.0.1:0", "--memory"]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as server:
        try:
            lines = iter(server.stdout.readline, "")
            yield next(int(port[1]) for line in lines if (port := re.search(r"listening on \S+:(\d+)", line))), server.pid
        finally:
            server.terminate()


def cpu(pid: int) -> float:
    """Seconds of processor time so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


async def measure(name: str, port: int, pid: int, options: argparse.Namespace) -> dict:
    """One transport: its listeners, and updates for as long as asked."""
    count = Count()
    listeners = [asyncio.create_task(TRANSPORTS[name](port, count)) for _ in range(options.listeners)]
    publisher = await Wire.open(port, Count())
    await asyncio.sleep(SETTLE)
    # What setting up took is told apart, as connections.
    count.bytes = count.requests = 0
    before, begin, sent = cpu(pid), time.monotonic(), 0
    while time.monotonic() < begin + options.seconds:
        body = json.dumps({"body": f"{time.monotonic():.6f}"})
        publisher.send(f"POST {MESSAGES} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode())
        head = await publisher.until(b"\r\n\r\n")
        await publisher.take(int(re.search(rb"content-length: (\d+)", head)[1]))
        sent += 1
        await asyncio.sleep(max(0, begin + sent / options.rate - time.monotonic()))
    await asyncio.sleep(SETTLE)
    spent, took = cpu(pid) - before, time.monotonic() - begin
    failed = [listener.exception() for listener in listeners if listener.done()]
    for listener in listeners:
        listener.cancel()
    assert not failed, failed
    assert count.updates == sent * options.listeners, f"{name}: {count.updates} of {sent * options.listeners} updates"
    percentiles = statistics.quantiles(count.latencies, n=100)
    return {
        "transport": name,
        "bytes per update": round(count.bytes / count.updates),
        "requests per update": round(count.requests / count.updates, 2),
        "connections": count.connections,
        "server's CPU per update, us": round(spent / count.updates * 1e6),
        "server's CPU, %": round(spent / took * 100, 1),
        "latency p50, ms": round(percentiles[49] * 1000, 1),
        "latency p99, ms": round(percentiles[98] * 1000, 1),
    }


async def measured(options: argparse.Namespace) -> list[dict]:
    results = []
    for name in TRANSPORTS:
        with served() as (port, pid):
            results.append(await measure(name, port, pid, options))
    return results


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="bench/run transports", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--listeners", type=int, default=200, metavar="N", help="who listens (200)")
    parser.add_argument("--rate", type=float, default=0.5, metavar="R", help="updates per second (0.5)")
    parser.add_argument("--seconds", type=float, default=20, metavar="S", help="measured for each transport (20)")
    options = parser.parse_args(arguments)
    results = asyncio.run(measured(options))
    print(f"{options.listeners} listeners, {options.rate:g} updates per second\n")
    print("| " + " | ".join(results[0]) + " |")
    print("| --- |" + " ---: |" * (len(results[0]) - 1))
    for result in results:
        print("| " + " | ".join(str(value) for value in result.values()) + " |")
