//! Has the pages embedded anew when a file is added to them: what `rust-embed` generates depends only on those that were
//! there before.

fn main() {
    println!("cargo::rerun-if-changed=web");
}
