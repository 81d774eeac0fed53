//! fullduplex-tail.
