//! The table of rates.

use fullduplex_hub::Rates;

use super::{Row, Table, value::Slot::PerSecond};

impl Table for Rates {
    const HEADING: &'static str = "Rates";
    const ROWS: &'static [Row<Self>] = &[
        Row {
            name: "rates.requests-per-address",
            about: "Requests and handshakes from one address, or one /64 of IPv6; more are answered 429. An office that comes back after a restart",
            slot: |rates| PerSecond(&mut rates.requests_per_address),
        },
        Row {
            name: "rates.commands-per-connection",
            about: "Commands of any kind on one connection: far more than a person makes, and joining all rooms at once",
            slot: |rates| PerSecond(&mut rates.commands_per_connection),
        },
        Row {
            name: "rates.messages-per-user",
            about: "Messages and whatever else is kept, by one user: a bot that is busy. An edit or a deletion counts as ten, as it costs the log so much",
            slot: |rates| PerSecond(&mut rates.messages_per_user),
        },
        Row {
            name: "rates.messages-per-address",
            about: "The same from one address, or one /64 of IPv6",
            slot: |rates| PerSecond(&mut rates.messages_per_address),
        },
        Row {
            name: "rates.messages-per-room",
            about: "The same in one room: more than anybody can read, and a feed of data",
            slot: |rates| PerSecond(&mut rates.messages_per_room),
        },
    ];
}
