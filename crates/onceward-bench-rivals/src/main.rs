//! Onceward's daemon beside other servers; see `docs/benchmarks.md`.
#![forbid(unsafe_code)]

fn main() -> std::process::ExitCode {
    onceward_bench_rivals::servers::main()
}
