"""Python's `websockets` against `fdx`: as a client of our servers, as a server for our client.

FDX names the binary; without it `target/release/fdx` is taken.
"""

import asyncio
import json
import os
import re
import unittest
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from websockets.asyncio.client import connect
from websockets.asyncio.server import serve
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory, ServerPerMessageDeflateFactory

FDX = os.environ.get("FDX", str(Path(__file__).resolve().parent.parent / "target" / "release" / "fdx"))
# Seconds for anything that should happen at once; generous, because CI machines are slow.
SOON = 60
NO_TAKEOVER = {"server_no_context_takeover": True, "client_no_context_takeover": True}
# Parameters of permessage-deflate by their names, which one side wants and the other has to keep to.
DEFLATES = [
    {},
    {"server_no_context_takeover": True},
    {"client_no_context_takeover": True},
    NO_TAKEOVER,
    *({"server_max_window_bits": bits, "client_max_window_bits": bits} for bits in range(9, 16)),
]
# Each several times, so that later ones can refer to earlier ones.
TEXTS = 2 * ["", "x", "hello", "hello", "你好 👋🏽", "all work and no play " * 49_000, os.urandom(1 << 19).hex()]
MESSAGES = [*TEXTS, *(2 * [b"", b"\x00", bytes(1 << 20), os.urandom(1 << 20)])]


def answer(params: dict, *left_out: tuple) -> str:
    """What a server says that accepts these parameters."""
    said = [name if value is True else f"{name}={value}" for name, value in params.items() if (name, value) not in left_out]
    return "; ".join(["permessage-deflate", *said])


@asynccontextmanager
async def fdx(command: str, *options: str):
    """The ws URL of a server of ours on a free port."""
    pipe = asyncio.subprocess.PIPE
    # Rooms are on disk only where a test names a folder.
    store = ["--memory"] if command == "serve" and "--data" not in options else []
    arguments = [command, "--listen", "127.0.0.1:0", *store, *options]
    server = await asyncio.create_subprocess_exec(FDX, *arguments, stdout=pipe)
    try:
        line = (await asyncio.wait_for(server.stdout.readline(), SOON)).decode()
        url = re.fullmatch(r"listening on (\S+)\n", line)
        assert url, f"unexpected line {line!r}"
        yield re.sub("^http", "ws", url[1])
    finally:
        server.terminate()
        await asyncio.wait_for(server.wait(), SOON)


async def fdx_connect(*options: str, text: str = "") -> tuple[int, str, str]:
    """Runs our client with `text` as its input; the exit code and what it printed."""
    pipe = asyncio.subprocess.PIPE
    client = await asyncio.create_subprocess_exec(FDX, "connect", *options, stdin=pipe, stdout=pipe, stderr=pipe)
    try:
        out, err = await asyncio.wait_for(client.communicate(text.encode()), SOON)
        return client.returncode, out.decode(), err.decode()
    finally:
        if client.returncode is None:
            client.kill()


