//! Hands the arguments to the command line module and exits with its code.

use std::process::ExitCode;

fn main() -> ExitCode {
    sockel::cli::main()
}
