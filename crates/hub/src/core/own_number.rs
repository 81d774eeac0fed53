//! Maps whose keys are numbers of our own.

use std::{
    collections::HashMap,
    hash::{BuildHasherDefault, Hasher},
};

/// A map from numbers that this process gives out. Nobody outside can choose them so that they collide, so it needs no
/// keyed hash, which takes longer than the rest of a look-up.
pub(crate) type OwnNumberMap<K, V> = HashMap<K, V, BuildHasherDefault<OwnNumberHasher>>;

#[derive(Debug, Default)]
pub(crate) struct OwnNumberHasher(u64);

impl OwnNumberHasher {
    /// 2^64 divided by the golden ratio, and odd: neighbours end up far from each other.
    const FACTOR: u64 = 0x9E37_79B9_7F4A_7C15;
}

impl Hasher for OwnNumberHasher {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64((*byte).into());
        }
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = (self.0 ^ number).wrapping_mul(Self::FACTOR);
    }

    fn write_usize(&mut self, number: usize) {
        self.write_u64(number as u64);
    }

    /// A map takes low bits for the place and the highest ones for the tag; after a product only high ones are mixed.
    fn finish(&self) -> u64 {
        self.0.rotate_left(32)
    }
}
