//! What a shard has, in numbers.

use std::ops::Add;

/// How much there is of what.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Census {
    pub(crate) rooms: usize,
    /// Users present, in each room for itself.
    pub(crate) users: usize,
    /// Bytes of all rings.
    pub(crate) ring_bytes: usize,
}

impl Add for Census {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            rooms: self.rooms + other.rooms,
            users: self.users + other.users,
            ring_bytes: self.ring_bytes + other.ring_bytes,
        }
    }
}
