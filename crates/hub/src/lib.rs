//! fullduplex-hub.
