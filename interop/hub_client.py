"""A client of `fdx.v1.json`, written from docs/hub-protocol.md alone: what it says is stored once, and what it shows is whole, however
often its connection ends."""

import asyncio
import itertools
import json
import random

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed


class Refused(Exception):
    """A command failed, with this code."""


class Client:
    def __init__(self, url: str, name: str, guest: str):
        self.url, self.me, self.ws = url, {"name": name, "guest": guest}, None
        self.ids, self.waiting = itertools.count(1), {}  # commands without a reply, and who waits for it
        self.rooms, self.epochs, self.cursors, self.recent = {}, {}, {}, {}
        self.seen = []  # what came of rooms

    async def run(self):
        """Keeps a connection, until it is cancelled."""
        while True:
            try:
                async with connect(self.url, subprotocols=["fdx.v1.json"]) as ws:
                    await ws.send(json.dumps({"op": "hello", "id": 0, **self.me, "resume": self.cursors}))
                    async for frame in ws:
                        await self.take(json.loads(frame), ws)
            except (OSError, ConnectionClosed):
                self.ws = None
            await asyncio.sleep(random.uniform(0, 0.5))

    async def call(self, op: str, **fields) -> dict:
        """The reply to a command, which is said again when a connection ended before it came."""
        command = {"op": op, "id": next(self.ids), **fields}
        self.waiting[command["id"]] = command, (reply := asyncio.get_running_loop().create_future())
        if self.ws:
            await self.say(command)
        return await reply

    async def say(self, command: dict):
        try:
            await self.ws.send(json.dumps(command))
        except ConnectionClosed:
            self.ws = None

    async def take(self, frame: dict, ws):
        if frame.get("re") == 0:
            self.ws = ws
            for room, reply in frame["ok"]["rooms"].items():
                self.joined(reply, {"room": room})
            again = [{"op": "join", "room": room} for room in self.rooms.keys() - self.cursors.keys()]
            for command in again + [command for command, _ in self.waiting.values()]:
                await self.say(command)
        elif frame.get("re") in self.waiting:
            command, reply = self.waiting.pop(frame["re"])
            if "err" in frame:
                return reply.set_exception(Refused(frame["err"]["code"]))
            if command["op"] == "join":
                self.joined(frame["ok"], command)
            reply.set_result(frame["ok"])
        elif "seq" in frame and frame["ev"] != "read":
            room = frame["room"]
            self.seen.append(frame)
            self.cursors[room] = f"{self.epochs[room]}.{frame['seq']}.{frame['id'][-6:]}"
            self.recent.get(room, []).append(frame)
            self.apply(frame)

    def joined(self, reply: dict, command: dict):
        room, self.epochs[command["room"]] = command["room"], reply["epoch"]
        self.seen.append(reply)
        if reply.get("resume") != "ok":
            self.rooms[room] = {}
            self.cursors.pop(room, None)
        if reply["floor"] > reply["head"] or command.get("backlog") == 0:  # nothing follows
            self.cursors[room] = reply["cursor"]

    def apply(self, event: dict):
        messages, seq = self.rooms[event["room"]], event["seq"]
        if event["ev"] == "msg":
            messages.setdefault(seq, {**event, "reactions": {}, "as_of": seq})
        if (message := messages.get(event.get("target"))) and message["as_of"] < seq:
            message["as_of"] = seq
            if event["ev"] == "edit":
                message["body"] = event["body"]
            elif event["ev"] == "del":
                message.update(body=None, reactions={})
            elif event["ev"] == "react":
                message["reactions"].setdefault(event["emoji"], {"count": 0})["count"] += 1 if event["on"] else -1

    async def history(self, room: str, **where) -> dict:
        self.recent[room] = recent = []
        page = await self.call("history", room=room, **where)
        for event in page["events"]:
            known = self.rooms[room].get(event["seq"])
            if known is None or known["as_of"] < page["as_of"]:
                self.rooms[room][event["seq"]] = {**event, "as_of": page["as_of"]}
        for event in recent:
            self.apply(event)
        return page
