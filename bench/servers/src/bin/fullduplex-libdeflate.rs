//! The same program, built with the library's feature `libdeflate`.

#[path = "fullduplex.rs"]
mod program;

fn main() -> std::io::Result<()> {
    program::main()
}
