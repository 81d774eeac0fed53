"""What a message costs in instructions of user space, counted by callgrind: the same on every machine with the same compiler."""

import re
import shutil

from report.measure import Bench, Failed, Result, Unsupported, load, running
from report.rows import RAW, Row
from report.servers import for_valgrind

# Few connections: a wait finds few messages, which is the dear case.
CONNECTIONS = 4
# What start and handshakes cost drops out of the difference.
FEW, MANY = 2_000, 12_000
# A server that zero-fills its buffers takes minutes.
LIMIT = 600

COLLECTED = re.compile(r"^summary: (\d+)|^totals: (\d+)", re.MULTILINE)


def measure(bench: Bench, row: Row, names: list[str], folder: str, progress) -> dict[str, Result]:
    if shutil.which("valgrind") is None:
        return {name: Result(reason="valgrind is not installed") for name in names}
    binaries = for_valgrind(names)
    results = {}
    for name in names:
        if name not in binaries:
            results[name] = Result(reason="-")
            continue
        result = results[name] = Result()
        try:
            figures = {}
            for figure, in_flight in (("one", 1), ("sixteen", 16)):
                progress(f"{row.name} {name} {in_flight} in flight")
                few, many = (count(bench, binaries[name], name, in_flight, messages, folder) for messages in (FEW, MANY))
                figures[figure] = (many - few) / (MANY - FEW)
            result.runs.append(figures)
        except (Failed, Unsupported) as failed:
            result.reason = f"failed: {failed}"
    return results


def count(bench: Bench, binary: str, name: str, in_flight: int, messages: int, folder: str) -> int:
    """The instructions of a whole run with so many messages."""
    output = f"{folder}/callgrind.out"
    command = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={output}", binary, "echo"]
    arguments = ["echo", f"--connections={CONNECTIONS}", f"--in-flight={in_flight}", "--size=32", f"--messages={messages}"]
    if name in (RAW, "raw-tokio"):
        arguments.append("--raw")
    with running(command, str(bench.server_core)) as (pid, address):
        load(bench, arguments, pid, address, LIMIT)
    with open(output) as file:
        found = COLLECTED.search(file.read())
    if not found:
        raise Failed("callgrind wrote no sum")
    return int(found[1] or found[2])
