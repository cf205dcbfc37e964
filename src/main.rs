//! Hands the arguments to the command line module and exits with its code.

fn main() -> std::process::ExitCode {
    sockel::cli::main()
}
