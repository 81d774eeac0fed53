//! The table of waits.

use fullduplex_hub::Timeouts;

use super::{
    Row, Table,
    value::{Slot::Time, WHILE},
};

impl Table for Timeouts {
    const HEADING: &'static str = "Timeouts";
    const ROWS: &'static [Row<Self>] = &[
        Row {
            name: "timeouts.request-head",
            about: "For a request's head, for the next request on a connection, and for TLS: many round trips on any link",
            slot: |timeouts| Time(&mut timeouts.request_head, WHILE),
        },
        Row {
            name: "timeouts.http",
            about: "Before a connection that has not become a WebSocket takes no further request, and then for the answers under way",
            slot: |timeouts| Time(&mut timeouts.http, WHILE),
        },
        Row {
            name: "timeouts.request",
            about: "For the body of a request, and for the log to answer it: a network that works needs one second",
            slot: |timeouts| Time(&mut timeouts.request, WHILE),
        },
        Row {
            name: "timeouts.hello",
            about: "For hello on a new connection of fdx.v1.json",
            slot: |timeouts| Time(&mut timeouts.hello, WHILE),
        },
        Row {
            name: "timeouts.expiring",
            about: "Before its token expires a client is told, by this much: time to get another one",
            slot: |timeouts| Time(&mut timeouts.expiring, WHILE),
        },
        Row {
            name: "timeouts.write",
            about: "For a client to take some of what is written to it",
            slot: |timeouts| Time(&mut timeouts.write, WHILE),
        },
        Row {
            name: "timeouts.stream-heartbeat",
            about: "After which a stream of events says something where there is nothing to say: middleboxes forget quiet connections",
            slot: |timeouts| Time(&mut timeouts.stream_heartbeat, WHILE),
        },
        Row {
            name: "timeouts.close",
            about: "For a closing handshake, so that a shutdown has time for it",
            slot: |timeouts| Time(&mut timeouts.close, WHILE),
        },
        Row {
            name: "timeouts.shutdown",
            about: "For everybody to be gone after a shutdown began: within the five seconds that people wait",
            slot: |timeouts| Time(&mut timeouts.shutdown, WHILE),
        },
        Row {
            name: "timeouts.presence",
            about: "Presence changes are collected for this long: at once for a person, and a crowd is told in one event",
            slot: |timeouts| Time(&mut timeouts.presence, WHILE),
        },
        Row {
            name: "timeouts.presence-crowd",
            about: "The same in a room with more users or connections than are listed: each change is told to all of them",
            slot: |timeouts| Time(&mut timeouts.presence_crowd, WHILE),
        },
        Row {
            name: "timeouts.presence-away",
            about: "Before a user whose last connection was lost is shown as away: who only changes networks was never gone",
            slot: |timeouts| Time(&mut timeouts.presence_away, WHILE),
        },
        Row {
            name: "timeouts.presence-left",
            about: "Before such a user has left: some attempts to come back",
            slot: |timeouts| Time(&mut timeouts.presence_left, WHILE),
        },
        Row {
            name: "timeouts.empty-room",
            about: "A room's memory is given up after it was empty for this long: a train's tunnel",
            slot: |timeouts| Time(&mut timeouts.empty_room, WHILE),
        },
        Row {
            name: "timeouts.empty-room-grace",
            about: "An empty room is kept for this long even where another one wants its place: a reconnect finds it",
            slot: |timeouts| Time(&mut timeouts.empty_room_grace, WHILE),
        },
    ];
}
