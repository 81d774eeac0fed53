//! The table of limits.

use fullduplex_hub::Limits;

use super::{
    Row, Table,
    value::{
        BYTES, SOME,
        Slot::{Count, CountOrAll, CountOrHalf, Size},
    },
};

impl Table for Limits {
    const HEADING: &'static str = "Limits";
    const ROWS: &'static [Row<Self>] = &[
        Row {
            name: "limits.connections",
            about: "Connections at once, of any kind; more are answered 503. Under the usual 20,000 descriptors, with room for files",
            slot: |limits| Count(&mut limits.connections, SOME),
        },
        Row {
            name: "limits.followers",
            about: "Requests at once that wait for events by HTTP; half of limits.connections, so that they can't shut out WebSockets",
            slot: |limits| CountOrHalf(&mut limits.followers),
        },
        Row {
            name: "limits.connections-per-address",
            about: "Connections at once from one address, or one /64 of IPv6; more are answered 429. A large office, and a tenth of all",
            slot: |limits| Count(&mut limits.connections_per_address, SOME),
        },
        Row {
            name: "limits.unauthenticated",
            about: "Connections at once that are not let in yet (TLS, a request's head, pages, a hello to come); half of limits.connections, so that who has no token can't hold them all; more are answered 503",
            slot: |limits| CountOrHalf(&mut limits.unauthenticated),
        },
        Row {
            name: "limits.unauthenticated-per-address",
            about: "The same from one address, or one /64 of IPv6; half of limits.connections-per-address, or of limits.unauthenticated where that is less; more are answered 429",
            slot: |limits| CountOrHalf(&mut limits.unauthenticated_per_address),
        },
        Row {
            name: "limits.rooms",
            about: "Rooms at once. One that is empty makes place for a new one",
            slot: |limits| Count(&mut limits.rooms, SOME),
        },
        Row {
            name: "limits.kept-rooms",
            about: "Rooms of which something is kept on disk, for 90 days at least; what is said in one more is refused. Far more than are made in earnest, and a second's work every ten minutes",
            slot: |limits| Count(&mut limits.kept_rooms, SOME),
        },
        Row {
            name: "limits.rooms-per-address",
            about: "Rooms that exist and were made from one address, or one /64 of IPv6: more than an office makes, and a tenth of all",
            slot: |limits| Count(&mut limits.rooms_per_address, SOME),
        },
        Row {
            name: "limits.rooms-per-connection",
            about: "Rooms one connection may be in: far beyond what a person follows",
            slot: |limits| Count(&mut limits.rooms_per_connection, SOME),
        },
        Row {
            name: "limits.bans",
            about: "Bans of the server at once, and as many of rooms: far more than anybody looks through",
            slot: |limits| Count(&mut limits.bans, SOME),
        },
        Row {
            name: "limits.frame",
            about: "One message on /ws: a body with every character escaped, and its envelope",
            slot: |limits| Size(&mut limits.frame, BYTES),
        },
        Row {
            name: "limits.body",
            about: "A message's body in fdx.v1.json: some pages of text",
            slot: |limits| Size(&mut limits.body, BYTES),
        },
        Row {
            name: "limits.echo-message",
            about: "One message on /echo; `fdx echo` is the tool for more",
            slot: |limits| Size(&mut limits.echo_message, BYTES),
        },
        Row {
            name: "limits.echo-connections",
            about: "Connections at once on /echo; more are answered 503. Times two messages each, this is what they hold; far more than are tried by hand",
            slot: |limits| Count(&mut limits.echo_connections, SOME),
        },
        Row {
            name: "limits.ring-events",
            about: "Events a room keeps in memory: what most who come back have missed",
            slot: |limits| Count(&mut limits.ring_events, SOME),
        },
        Row {
            name: "limits.ring-bytes",
            about: "What a room keeps in memory, its events' encodings included",
            slot: |limits| Size(&mut limits.ring_bytes, BYTES),
        },
        Row {
            name: "limits.total-ring-bytes",
            about: "What all rooms keep in memory. Rooms quiet for longest give theirs up, and are read from the log",
            slot: |limits| Size(&mut limits.total_ring_bytes, BYTES),
        },
        Row {
            name: "limits.plain-lag",
            about: "Events a plain client may fall behind before it is closed with 1013: the queue of the tutorial's server",
            slot: |limits| Count(&mut limits.plain_lag, SOME),
        },
        Row {
            name: "limits.listed-users",
            about: "Users up to which a room's members are listed; above they are counted, or joining would cost the square of their number",
            slot: |limits| Count(&mut limits.listed_users, SOME),
        },
        Row {
            name: "limits.memory-events",
            about: "With --memory: events kept, and repetitions known of. Minutes under load, where a client repeats within seconds",
            slot: |limits| Count(&mut limits.memory_events, SOME),
        },
        Row {
            name: "limits.memory-bytes",
            about: "With --memory: what is kept of events",
            slot: |limits| Size(&mut limits.memory_bytes, BYTES),
        },
        Row {
            name: "limits.request-head",
            about: "A request's head: what browsers send with many cookies",
            // Less than this hyper does not take.
            slot: |limits| Size(&mut limits.request_head, 8 << 10..=1 << 20),
        },
        Row {
            name: "limits.log-backlog",
            about: "Lines a new viewer of a log gets first: two screens",
            slot: |limits| CountOrAll(&mut limits.log_backlog),
        },
    ];
}
