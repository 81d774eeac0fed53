"""A client of `fdx.v1.json`, written from docs/hub-protocol.md alone: it says everything once, and hears everything once, in order."""

import asyncio
import json
import random
from contextlib import suppress

from websockets import ConnectionClosed, connect


class Client:
    def __init__(self, url: str, name: str, guest: str):
        self.url, self.me, self.ws = url, {"name": name, "guest": guest}, None
        self.waiting, self.epochs, self.cursors, self.seen = {}, {}, {}, []  # waiting: commands without a reply

    async def run(self):
        async for ws in connect(self.url, subprotocols=["fdx.v1.json"]):  # again and again, until cancelled
            try:
                await ws.send(json.dumps({"op": "hello", "id": 0, **self.me, "resume": self.cursors}))
                async for frame in ws:
                    await self.take(json.loads(frame), ws)
            except ConnectionClosed:
                self.ws = None
            await asyncio.sleep(random.uniform(0, 0.5))

    async def call(self, op: str, **fields) -> dict:
        """The reply to a command, which is said again when the connection ends before it comes."""
        command = {"op": op, "id": random.getrandbits(53), **fields}
        self.waiting[command["id"]] = command, (reply := asyncio.get_running_loop().create_future())
        if self.ws:
            await self.say(command)
        return await reply

    async def say(self, command: dict):
        with suppress(ConnectionClosed):  # then it is said to the next one
            await self.ws.send(json.dumps(command))

    async def take(self, frame: dict, ws):
        if frame.get("re") == 0:
            self.ws = ws
            for room, reply in frame["ok"]["rooms"].items():
                self.enter(room, reply)
            again = [{"op": "join", "room": room} for room in self.epochs.keys() - self.cursors.keys()]
            for command in again + [command for command, _ in self.waiting.values()]:
                await self.say(command)
        elif frame.get("re") in self.waiting:
            command, reply = self.waiting.pop(frame["re"])
            if "ok" in frame and command["op"] in ("join", "sub"):
                self.enter(command["room"], frame["ok"])
            reply.set_result(frame)
        elif "seq" in frame and frame["ev"] != "read":
            self.seen.append(frame)
            self.cursors[frame["room"]] = f"{self.epochs[frame['room']]}.{frame['seq']}.{frame['id'][-6:]}"

    def enter(self, room: str, reply: dict):
        self.epochs[room] = reply["epoch"]
        if reply.get("resume") != "ok":
            self.cursors.pop(room, None)
        if reply["floor"] > reply["head"]:  # nothing follows
            self.cursors[room] = reply["cursor"]