class Client(unittest.IsolatedAsyncioTestCase):
    """`websockets` connects to us."""

    async def test_echo_returns_every_message_as_what_it_was(self):
        for command, path in (("echo", "/"), ("serve", "/echo")):
            async with fdx(command) as url, connect(url + path) as ws:
                for message in ("", "hello", "你好 👋🏽", "x" * 50_000, b"", b"\x00\xff", os.urandom(50_000)):
                    await ws.send(message)
                    self.assertEqual(await asyncio.wait_for(ws.recv(), SOON), message)

    async def test_fragments_arrive_as_one_message(self):
        async with fdx("echo") as url, connect(url) as ws:
            await ws.send(["and a ", "happy new ", "year!"])
            self.assertEqual(await asyncio.wait_for(ws.recv(), SOON), "and a happy new year!")

    async def test_what_deflate_was_agreed_on_is_kept_to(self):
        for flags, always in (((), NO_TAKEOVER), (("--deflate-takeover",), {})):
            async with fdx("echo", *flags) as url:
                for params in DEFLATES:
                    offer = ClientPerMessageDeflateFactory(**{"client_max_window_bits": True, **params})
                    with self.subTest(flags=flags, **params):
                        async with connect(url, max_size=None, compression=None, extensions=[offer]) as ws:
                            agreed = answer({**always, **params}, ("client_max_window_bits", 15))
                            self.assertEqual(ws.response.headers["Sec-WebSocket-Extensions"], agreed)
                            for message in MESSAGES:
                                await ws.send(message)
                                self.assertTrue(await asyncio.wait_for(ws.recv(), SOON) == message)
                            await ws.send(TEXTS)
                            self.assertTrue(await asyncio.wait_for(ws.recv(), SOON) == "".join(TEXTS))

    async def test_without_deflate_nothing_is_agreed_on(self):
        async with fdx("echo", "--no-deflate") as url, connect(url, compression="deflate") as ws:
            self.assertNotIn("Sec-WebSocket-Extensions", ws.response.headers)
            await ws.send("plain")
            self.assertEqual(await asyncio.wait_for(ws.recv(), SOON), "plain")

    async def test_a_ping_is_answered(self):
        for command, path in (("echo", "/"), ("serve", "/echo"), ("serve", "/ws")):
            async with fdx(command) as url, connect(url + path) as ws:
                await asyncio.wait_for(await ws.ping("still there?"), SOON)

    async def test_a_close_is_answered_with_its_code(self):
        for command, path in (("echo", "/"), ("serve", "/echo"), ("serve", "/ws")):
            async with fdx(command) as url, connect(url + path) as ws:
                await ws.close(3000, "Goodbye, server!")
                self.assertEqual(ws.close_code, 3000)

    async def test_json_chat_reaches_both(self):
        async with fdx("serve") as url, connect(url + "/ws") as ana, connect(url + "/ws") as bo:
            await ana.send('{"email":"a@example.com","username":"Ana","message":"<hi> & 你好"}')
            heard = [await asyncio.wait_for(ws.recv(), SOON) for ws in (ana, bo)]
            self.assertEqual(heard[0], heard[1])
            self.assertIn('"message":"<hi> & 你好"', heard[0])

    async def test_with_deflate_all_in_a_room_hear_the_same(self):
        async with AsyncExitStack() as stack:
            url = await stack.enter_async_context(fdx("serve", "--deflate"))
            members = []
            for params in [None, *DEFLATES]:
                offers = None if params is None else [ClientPerMessageDeflateFactory(**{"client_max_window_bits": True, **params})]
                ws = await stack.enter_async_context(connect(url + "/ws", compression=None, extensions=offers))
                agreed = None if params is None else answer({**NO_TAKEOVER, **params}, ("client_max_window_bits", 15))
                self.assertEqual(ws.response.headers.get("Sec-WebSocket-Extensions"), agreed)
                members.append(ws)
            for said in ("short", "all work and no play " * 400, "你好 👋🏽" * 400, os.urandom(1 << 13).hex(), "short"):
                await members[-1].send(json.dumps({"username": "Ana", "message": said}))
                for ws in members:
                    heard = json.loads(await asyncio.wait_for(ws.recv(), SOON))
                    self.assertEqual(heard["message"], said)

    async def test_text_chat_reaches_both(self):
        async with fdx("serve") as url, connect(url + "/ws?mode=text") as ana, connect(url + "/ws?mode=text") as bo:
            await ana.send("hello all")
            for ws in (ana, bo):
                self.assertEqual(await asyncio.wait_for(ws.recv(), SOON), "hello all")

    async def test_the_end_of_the_server_is_1001(self):
        async with fdx("serve") as url:
            ws = await connect(url + "/ws")
        with self.assertRaises(ConnectionClosed):
            await asyncio.wait_for(ws.recv(), SOON)
        self.assertEqual(ws.close_code, 1001)

    async def test_a_foreign_origin_is_refused(self):
        async with fdx("echo") as url:
            with self.assertRaises(InvalidStatus) as refusal:
                await connect(url, origin="http://evil.example")
            self.assertEqual(refusal.exception.response.status_code, 403)


class Server(unittest.IsolatedAsyncioTestCase):
    """Our client connects to `websockets`."""

    async def test_lines_go_and_come_back_and_the_close_is_1000(self):
        ends = asyncio.Queue()

        async def echo(ws):
            async for message in ws:
                await ws.send(message)
            await ends.put((ws.close_code, ws.close_reason))

        async with serve(echo, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            code, out, err = await fdx_connect(f"ws://127.0.0.1:{port}/chat", text="one\n你好 👋🏽\nthree\n")
            self.assertEqual((code, out), (0, "one\n你好 👋🏽\nthree\n"), err)
            self.assertEqual((await asyncio.wait_for(ends.get(), SOON))[0], 1000)

    async def test_the_servers_reason_is_printed(self):
        async def goodbye(ws):
            await ws.close(1000, "Goodbye, client!")

        async with serve(goodbye, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            code, out, err = await fdx_connect(f"ws://127.0.0.1:{port}")
            self.assertIn('closed 1000 "Goodbye, client!" by peer', out + err)
            self.assertEqual(code, 0)

    async def test_a_subprotocol_is_agreed(self):
        agreed = asyncio.Queue()

        async def note(ws):
            await agreed.put(ws.subprotocol)

        async with serve(note, "127.0.0.1", 0, subprotocols=["two"]) as server:
            port = server.sockets[0].getsockname()[1]
            await fdx_connect(f"ws://127.0.0.1:{port}", "--subprotocol", "one", "--subprotocol", "two")
            self.assertEqual(await asyncio.wait_for(agreed.get(), SOON), "two")

    async def test_what_deflate_the_server_wants_is_kept_to(self):
        async def echo(ws):
            async for message in ws:
                # As two fragments.
                half = len(message) // 2
                await ws.send([message[:half], message[half:]])

        lines = "".join(f"{line}\n" for line in TEXTS)
        for params in DEFLATES:
            accept = ServerPerMessageDeflateFactory(**params)
            async with serve(echo, "127.0.0.1", 0, compression=None, extensions=[accept]) as server:
                port = server.sockets[0].getsockname()[1]
                with self.subTest(**params):
                    code, out, err = await fdx_connect(f"ws://127.0.0.1:{port}", "--deflate", text=lines)
                    self.assertIn(f", {answer(params)}\n", err)
                    self.assertTrue((code, out) == (0, lines), err)

    async def test_fragments_and_pings_are_understood(self):
        async def stream(ws):
            await asyncio.wait_for(await ws.ping(), SOON)
            await ws.send(["and a ", "happy new ", "year!"])
            await ws.close()

        async with serve(stream, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            _, out, err = await fdx_connect(f"ws://127.0.0.1:{port}")
            self.assertEqual(out, "and a happy new year!\n", err)


if __name__ == "__main__":
    unittest.main()
