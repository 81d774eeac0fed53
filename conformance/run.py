#!/usr/bin/env python3
"""Runs the Autobahn cases against this project, in both roles, and fails on anything but OK.

    run.py server FDX     kosoku's fuzzing client against `FDX echo`
    run.py client CLIENT  kosoku's fuzzing server, with the example `autobahn_client` as the client

To be run by a Python that has kosoku. The reports stay in `.check/conformance/` for a browser to look at.
"""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
REPORTS = ROOT / ".check" / "conformance"
SUITE = Path(__file__).resolve().parent / "suite.py"

# How many cases there are, 216 of them about permessage-deflate. Fewer would mean that some were skipped without a word.
CASES = 517
# The suite gives these no verdict: data after Close (7.1.6), and close codes 5000 and 65535 (7.13.*).
INFORMATIONAL = {"7.1.6", "7.13.1", "7.13.2"}
# Cases in flight; most time is spent in those that wait by design.
PARALLEL = 4
# Seconds for one whole run. It takes about two minutes of two cores, nearly all for the 22 GB that 12.* and 13.* compress.
DEADLINE = 840


def listening_url(line: str) -> str:
    """The URL in the line `... listening on ws://ADDR`."""
    if " on ws://" not in line:
        raise SystemExit(f"expected a line 'listening on ws://ADDR', got {line!r}")
    return line.split()[-1]


def suite(mode: str, address: str, reports: Path) -> list[str]:
    """The command line of one run of the suite."""
    return [sys.executable, str(SUITE), "--mode", mode, "--parallelism", str(PARALLEL), "--outdir", str(reports), address]


def test_server(fdx: str, reports: Path) -> None:
    # With takeover it is left to what the suite offers whether there is any.
    command = [fdx, "echo", "--listen", "127.0.0.1:0", "--deflate-takeover"]
    reports.mkdir(parents=True, exist_ok=True)
    # It logs the end of every connection: good to have, too much to show.
    with (
        open(reports / "echo.log", "w") as log,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True) as echo,
    ):
        try:
            url = listening_url(echo.stdout.readline())
            # Its exit code lets NON-STRICT pass: the report decides.
            subprocess.run(suite("fuzzingclient", url, reports), timeout=DEADLINE)
        finally:
            echo.terminate()


def test_client(client: str, reports: Path) -> None:
    command = suite("fuzzingserver", "127.0.0.1:0", reports)
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as server:
        try:
            url = listening_url(server.stderr.readline())
            subprocess.run([client, url], timeout=DEADLINE, check=True)
            server.communicate(timeout=DEADLINE)
        finally:
            server.kill()


def judge(reports: Path) -> list[str]:
    """What is wrong with a finished run, one line each."""
    [(agent, cases)] = json.loads((reports / "index.json").read_text()).items()
    faults = []
    informational = []
    for name, case in cases.items():
        verdict = (case["behavior"], case["behaviorClose"])
        if verdict == ("OK", "OK"):
            continue
        if name in INFORMATIONAL and verdict == ("INFORMATIONAL", "INFORMATIONAL"):
            informational.append(name)
            continue
        detail = json.loads((reports / case["reportfile"]).read_text())
        why = f"{detail['result']} / {detail['resultClose']}"
        faults.append(f"{name:8} {verdict[0]:14} {verdict[1]:16} close {case['remoteCloseCode']}  {why}")
    if len(cases) != CASES:
        faults.append(f"{len(cases)} cases were run instead of {CASES}")
    strict = len(cases) - len(faults) - len(informational)
    print(f"{agent}: {strict} of {len(cases)} cases OK; informational by the suite: {', '.join(informational)}")
    return faults


def main() -> int:
    match sys.argv[1:]:
        case ["server", program]:
            role, test = "server", test_server
        case ["client", program]:
            role, test = "client", test_client
        case _:
            print(__doc__, file=sys.stderr)
            return 2
    reports = REPORTS / role
    index = reports / "index.json"
    # An old report must never be judged in place of one that could not be written.
    index.unlink(missing_ok=True)
    try:
        test(program, reports)
    except (subprocess.SubprocessError, OSError) as error:
        print(f"the run did not end as it should: {error}", file=sys.stderr)
        return 1
    if not index.exists():
        print(f"the suite wrote no report at {index}", file=sys.stderr)
        return 1
    faults = judge(reports)
    for fault in faults:
        print(fault)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
