//! The `faas` command.

fn main() -> std::process::ExitCode {
    faas_emulator::main()
}
