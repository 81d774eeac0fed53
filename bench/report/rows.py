"""What is measured, and what is wanted."""

from dataclasses import dataclass, replace

RAW = "raw-epoll"
# Servers of rooms that acknowledge what is said there.
TALKING = ("hub", "hub-sqlite", "socket.io")


@dataclass(frozen=True)
class Row:
    """One load that every server gets."""

    name: str
    title: str
    # What the servers are started as, and what the generator is told.
    mode: str
    load: tuple[str, ...]
    # What the generator counts.
    unit: str = "message"
    # Whether the raw server can stand beside the others.
    raw: bool = True
    # More runs than this tell nothing new.
    runs: int = 100
    # Those that it is about, if not all.
    servers: tuple[str, ...] = ()
    # Whether it lasts as long as it is told.
    timed: bool = True
    # Whether the server may use the generator's core too.
    both_cores: bool = False
    # About how many seconds each run takes besides what is measured.
    besides: float = 0.2
    # Whether 10,000 connections are open.
    many: bool = False


def echo(name: str, title: str, mode: str = "echo", connections: int = 64, in_flight: int = 1, size: int = 32) -> Row:
    load = ("echo", f"--connections={connections}", f"--in-flight={in_flight}", f"--size={size}")
    return Row(name, f"{title}, {connections} connections, {in_flight} in flight", mode, load)


def fan_out(subscribers: int, window: int) -> Row:
    load = ("fan-out", f"--subscribers={subscribers}", f"--window={window}", "--json")
    title = f"fan-out of 128 B to {subscribers:,}, {window} outstanding"
    # The generator gives the server 0.3 s to come to rest.
    return Row(f"fan-out-{subscribers}x{window}", title, "broadcast", load, unit="delivery", besides=0.7)


def v1_room(subscribers: int, window: int) -> Row:
    """Of the others only Socket.IO acknowledges, and none keeps what it delivers: the plain row of the same numbers is to be read beside."""
    load = ("fan-out", f"--subscribers={subscribers}", f"--window={window}")
    title = f"acknowledged: the text of 128 B of plain JSON to {subscribers:,}, {window} outstanding"
    return Row(f"v1-room-{subscribers}x{window}", title, "v1", load, unit="delivery", servers=TALKING, besides=0.7 + subscribers / 2000)


def beside(total: int) -> Row:
    load = ("echo", "--connections=10", f"--beside={total - 10}")
    title = f"32 B on 10 connections, {total:,} open"
    return Row(f"beside-{total}", title, "echo", load, servers=(RAW, "fullduplex", "hub"), besides=0.2 + total / 8000, many=total >= 10_000)


def rooms(total: int, busy: int) -> Row:
    """All with eight messages outstanding; those with as many busy rooms differ in the number of rooms alone. The hub has one of its own."""
    load = ("fan-out", f"--rooms={busy}", f"--idle-rooms={max(total - busy - 1, 0)}", "--subscribers=1", f"--window={8 // busy}", "--json")
    title = f"128 B to 2 members, 8 outstanding in {busy} of {total:,} room{'s' if total > 1 else ''}"
    return Row(f"rooms-{total}", title, "broadcast", load, unit="delivery", servers=("hub",), besides=0.7 + total / 4000)


def threads(in_flight: int) -> Row:
    row = echo(f"threads-{in_flight}", "32 B, server on both cores", in_flight=in_flight)
    return replace(row, servers=("fullduplex", "fullduplex-workers", "fullduplex-per-core"), both_cores=True)


ROWS = [
    echo("32x1", "32 B"),
    echo("32x16", "32 B", in_flight=16),
    echo("1k", "1 KiB", size=1 << 10),
    echo("64k", "64 KiB", mode="large", connections=16, size=64 << 10),
    echo("1m", "1 MiB", mode="large", connections=4, size=1 << 20),
    Row("deflate", "1 KiB of JSON, permessage-deflate, 16 connections", "deflate", ("deflate", "--connections=16"), raw=False),
    fan_out(1000, 16),
    fan_out(100, 1),
    fan_out(1000, 1),
    v1_room(1000, 16),
    v1_room(100, 1),
    v1_room(1000, 1),
    Row("connect", "opened and closed, 32 at a time", "echo", ("connect",), unit="connection", raw=False),
    Row("idle", "10,000 open, resident bytes each", "echo", ("idle",), raw=False, runs=1, timed=False, besides=8, many=True),
    Row("idle-room", "10,000 in a room, resident bytes each", "broadcast", ("idle", "--messages=0"), raw=False, runs=1, timed=False, besides=8, many=True),
    Row(
        "idle-v1",
        "10,000 with a name in one room, heartbeats each 20 s; resident bytes each, and CPU each a minute",
        "v1",
        ("sessions",),
        raw=False,
        runs=1,
        servers=TALKING,
        timed=False,
        besides=80,
        many=True,
    ),
    beside(10),
    beside(100),
    beside(1000),
    beside(10000),
    rooms(1, busy=1),
    rooms(8, busy=8),
    rooms(100, busy=8),
    rooms(10000, busy=8),
    threads(1),
    threads(16),
    Row("instructions", "instructions for a message of 32 B", "echo", (), runs=1, timed=False, besides=60),
]

