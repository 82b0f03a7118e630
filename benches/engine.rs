//! The engine measured, beside rivals and the machine's floors; see `docs/benchmarks.md`.
//!
//! `cargo bench -p onceward-bench-rivals --bench engine -- --help` says what there is. Without
//! `--bench` (as `cargo test` calls it) a tiny run of everything shows that the benchmark works.

fn main() -> std::process::ExitCode {
    onceward_bench_rivals::main(std::env::args().collect())
}
