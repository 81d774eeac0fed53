"""The servers: how they are built and started, and the generator beside them."""

import json
import os
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

BENCH = Path(__file__).resolve().parent.parent
ROOT = BENCH.parent
TARGET = Path(os.environ.get("CARGO_TARGET_DIR") or BENCH / "target").absolute()

# A build with all peers from nothing.
PATIENCE = 3600

RUST = [
    "raw-epoll",
    "raw-tokio",
    "fullduplex",
    "fullduplex-upgrade",
    "fullduplex-bare",
    "fullduplex-workers",
    "fullduplex-per-core",
    "fastwebsockets",
    "tokio-websockets",
    "yawc",
    "sockudo-ws",
    "tokio-tungstenite",
    "tokio-tungstenite-send",
    "tokio-tungstenite-plain",
    "axum",
]
LIBDEFLATE = "fullduplex-libdeflate"
NODE = "ws"
SOCKET_IO = "socket.io"
GO = "gorilla"
HUB = "hub"
SQLITE = "hub-sqlite"
HUBS = [HUB, SQLITE]
NAMES = [*RUST[:7], LIBDEFLATE, *RUST[7:], NODE, SOCKET_IO, GO]

# What the generator is told in each mode of a server that is not told its mode itself.
HUB_MODES = {"echo": ["--path=/echo"], "large": ["--path=/echo"], "broadcast": ["--path=/ws"], "v1": ["--path=/ws", "--speak=v1"]}
SOCKET_IO_MODES = {"v1": ["--path=/socket.io/?EIO=4&transport=websocket", "--speak=socket-io"]}

# In a command: a folder of the run's own.
FOLDER = "{folder}"


class Unavailable(Exception):
    """Why a server can't be built, in a sentence."""


@dataclass(frozen=True)
class Server:
    name: str
    command: list[str]
    modes: dict[str, list[str]] = field(default_factory=dict)

    def start(self, mode: str) -> list[str]:
        return self.command if self.modes else [*self.command, mode]


@dataclass
class Built:
    servers: dict[str, Server] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)
    load: str = ""


def build(names: list[str]) -> Built:
    """Builds those of them that this machine can build, and the generator."""
    built = Built()
    rust = [name for name in RUST if name in names]
    binaries = cargo(BENCH, TARGET, "native", ["load", *rust])
    if "load" not in binaries:
        raise Unavailable("the generator was not built")
    built.load = binaries["load"]
    builders = {LIBDEFLATE: libdeflate, NODE: lambda: node(NODE), SOCKET_IO: lambda: node(SOCKET_IO, SOCKET_IO_MODES), GO: go, HUB: lambda: hub(HUB, "--memory"), SQLITE: lambda: hub(SQLITE, f"--data={FOLDER}")}
    for name in names:
        try:
            if name in builders:
                built.servers[name] = builders[name]()
            elif name in binaries:
                built.servers[name] = Server(name, [binaries[name]])
            else:
                raise Unavailable("cargo did not build it")
        except Unavailable as reason:
            built.skipped[name] = str(reason)
    return built


def cargo(folder: Path, target: Path, cpu: str, binaries: list[str], *options: str) -> dict[str, str]:
    """The paths of those of the binaries that could be built."""
    command = ["cargo", "build", "--release", "--locked", "--keep-going", "--message-format=json-render-diagnostics", *options]
    for name in binaries:
        command += ["--bin", name]
    flags = {"CARGO_TARGET_DIR": str(target), "RUSTFLAGS": f"-Ctarget-cpu={cpu}"}
    output = execute(command, folder, flags, check=False)
    messages = (json.loads(line) for line in output.splitlines() if line.startswith("{"))
    return {message["target"]["name"]: message["executable"] for message in messages if message.get("executable")}


def for_valgrind(names: list[str]) -> dict[str, str]:
    """The same Rust servers, for a processor that valgrind knows."""
    return cargo(BENCH, TARGET / "valgrind", "x86-64-v3", [name for name in RUST if name in names])


def libdeflate() -> Server:
    binaries = cargo(BENCH, TARGET, "native", [LIBDEFLATE], "--package=bench-servers", "--features=libdeflate")
    if LIBDEFLATE not in binaries:
        raise Unavailable("cargo did not build it")
    return Server(LIBDEFLATE, [binaries[LIBDEFLATE]])


def hub(name: str, log: str) -> Server:
    binaries = cargo(ROOT, TARGET / "hub", "native", ["fdx"], "--package=fdx")
    if "fdx" not in binaries:
        raise Unavailable("cargo did not build it")
    return Server(name, [binaries["fdx"], "serve", log, "--limits.echo-connections=11000", "--listen=127.0.0.1:0"], HUB_MODES)


def node(name: str, modes: dict[str, list[str]] | None = None) -> Server:
    folder = BENCH / "peers" / name
    command = [tool("node"), str(folder / "server.mjs")]
    installed = folder / "node_modules" / ".package-lock.json"
    if not installed.exists() or installed.stat().st_mtime < (folder / "package-lock.json").stat().st_mtime:
        execute([tool("npm"), "ci", "--no-audit", "--no-fund"], folder)
    return Server(name, command, modes or {})


def go() -> Server:
    source = Path("/usr/share/gocode")
    if not (source / "src/github.com/gorilla/websocket").exists():
        raise Unavailable("the package golang-github-gorilla-websocket-dev is not installed")
    binary = TARGET / GO
    TARGET.mkdir(parents=True, exist_ok=True)
    environment = {"GOPATH": str(source), "GO111MODULE": "off", "GOFLAGS": ""}
    execute([tool("go"), "build", "-o", str(binary), "main.go"], BENCH / "peers" / "gorilla", environment)
    return Server(GO, [str(binary)])


def tool(name: str) -> str:
    path = shutil.which(name)
    if path is None:
        raise Unavailable(f"{name} is not installed")
    return path


def execute(command: list[str], folder: Path, environment: dict[str, str] | None = None, check: bool = True) -> str:
    """What the command prints; its messages go to standard error as they come."""
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            env={**os.environ, **(environment or {})},
            stdout=subprocess.PIPE,
            text=True,
            timeout=PATIENCE,
            check=check,
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise Unavailable(f"{Path(command[0]).name}: {error}") from error
    return done.stdout
