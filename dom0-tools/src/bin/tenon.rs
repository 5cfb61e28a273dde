//! The `tenon` command. See [`dom0_tools::cli`].

use std::process::ExitCode;

fn main() -> ExitCode {
    dom0_tools::cli::main()
}
