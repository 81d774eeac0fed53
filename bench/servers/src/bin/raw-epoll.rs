fn main() {
    let (_, _) = bench_servers::start(&[bench_servers::Mode::Echo]);
}
