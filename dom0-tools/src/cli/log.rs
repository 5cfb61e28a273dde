//! `tenon dmesg`.

use serde_json::json;

use super::exit::Failure;
use super::output;
use crate::host::Host;

/// Shows the hypervisor's log, with what it answers to `keys` at its end.
pub fn run(clear: bool, keys: Option<&str>, json: bool) -> Result<(), Failure> {
    let xen = Host::open()?.xen;
    if let Some(keys) = keys {
        xen.debug_keys(keys)?;
    }
    let log = xen.log(clear)?;
    if json {
        let text = String::from_utf8_lossy(&log);
        return output::json(&json!({ "log": text.lines().collect::<Vec<_>>() }));
    }
    output::bytes(&log)
}
