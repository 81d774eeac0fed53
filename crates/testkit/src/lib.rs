//! fullduplex-testkit.
