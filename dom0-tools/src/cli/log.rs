//! `tenon dmesg`.

use serde_json::json;

use super::exit::Failure;
use super::output;
use crate::host::Host;

/// Shows the hypervisor's log.
pub fn run(clear: bool, json: bool) -> Result<(), Failure> {
    let log = Host::open()?.xen.log(clear)?;
    if json {
        let text = String::from_utf8_lossy(&log);
        return output::json(&json!({ "log": text.lines().collect::<Vec<_>>() }));
    }
    output::bytes(&log)
}
