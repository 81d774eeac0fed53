#!/usr/bin/env python3
"""Measures what idle connections cost a server in resident memory, before and after traffic.

    bench/idle.py COMMAND...    for example: bench/idle.py target/release/fdx echo --listen 127.0.0.1:0 --ping-interval 0

Starts the server, which must print a line that ends in its address, opens CONNECTIONS connections to PATH, and prints resident
bytes per connection: idle, after each has had MESSAGES messages of SIZE bytes echoed, and after all have closed. Environment: CONNECTIONS (10,000), PATH_ (/echo),
MESSAGES (16), SIZE (1,024). It answers no pings. Each connection takes a descriptor here and one there: the hard limit of both has to allow it.
"""

import base64
import os
import re
import resource
import socket
import struct
import subprocess
import sys
import time
from urllib.parse import urlsplit

CONNECTIONS = int(os.environ.get("CONNECTIONS", "10000"))
RESOURCE = os.environ.get("PATH_", "/echo")
MESSAGES = int(os.environ.get("MESSAGES", "16"))
SIZE = int(os.environ.get("SIZE", "1024"))
SETTLE = 2.0  # seconds for the server to come to rest


def resident(pid: int) -> int:
    with open(f"/proc/{pid}/smaps_rollup") as smaps:
        return 1024 * int(re.search(r"^Rss:\s+(\d+) kB", smaps.read(), re.M).group(1))


def open_connection(host: str, port: int, number: int) -> socket.socket:
    # Spread over source addresses, so that ports do not run out.
    source = f"127.0.{1 + number // 20000}.1"
    connection = socket.create_connection((host, port), source_address=(source, 0), timeout=30)
    key = base64.b64encode(os.urandom(16)).decode()
    connection.sendall(
        f"GET {RESOURCE} HTTP/1.1\r\nHost: {host}:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
    )
    response = b""
    while b"\r\n\r\n" not in response:
        piece = connection.recv(4096)
        if not piece:
            raise SystemExit("the server closed during the handshake")
        response += piece
    if b" 101 " not in response.split(b"\r\n")[0]:
        raise SystemExit(f"refused: {response.decode(errors='replace')}")
    return connection


def frame(payload: bytes) -> bytes:
    mask = b"\0\0\0\0"  # legal, and leaves the payload as it is
    if len(payload) < 126:
        return struct.pack("!BB", 0x82, 0x80 | len(payload)) + mask + payload
    if len(payload) < 65536:
        return struct.pack("!BBH", 0x82, 0x80 | 126, len(payload)) + mask + payload
    return struct.pack("!BBQ", 0x82, 0x80 | 127, len(payload)) + mask + payload


def echo(connection: socket.socket) -> None:
    data = frame(os.urandom(SIZE))
    expected = len(data) - 4  # no mask on the way back
    for _ in range(MESSAGES):
        connection.sendall(data)
        left = expected
        while left:
            piece = connection.recv(left)
            if not piece:
                raise SystemExit("the server closed during the traffic")
            left -= len(piece)


def main() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if hard < CONNECTIONS + 100:
        raise SystemExit(f"{hard} descriptors are too few for {CONNECTIONS} connections")
    server = subprocess.Popen(sys.argv[1:], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        address = urlsplit(server.stdout.readline().split()[-1])
        # One of each first: buffers that are shared by all, and code, count as nobody's.
        for number in range(8):
            with open_connection(address.hostname, address.port, number) as warm:
                echo(warm)
        time.sleep(SETTLE)
        before = resident(server.pid)
        connections = [open_connection(address.hostname, address.port, n) for n in range(CONNECTIONS)]
        time.sleep(SETTLE)
        idle = resident(server.pid)
        for connection in connections:
            echo(connection)
        time.sleep(SETTLE)
        after = resident(server.pid)
        for connection in connections:
            connection.close()
        time.sleep(SETTLE)
        closed = resident(server.pid)
        per = lambda figure: f"{(figure - before) / CONNECTIONS:8.0f}"
        print(f"{CONNECTIONS} connections to {RESOURCE}, resident bytes each (server at rest: {before >> 10} KiB)")
        print(f"  idle                                  {per(idle)}")
        print(f"  idle after {MESSAGES} x {SIZE} bytes each way      {per(after)}")
        print(f"  all closed                            {per(closed)}")
    finally:
        server.terminate()
        server.wait(timeout=30)


main()
