//! `tenon create`.

use std::path::{Path, PathBuf};

use serde_json::json;

use super::exit::{Exit, Failure};
use super::{CreateArgs, console, output};
use crate::config;
use crate::host::Host;
use crate::lifecycle::act;

/// Creates the guest that a file describes.
pub fn run(args: &CreateArgs, json: bool) -> Result<(), Failure> {
    let loaded = config::load(&args.file)?;
    for warning in &loaded.warnings {
        output::note(&format!("{}:{}: {}", args.file.display(), warning.at, warning.value));
    }
    let host = Host::open()?;
    let file = absolute(&args.file);
    let in_file = |message: String| format!("{}: {message}", args.file.display());
    let config = resolve(loaded.config);
    let created = act::create(&host, &file, config, args.paused, args.autoballoon)
        .map_err(|e| Failure::new(Exit::Refused, in_file(e.to_string())))?;
    if !created.in_store {
        output::note("no xenstore daemon: the guest's kernel waits until one is started");
    }
    if !created.has_shares {
        output::note("cpu_weight and cap have no effect: the hypervisor runs sched=null");
    }
    if json {
        return output::json(&json!({ "id": created.domain, "name": created.name, "uuid": created.uuid }));
    }
    let how = if args.paused { "is paused" } else { "runs" };
    output::line(&format!("{} {how} as domain {}", created.name, created.domain))?;
    if args.console {
        return console::attach(&host, &created.name, created.domain);
    }
    Ok(())
}

/// Makes the paths of the guest file absolute: a restart happens in another working directory.
fn resolve(mut config: config::GuestConfig) -> config::GuestConfig {
    config.kernel = absolute(&config.kernel);
    config.ramdisk = config.ramdisk.as_deref().map(absolute);
    for disk in &mut config.disks {
        disk.target = absolute(&disk.target);
    }
    config
}

pub(super) fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}