SMALL = {"32x1", "32x16", "instructions"}
# Those that stand beside their like in some rows only.
VARIANTS = {
    "fullduplex-bare": {"32x1", "32x16", "fan-out-1000x16"},
    "raw-tokio": SMALL,
    "tokio-tungstenite-send": SMALL,
    "tokio-tungstenite-plain": {row.name for row in ROWS if row.name.startswith("fan-out")},
    "fullduplex-libdeflate": {"deflate"},
    "fullduplex-workers": set(),
    "fullduplex-per-core": set(),
    "hub-sqlite": set(),
    "socket.io": set(),
}


def concerns(row: Row, server: str) -> bool:
    if row.servers:
        return server in row.servers
    if server in VARIANTS:
        return row.name in VARIANTS[server]
    return row.raw or server != RAW


@dataclass(frozen=True)
class Goal:
    """A bound for a figure of one of our servers, or for its ratio to another's."""

    row: str
    servers: tuple[str, ...]
    figure: str
    sign: str
    bound: float
    to: str = ""
    # Whom it is told of besides.
    beside: str = ""

    def met(self, value: float) -> bool:
        return value >= self.bound if self.sign == ">=" else value <= self.bound


LIBRARY = ("fullduplex", "fullduplex-upgrade")
ALL = (*LIBRARY, "hub")

GOALS = [
    Goal("32x1", ALL, "rate", ">=", 0.95, RAW),
    Goal("32x1", ALL, "server_user_us", "<=", 0.8, "fastwebsockets"),
    Goal("32x16", ALL, "rate", ">=", 0.92, RAW),
    Goal("32x16", ALL, "rate", ">=", 1.15, "yawc"),
    Goal("1k", ALL, "server_cpu_us", "<=", 1.05, RAW),
    Goal("1k", ALL, "server_user_us", "<=", 0.8),
    Goal("64k", ALL, "rate", ">=", 0.92, RAW),
    Goal("64k", ALL, "server_cpu_us", "<=", 1.10, RAW),
    Goal("64k", ALL, "rate", ">=", 1.1, "fastwebsockets"),
    Goal("1m", ALL, "rate", ">=", 0.85, RAW),
    Goal("1m", ALL, "server_cpu_us", "<=", 1.20, RAW),
    Goal("1m", ALL, "rate", ">=", 1.15, "tokio-websockets"),
    Goal("deflate", ("fullduplex",), "server_user_us", "<=", 18),
    Goal("deflate", ("fullduplex-libdeflate",), "server_user_us", "<=", 14),
    Goal("deflate", ("fullduplex", "fullduplex-libdeflate"), "reply_bytes", "<=", 1.02, "zlib"),
    Goal("fan-out-1000x16", ("fullduplex", "hub"), "rate", ">=", 0.95, RAW),
    Goal("fan-out-1000x16", ("fullduplex", "hub"), "rate", ">=", 3.5, "tokio-tungstenite-plain", beside="tokio-tungstenite"),
    Goal("fan-out-100x1", ("fullduplex", "hub"), "rate", ">=", 0.95, RAW),
    Goal("fan-out-1000x1", ("fullduplex", "hub"), "rate", ">=", 0.95, RAW),
    Goal("connect", ("fullduplex",), "server_cpu_us", "<=", 1.0, "tokio-websockets"),
    Goal("connect", ("fullduplex-upgrade", "hub"), "server_cpu_us", "<=", 1.7, "tokio-websockets"),
    Goal("idle", ("fullduplex",), "idle_bytes", "<=", 1500),
    Goal("idle", ("fullduplex",), "after_bytes", "<=", 1500),
    Goal("idle-room", ("hub",), "idle_bytes", "<=", 3000),
    Goal("idle-v1", ("hub", "hub-sqlite"), "idle_bytes", "<=", 4096),
    Goal("instructions", LIBRARY, "one", "<=", 1450),
    Goal("instructions", LIBRARY, "sixteen", "<=", 500),
]
