#!/usr/bin/env python3
"""Measures how long a line takes from being appended to a file until a viewer of `fdx tail` has it.

    bench/tail_latency.py target/release/fdx [--polling]

Appends LINES lines (200), each PAUSE seconds (0.1) after the one before arrived, and prints the median and the 99th percentile.
Environment: LINES, PAUSE.
"""

import base64
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from urllib.parse import urlsplit

LINES = int(os.environ.get("LINES", "200"))
PAUSE = float(os.environ.get("PAUSE", "0.1"))


def viewer(host: str, port: int) -> socket.socket:
    connection = socket.create_connection((host, port), timeout=30)
    key = base64.b64encode(os.urandom(16)).decode()
    connection.sendall(
        f"GET /logs/app.log?n=0&mode=text HTTP/1.1\r\nHost: {host}:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
    )
    response = b""
    while not response.endswith(b"\r\n\r\n"):
        response += connection.recv(1)
    if b" 101 " not in response.split(b"\r\n")[0]:
        raise SystemExit(f"refused: {response.decode(errors='replace')}")
    return connection


def exactly(connection: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        piece = connection.recv(count - len(data))
        if not piece:
            raise SystemExit("the server closed")
        data += piece
    return data


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "app.log")
        with open(path, "wb", buffering=0) as log:
            log.write(b"begun\n")
            command = [sys.argv[1], "tail", path, "--listen", "127.0.0.1:0", "--ping-interval", "0", *sys.argv[2:]]
            server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
            try:
                address = urlsplit(server.stdout.readline().split()[-1])
                connection = viewer(address.hostname, address.port)
                time.sleep(1)
                taken = []
                for number in range(LINES):
                    line = f"line {number}".encode()
                    begun = time.perf_counter()
                    log.write(line + b"\n")
                    header = exactly(connection, 2)
                    if exactly(connection, header[1]) != line:
                        raise SystemExit("another line came")
                    taken.append(1000 * (time.perf_counter() - begun))
                    time.sleep(PAUSE)
            finally:
                server.terminate()
                server.wait(timeout=30)
    taken.sort()
    print(f"{LINES} lines, {PAUSE} s apart: median {statistics.median(taken):.2f} ms, 99 % {taken[int(0.99 * (len(taken) - 1))]:.2f} ms")


main()
