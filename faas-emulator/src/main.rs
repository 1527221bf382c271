//! The `faas` command.

// compiling a module allocates a lot on several threads: a fifth of a reload
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    faas_emulator::main()
}
