//! fullduplex-proto.
