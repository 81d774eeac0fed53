#!/usr/bin/env python3
"""Checks what no compiler does: the text of the repository, and that requirements and guarantees have their tests."""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

# The requirements by number; a test whose name begins with `pNN_` stands for each, and one with several for several.
REQUIREMENTS = {*range(1, 97)}
# What a hub has to survive, by number: likewise with `sNN_`; in JavaScript `sNN ` in the test's name.
SCENARIOS = {*range(1, 39), *range(47, 53)}
# Those that have no test yet.
OPEN: set[int] = set()
# What the page of guarantees names: a file under `crates/`, and a test in it, or in a suite that several logs go through.
GUARANTEES = ROOT / "docs" / "guarantees.md"
NAMED = re.compile(r"`([\w./-]+\.rs)::(\w+)`")
ANY_TEST = re.compile(
    r"#\[(?:\w+::)*test\b[^\n]*\]\s*(?:#\[[^\n]*\]\s*)*(?:async )?fn (\w+)|\bfn (\w+)\(subject: Subject\)"
)
# The numbers that a test's name begins with.
NUMBERS = re.compile(r"^(?:[ps]\d+_)+")
SCRIPTED = re.compile(r"\btest\(\s*['\"`]((?:s\d+ )+)")
# A test that does not run proves nothing.
IGNORED = re.compile(r"#\[ignore\b")
# A function that gives a future, as users of a library see it, with its documentation and attributes.
FUTURE = re.compile(
    r"((?:^ *(?:///|#\[).*\n)*)^ *pub (?:async fn (\w+)|fn (\w+)\b[^{;]*-> impl Future\b)", re.MULTILINE
)
LIBRARIES = [ROOT / "crates" / name / "src" for name in ("client", "proto", "testkit", "ws")]

# Inputs of the fuzz targets: any bytes, some of which happen to be UTF-8.
NOT_TEXT = ROOT / "fuzz" / "corpus"

# Files in which a tab is always a slip. (Go is formatted with tabs.)
NO_TABS = {".css", ".html", ".js", ".json", ".md", ".mjs", ".py", ".rs", ".svg", ".toml"}
# What must not get into the repository: paths of one machine, and where one machine fetches its packages.
FORBIDDEN = [
    re.compile(r"(?<![\w.~$}-])/(?:work|tmp|root|home)/"),
    re.compile(r"registry\.[a-z]+js\.org|py[p]i\.org|pythonhoste[d]\.org|(?:static|index)\.crates\.io"),
    re.compile(r'"resolved"\s*:|^\s*(?:extra-)?index-url\b|^\s*registry\s*=', re.MULTILINE),
]


def files() -> list[Path]:
    """Every file that is in the repository or would be added to it."""
    names = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, check=True, capture_output=True, text=True,
    ).stdout.split("\0")
    return [ROOT / name for name in sorted(names) if name and (ROOT / name).is_file()]


def faults_of(path: Path, text: str) -> list[str]:
    """What is wrong with one text file, one line each."""
    faults = []
    for number, line in enumerate(text.split("\n"), 1):
        where = f"{path.relative_to(ROOT)}:{number}"
        if "\r" in line:
            faults.append(f"{where}: a carriage return")
        if "\t" in line and path.suffix in NO_TABS:
            faults.append(f"{where}: a tab")
        if line != line.rstrip(" ") and path.suffix in NO_TABS:
            faults.append(f"{where}: blanks at the end")
        for pattern in FORBIDDEN:
            if found := pattern.search(line):
                faults.append(f"{where}: {found[0]!r} must not be in the repository")
    if text and not text.endswith("\n"):
        faults.append(f"{path.relative_to(ROOT)}: no line end at the end")
    return faults


def faults_of_guarantees() -> list[str]:
    """Which tests the page of guarantees names and are not there."""
    named = NAMED.findall(GUARANTEES.read_text())
    faults = [] if named else [f"{GUARANTEES.relative_to(ROOT)}: names no test"]
    for name, test in named:
        path = ROOT / "crates" / name
        tests = ANY_TEST.findall(path.read_text()) if path.is_file() else []
        if not any(test in found for found in tests):
            faults.append(f"{GUARANTEES.relative_to(ROOT)}: there is no test {test} in {name}")
    return faults


def main() -> int:
    faults = []
    tested, survived = set(), set()
    for path in files():
        data = path.read_bytes()
        if b"\0" in data or path.is_relative_to(NOT_TEXT):
            continue
        try:
            text = data.decode()
        except UnicodeDecodeError as error:
            faults.append(f"{path.relative_to(ROOT)}: {error}")
            continue
        faults += faults_of(path, text)
        if path.suffix == ".rs":
            numbers = "".join(found[0] for names in ANY_TEST.findall(text) if (found := NUMBERS.match("".join(names))))
            tested |= {int(number) for number in re.findall(r"p(\d+)_", numbers)}
            survived |= {int(number) for number in re.findall(r"s(\d+)_", numbers)}
            if IGNORED.search(text):
                faults.append(f"{path.relative_to(ROOT)}: a test is ignored")
        if path.suffix in {".js", ".mjs"}:
            survived |= {int(number) for names in SCRIPTED.findall(text) for number in re.findall(r"\d+", names)}
        if any(path.is_relative_to(library) for library in LIBRARIES):
            faults += [
                f"{path.relative_to(ROOT)}: {async_name or name} does not say what happens when it is dropped"
                for documentation, async_name, name in FUTURE.findall(text)
                if "# Cancel safety" not in documentation
            ]
    faults += faults_of_guarantees()
    faults += [f"requirement {number}: no test is named p{number:02}_..." for number in sorted(REQUIREMENTS - tested)]
    faults += [f"scenario {number}: no test is named s{number:02}_..." for number in sorted(SCENARIOS - survived - OPEN)]
    faults += [f"scenario {number}: has a test, and is still said to have none" for number in sorted(OPEN & survived)]
    for fault in faults:
        print(fault)
    print(
        f"{len(REQUIREMENTS & tested)} of {len(REQUIREMENTS)} requirements and {len(SCENARIOS & survived)} of "
        f"{len(SCENARIOS)} scenarios have tests; {len(faults)} faults"
    )
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
