"""A foreign client of the hub's own protocol, cut off again and again by a relay between it and `fdx serve`."""

import asyncio
import tempfile
import unittest
from contextlib import asynccontextmanager, suppress

from hub_room import Reader, Refused
from python_websockets import SOON, fdx


class Relay:
    """A port before a server's, whose connections can be cut."""

    def __init__(self):
        self.target, self.tasks = None, set()

    async def serve(self, reader, writer):
        task = asyncio.current_task()
        self.tasks.add(task)
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self.target)
            ways = (self.pass_on(reader, far_writer), self.pass_on(far_reader, writer))
            await asyncio.gather(*ways)
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            self.tasks.discard(task)
            writer.transport.abort()
            with suppress(UnboundLocalError):
                far_writer.transport.abort()

    @staticmethod
    async def pass_on(reader, writer):
        while data := await reader.read(4096):
            writer.write(data)
            await writer.drain()
        writer.close()

    def cut(self):
        for task in self.tasks:
            task.cancel()


@asynccontextmanager
async def client(port: int, name: str):
    """A client that keeps coming back."""
    it = Reader(f"ws://127.0.0.1:{port}/ws", name, f"secret of {name}, long enough")
    running = asyncio.create_task(it.run())
    try:
        yield it
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running


@asynccontextmanager
async def relay():
    it = Relay()
    server = await asyncio.start_server(it.serve, "127.0.0.1", 0)
    it.port = server.sockets[0].getsockname()[1]
    try:
        yield it
    finally:
        server.close()
        it.cut()


async def until(what):
    """Waits until something is so."""
    async with asyncio.timeout(SOON):
        while not what():
            await asyncio.sleep(0.01)


class Hub(unittest.IsolatedAsyncioTestCase):
    async def test_who_is_cut_off_again_and_again_says_all_once_and_misses_nothing(self):
        """The server is also stopped once, and comes back with the same data."""
        with tempfile.TemporaryDirectory() as data:
            async with relay() as way:
                # Like a browser, it offers to compress.
                async with fdx("serve", "--deflate", "--data", data) as url:
                    way.target = int(url.rpartition(":")[2])
                    async with client(way.port, "Ana") as ana, client(way.port, "Bo") as bo:
                        for each in (ana, bo):
                            await asyncio.wait_for(each.ask("join", room="general"), SOON)
                        await self.talk(way, ana, bo)
                        await self.change(way, ana, bo)
                        shown = [(m["seq"], m["body"]) for _, m in sorted(ana.rooms["general"].items())]
                # Another connection, after a restart, sees the same.
                async with fdx("serve", "--data", data) as url:
                    way.target = int(url.rpartition(":")[2])
                    async with client(way.port, "Cy") as cy:
                        await asyncio.wait_for(cy.ask("join", room="general", backlog=1), SOON)
                        await asyncio.wait_for(self.read_all(cy), SOON)
                        self.assertEqual([(m["seq"], m["body"]) for _, m in sorted(cy.rooms["general"].items())], shown)

    async def talk(self, way, ana, bo):
        """Both talk while their connections are cut. Each sees all, once, in one order and without a gap."""
        async def say(who, name):
            for n in range(100):
                body = f"{name} {n}"
                call = asyncio.create_task(who.ask("send", room="general", cid=body, body=body))
                if n % 20 == 10:
                    # Now and then it is said, and the reply is lost.
                    await asyncio.sleep(0.002 * (n // 20))
                    way.cut()
                reply = await asyncio.wait_for(call, SOON)
                self.assertGreater(reply["seq"], 0)

        await asyncio.gather(say(ana, "Ana"), say(bo, "Bo"))
        for each in (ana, bo):
            await until(lambda each=each: len(self.events(each, "msg")) >= 200)
            events = self.events(each)
            self.assertEqual(len(events), 200)
            self.assertEqual([event["prev"] for event in events], [0, *(event["seq"] for event in events[:-1])])
            self.assertGreater(len([back for back in each.seen if back.get("resume") == "ok"]), 1, "it was cut off")
            self.assertFalse([back for back in each.seen if back.get("resume") == "reset"])
            for name in ("Ana", "Bo"):
                own = [event["body"] for event in events if event["from"]["name"] == name]
                self.assertEqual(own, [f"{name} {n}" for n in range(100)])
        self.assertEqual(self.events(ana), self.events(bo))

    async def change(self, way, ana, bo):
        """Ana edits, deletes and reacts while she is cut off; Bo sees what comes of it."""
        seqs = [event["seq"] for event in self.events(bo, "msg")]
        own = [event["seq"] for event in self.events(ana, "msg") if event["from"]["name"] == "Ana"]
        for n, target in enumerate(own[:20]):
            where = {"room": "general", "target": target, "cid": f"change {n}"}
            if n % 5 == 0:
                way.cut()
            if n % 2:
                change = ana.ask("edit", **where, body=f"edited {n}")
            else:
                change = ana.ask("delete", **where)
            await asyncio.wait_for(change, SOON)
        await asyncio.wait_for(bo.ask("react", room="general", target=seqs[-1], emoji="🎉", on=True), SOON)
        with self.assertRaisesRegex(Refused, "forbidden"):
            await asyncio.wait_for(bo.ask("delete", room="general", target=own[-1]), SOON)
        for each in (ana, bo):
            await until(lambda each=each: self.events(each, "react"))
        await asyncio.wait_for(self.read_all(bo), SOON)
        expected = {target: f"edited {n}" if n % 2 else None for n, target in enumerate(own[:20])}
        for each in (ana, bo):
            room = each.rooms["general"]
            self.assertEqual({target: room[target]["body"] for target in expected}, expected)
            self.assertEqual(room[seqs[-1]]["reactions"]["🎉"]["count"], 1)
        self.assertEqual(len(bo.rooms["general"]), 200)

    @staticmethod
    def events(client, *kinds):
        return [event for event in client.seen if "ev" in event and (not kinds or event["ev"] in kinds)]

    @staticmethod
    async def read_all(client):
        """Scrolls back to the beginning."""
        where = {}
        while (page := await client.history("general", limit=30, **where))["more_before"]:
            where = {"before": page["events"][0]["seq"]}


if __name__ == "__main__":
    unittest.main()
