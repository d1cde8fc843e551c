//! The binary: parse, run, exit.

fn main() -> std::process::ExitCode {
    pgbaton::cli::main()
}
