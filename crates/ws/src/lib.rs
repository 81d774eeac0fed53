//! fullduplex.
