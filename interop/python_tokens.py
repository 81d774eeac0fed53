"""Python's PyJWT against `fdx`: the tokens of each are taken by the other, also by a server that has their keys as a JWK Set.

FDX names the binary; without it `target/release/fdx` is taken.
"""

import asyncio
import json
import os
import subprocess
import tempfile
import time
import unittest
from pathlib import Path

import jwt
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

ROOT = Path(__file__).resolve().parent.parent
FDX = os.environ.get("FDX", str(ROOT / "target" / "release" / "fdx"))
KEYS = ROOT / "crates" / "hub" / "tests" / "keys"
SECRET = "0123456789abcdef0123456789abcdef"
PAIRS = {
    "RS256": ("rsa", RSAAlgorithm(RSAAlgorithm.SHA256)),
    "ES256": ("p256", ECAlgorithm(ECAlgorithm.SHA256)),
    "EdDSA": ("ed25519", OKPAlgorithm()),
}


def claims(sub: str) -> dict:
    return {"sub": sub, "aud": ["chat", "mail"], "exp": time.time() + 60.5, "rooms": {"general": ["read"]}}


def key(alg: str, half: str = "") -> str:
    return (KEYS / f"{PAIRS[alg][0]}{half}.pem").read_text()


def fdx(*args: str, stdin: str = "") -> str:
    done = subprocess.run([FDX, "token", *args], input=stdin, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


class Tokens(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)

    def file(self, name: str, content: str) -> str:
        path = self.folder / name
        path.write_text(content)
        path.chmod(0o600)
        return str(path)

    def test_theirs_are_taken_by_ours(self):
        for alg in PAIRS:
            token = jwt.encode(claims("ana"), key(alg), alg)
            public = self.file("public", key(alg, ".pub"))
            self.assertIn("verdict     good", fdx("--check", "-", "--key", public, "--audience", "chat", stdin=token))
        token = jwt.encode(claims("ana"), SECRET, "HS256")
        self.assertIn("verdict     good", fdx("--check", "-", "--key", self.file("secret", SECRET + "\n"), stdin=token))

    def test_ours_are_taken_by_theirs(self):
        make = ("--sub", "bo", "--audience", "chat", "--room", "team-*=read,write", "--right", "log", "--key")
        for alg in PAIRS:
            made = fdx(*make, self.file("private", key(alg)))
            said = jwt.decode(made.strip(), key(alg, ".pub"), [alg], audience="chat")
            self.assertEqual((said["sub"], said["rooms"], said["rights"]), ("bo", {"team-*": ["read", "write"]}, ["log"]))
        made = fdx(*make, self.file("secret", SECRET))
        self.assertEqual(jwt.decode(made.strip(), SECRET, ["HS256"], audience="chat")["sub"], "bo")

    def test_a_server_takes_tokens_by_the_keys_of_a_set_and_no_others(self):
        keys = []
        for alg, (kid, algorithm) in PAIRS.items():
            jwk = json.loads(algorithm.to_jwk(algorithm.prepare_key(key(alg, ".pub"))))
            keys.append({**jwk, "kid": kid, "use": "sig"})
        jwks = self.file("jwks", json.dumps({"keys": keys}))
        serve = [FDX, "serve", "--memory", "--listen", "127.0.0.1:0", "--auth-keys", jwks, "--auth-audience", "chat"]
        server = subprocess.Popen(serve, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        self.addCleanup(server.communicate, timeout=60)
        self.addCleanup(server.kill)
        url = server.stdout.readline().split("//")[1].strip()
        for alg, (kid, _) in PAIRS.items():
            token = jwt.encode(claims("ana"), key(alg), alg, headers={"kid": kid})
            self.assertEqual(asyncio.run(hello(url, token))["ok"]["user"]["id"], "ana")
        forged = jwt.encode(claims("ana"), SECRET, "HS256", headers={"kid": "rsa"})
        with self.assertRaises(ConnectionClosed) as closed:
            asyncio.run(hello(url, forged))
        # The keys were read just before, and are not read again at once: nobody knows yet whether there is such a one.
        self.assertIn(closed.exception.rcvd.code, (4001, 1013))


async def hello(url: str, token: str) -> dict:
    async with connect(f"ws://{url}/ws", subprotocols=["fdx.v1.json"], proxy=None) as ws:
        await ws.send(json.dumps({"op": "hello", "id": 1, "token": token}))
        return json.loads(await asyncio.wait_for(ws.recv(), 60))


if __name__ == "__main__":
    unittest.main()
