"""The HTTP API of `fdx serve` against what its documents say: OpenAPI for programs, `docs/http-api.md` for people.

FDX names the binary; without it `target/release/fdx` is taken.
"""

import json
import os
import re
import secrets
import subprocess
import sys
import tempfile
import unittest
import urllib.request
from contextlib import contextmanager
from pathlib import Path

from openapi_spec_validator import OpenAPIV31SpecValidator

ROOT = Path(__file__).resolve().parent.parent
FDX = os.environ.get("FDX", str(ROOT / "target" / "release" / "fdx"))
# Seconds for anything that should happen at once; generous, because CI machines are slow.
SOON = 60
# For one example of the document: a poll that is held gives up in this time, a stream is cut.
EXAMPLE = 15
# Paths of what is for who looks after the server.
ADMINISTRATION = "/(bans|connections|users)|/members/"
# For all that schemathesis tries.
FUZZING = 500


@contextmanager
def serve(*options: str):
    """The URL of a server of ours on a free port."""
    arguments = [FDX, "serve", "--listen", "127.0.0.1:0", "--memory", *options]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as server:
        try:
            lines = iter(server.stdout.readline, "")
            yield next(url[1] for line in lines if (url := re.fullmatch(r"listening on (\S+)\n", line)))
        finally:
            server.terminate()
            server.wait(SOON)


def shape(value):
    """What a JSON value is made of: its keys and types."""
    match value:
        case dict():
            return {key: shape(value) for key, value in value.items()}
        case list():
            return [shape(value[0])] if value else []
        case _:
            return type(value).__name__


def examples() -> list[tuple[str, str, str]]:
    """Commands of the document, each with the kind and the text of the answer that stands below it."""
    text = (ROOT / "docs" / "http-api.md").read_text()
    block = r"((?:(?!```).)*)```"
    return re.findall(rf"```sh\n{block}\n\n```(json|text)\n{block}", text, re.DOTALL)


def shell(command: str, url: str) -> str:
    """What a command of the document prints, run against this server; it may be cut off."""
    command = command.replace("http://127.0.0.1:8080", url)
    bounded = ["timeout", str(EXAMPLE), "bash", "-c", command]
    return subprocess.run(bounded, stdout=subprocess.PIPE, text=True, timeout=SOON).stdout


def operations(url: str, of: str = "") -> int:
    """How many operations a server's document has, of those paths."""
    with urllib.request.urlopen(f"{url}/api/v1/openapi.json", timeout=SOON) as answer:
        paths = json.load(answer)["paths"]
    return sum(method in ("get", "post", "delete") for path in paths if re.search(of, path) for method in paths[path])


class Documents(unittest.TestCase):
    def test_the_openapi_document_is_one(self):
        with serve() as url, urllib.request.urlopen(f"{url}/api/v1/openapi.json", timeout=SOON) as answer:
            OpenAPIV31SpecValidator(json.load(answer)).validate()

    def test_the_examples_answer_as_the_document_says(self):
        found = examples()
        self.assertGreaterEqual(len(found), 3, "the document lost its examples")
        with serve() as url:
            for command, kind, expected in found:
                with self.subTest(command):
                    printed = shell(command, url)
                    if kind == "json":
                        self.assertEqual(shape(json.loads(printed)), shape(json.loads(expected)))
                    else:
                        # Of a stream: which fields come in which order.
                        fields = re.compile(r"^(?:id|retry|event: \w+)", re.MULTILINE)
                        self.assertEqual(fields.findall(printed), fields.findall(expected))

    def try_out(self, url: str, *options: str) -> str:
        """What schemathesis says of a server, in which it has found nothing."""
        tool = Path(sys.executable).with_name("st")
        arguments = [tool, "--config-file", ROOT / "interop" / "schemathesis.toml", "run", f"{url}/api/v1/openapi.json", *options]
        with tempfile.TemporaryDirectory() as folder:
            tried = subprocess.run(arguments, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=FUZZING)
        self.assertEqual(tried.returncode, 0, tried.stdout)
        return tried.stdout

    def test_schemathesis_finds_nothing(self):
        with serve() as url:
            said = self.try_out(url)
            # Operations that were skipped would find nothing, either.
            self.assertIn(f"Tested: {operations(url) - 2}\n", said, "all but the document itself and the stream")

    def test_schemathesis_finds_nothing_as_the_administrator(self):
        token = secrets.token_hex(32)
        with tempfile.NamedTemporaryFile("w") as file:
            file.write(token)
            file.flush()
            with serve("--admin-token", file.name) as url:
                said = self.try_out(url, "--header", f"Authorization: Bearer {token}", "--include-path-regex", ADMINISTRATION)
                self.assertIn(f"Tested: {operations(url, ADMINISTRATION)}\n", said)


if __name__ == "__main__":
    unittest.main()
