//! What commands about a guest's devices have in common.

use std::time::Duration;

use clap::Args;
use serde_json::json;

use super::exit::Failure;
use super::output;
use crate::config::GuestConfig;
use crate::devices::attach::{attach, connected};
use crate::devices::{Device, Listed, detach};
use crate::host::{Domain, Host};
use crate::lifecycle::decide::Activity;

#[derive(Debug, Args)]
pub struct DetachArgs {
    /// A name, a number or a UUID.
    pub domain: String,
    /// The device: a disk's name, a network card's hardware address, or its number among the guest's devices.
    pub device: String,
    /// Takes it at once, whatever the guest does with it.
    #[arg(long)]
    force: bool,
    /// Seconds that the guest has to let go of it.
    #[arg(long, default_value_t = 10)]
    timeout: u64,
}

/// How long a guest's driver has to take a new device before we say that it has not.
const GUEST: Duration = Duration::from_secs(10);

/// The guest that is meant, which lives.
pub fn guest(host: &Host, wanted: &str) -> Result<Domain, Failure> {
    let domain = host.find(wanted)?;
    if domain.info.id == 0 {
        return Err(Failure::refused("domain 0 serves devices; it is given none"));
    }
    if !matches!(domain.info.activity(), Activity::Live | Activity::Unstarted) {
        return Err(Failure::refused(format!("{} does not run: it is {}", domain.name, domain.state())));
    }
    Ok(domain)
}

/// Gives a device to a guest, and has `remember` add it to what the guest is started with from now on.
pub fn give<D: Device>(
    host: &Host,
    domain: &Domain,
    device: &D,
    json: bool,
    remember: impl FnOnce(&mut GuestConfig),
) -> Result<(), Failure> {
    let address = {
        let _lock = host.registry.lock()?;
        let address = attach(&host.xen, domain.info.id, device)?;
        change(host, domain, remember)?;
        address
    };
    // A guest that was never let run, or is paused, takes it later.
    let runs = !domain.info.flags.paused && matches!(domain.info.activity(), Activity::Live);
    let taken = runs && connected(address, GUEST)?;
    if runs && !taken {
        output::note(&format!(
            "{} has not taken {} yet: its kernel may have no driver loaded",
            domain.name,
            device.label()
        ));
    }
    let told = json!({ "id": domain.info.id, "name": domain.name, "device": address.id, "connected": taken });
    if json { output::json(&told) } else { Ok(()) }
}

/// Takes a device from a guest, and has `forget` remove it from what the guest is started with.
pub fn take(
    host: &Host,
    domain: &Domain,
    device: &Listed,
    label: &str,
    args: &DetachArgs,
    json: bool,
    forget: impl FnOnce(&mut GuestConfig),
) -> Result<(), Failure> {
    if args.force {
        detach::take(device.address, label)?;
    } else {
        detach::detach(device.address, label, Duration::from_secs(args.timeout))?;
    }
    let _lock = host.registry.lock()?;
    change(host, domain, forget)?;
    let told = json!({ "id": domain.info.id, "name": domain.name, "device": device.address.id });
    if json { output::json(&told) } else { Ok(()) }
}

/// Changes what a guest's record says; one that xl created has none. The registry is locked.
fn change(host: &Host, domain: &Domain, how: impl FnOnce(&mut GuestConfig)) -> Result<(), Failure> {
    if let Some(mut record) = host.registry.find(domain.info.uuid)? {
        how(&mut record.config);
        host.registry.save(&record)?;
    }
    Ok(())
}
