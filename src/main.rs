//! The binary: parse, run, exit.

// Rehearsals make and drop small things, hundreds of thousands a second.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    pgbaton::cli::main()
}
