//! fdx.
fn main() {}
