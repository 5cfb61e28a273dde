//! Guest files: any bytes are read or refused, in both spellings. The first byte chooses: `t` for TOML.
#![no_main]

use dom0_tools::config::{Syntax, parse};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let Some((first, file)) = input.split_first() else { return };
    let syntax = if *first == b't' { Syntax::Toml } else { Syntax::Xl };
    match parse(file, syntax) {
        Ok(loaded) => assert!(loaded.config.vcpus >= 1 && loaded.config.vcpus <= loaded.config.maxvcpus),
        Err((_, cause)) => assert!(!cause.to_string().is_empty()),
    }
});
