//! `tenon block-attach`, `block-detach`, `block-list`.

use clap::Args;
use serde::Serialize;

use super::create::absolute;
use super::device::{self, DetachArgs};
use super::exit::Failure;
use super::output;
use crate::config::{Disk, Vdev};
use crate::devices::{self, DeviceError, Kind, Listed, State};
use crate::host::Host;

#[derive(Debug, Args)]
pub struct AttachArgs {
    /// A name, a number or a UUID.
    domain: String,
    /// The disk, as a guest file has it: "/path/disk.img,raw,xvdb,rw". Words of their own may stand for the commas.
    #[arg(required = true, num_args = 1.., value_name = "DISK")]
    disk: Vec<String>,
}

/// A disk of a guest.
#[derive(Debug, Serialize)]
struct Row {
    vdev: String,
    device: u32,
    state: State,
    backend_state: State,
    access: &'static str,
    format: String,
    backend: &'static str,
    target: String,
}

impl Row {
    fn of(listed: &Listed) -> Self {
        let node = |name: &str| listed.back.get(name).cloned().unwrap_or_default();
        let is_ours = listed.address.kind == Kind::KernelDisk;
        Self {
            vdev: name(listed),
            device: listed.address.id,
            state: listed.front_state,
            backend_state: listed.back_state,
            access: if node("mode") == "w" { "rw" } else { "r" },
            format: listed.back.get("format").cloned().unwrap_or_else(|| "raw".into()),
            backend: if is_ours { "kernel" } else { "userland" },
            target: node("params"),
        }
    }
}

/// What the guest calls a disk; the tools of domain 0 wrote it down.
fn name(listed: &Listed) -> String {
    listed.back.get("dev").cloned().unwrap_or_else(|| Vdev::of_number(listed.address.id).to_string())
}

/// Gives a guest a disk.
pub fn attach(args: &AttachArgs, json: bool) -> Result<(), Failure> {
    let mut disk = Disk::parse(&args.disk.join(","))
        .map_err(|rule| Failure::new(super::Exit::Usage, format!("{:?}: {rule}", args.disk.join(","))))?;
    disk.target = absolute(&disk.target);
    let host = Host::open()?;
    let domain = device::guest(&host, &args.domain)?;
    device::give(&host, &domain, &disk, json, |config| {
        config.disks.retain(|other| other.vdev.number() != disk.vdev.number());
        config.disks.push(disk.clone());
    })
}

/// Takes a disk from a guest.
pub fn detach(args: &DetachArgs, json: bool) -> Result<(), Failure> {
    let host = Host::open()?;
    let domain = device::guest(&host, &args.domain)?;
    let label = format!("disk {}", args.device);
    let disks = devices::of_domain(domain.info.id, "vbd")?;
    let is_meant = |disk: &&Listed| name(disk) == args.device || args.device.parse() == Ok(disk.address.id);
    let found = disks.iter().find(is_meant);
    let disk = found.ok_or_else(|| DeviceError::NoSuchDevice { what: label.clone() })?;
    device::take(&host, &domain, disk, &label, args, json, |config| {
        config.disks.retain(|other| other.vdev.number() != disk.address.id);
    })
}

/// Lists a guest's disks.
pub fn list(wanted: &str, json: bool) -> Result<(), Failure> {
    let host = Host::open()?;
    let domain = host.find(wanted)?;
    let listed = devices::of_domain(domain.info.id, "vbd")?;
    let rows: Vec<Row> = listed.iter().map(Row::of).collect();
    if json {
        return output::json(&rows);
    }
    let rows: Vec<[String; 7]> = rows
        .into_iter()
        .map(|row| {
            let state = row.state.to_string();
            [
                row.vdev,
                row.device.to_string(),
                state,
                row.access.into(),
                row.format,
                row.backend.into(),
                row.target,
            ]
        })
        .collect();
    output::table(["VDEV", "DEVICE", "STATE", "ACCESS", "FORMAT", "BACKEND", "TARGET"], &rows)
}
