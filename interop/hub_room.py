"""What a room looks like to a client of `fdx.v1.json`, from the events it hears and the pages it reads; from docs/hub-protocol.md alone."""

from hub_client import Client


class Refused(Exception):
    """A command failed, with this code."""


class Reader(Client):
    def __init__(self, *args):
        super().__init__(*args)
        self.rooms, self.recent = {}, {}

    async def ask(self, op: str, **fields) -> dict:
        reply = await self.call(op, **fields)
        if "err" in reply:
            raise Refused(reply["err"]["code"])
        return reply["ok"]

    def enter(self, room: str, reply: dict):
        super().enter(room, reply)
        self.seen.append(reply)
        if reply.get("resume") != "ok":
            self.rooms[room] = {}

    async def take(self, frame: dict, ws):
        await super().take(frame, ws)
        if "ev" in frame and "seq" in frame and frame["ev"] != "read":
            self.recent.get(frame["room"], []).append(frame)
            self.apply(frame)

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
        page = await self.ask("history", room=room, **where)
        for event in page["events"]:
            known = self.rooms[room].get(event["seq"])
            if known is None or known["as_of"] < page["as_of"]:
                self.rooms[room][event["seq"]] = {**event, "as_of": page["as_of"]}
        for event in recent:
            self.apply(event)
        return page
