//! The `tenon-xenstored` daemon. See [`dom0_tools::xenstore`].

use std::process::ExitCode;

fn main() -> ExitCode {
    dom0_tools::xenstore::main()
}
