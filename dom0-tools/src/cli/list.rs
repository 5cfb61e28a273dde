//! `tenon list`.

use std::fmt;

use serde::Serialize;

use super::exit::Failure;
use super::output;
use crate::host::{Domain, Host};
use crate::xen::account::Holdings;
use crate::xen::domain::DomainInfo;

/// What programs are told of a domain.
#[derive(Serialize)]
struct Listed {
    id: u16,
    name: String,
    uuid: String,
    state: &'static str,
    shutdown_reason: Option<&'static str>,
    paused: bool,
    memory_mib: u64,
    max_memory_mib: Option<u64>,
    vcpus: u32,
    max_vcpus: u32,
    cpu_seconds: f64,
    guest_file: Option<String>,
    /// Who keeps a domain that is dying from being gone.
    held_by: Vec<Holder>,
}

/// A domain that has memory of another one mapped.
#[derive(Serialize)]
struct Holder {
    id: u16,
    grants: u64,
    pages: u64,
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = |n: u64, what: &str| match n {
            0 => None,
            1 => Some(format!("1 {what}")),
            n => Some(format!("{n} {what}s")),
        };
        let what: Vec<_> =
            [count(self.grants, "grant"), count(self.pages, "page")].into_iter().flatten().collect();
        write!(f, "domain {} ({})", self.id, what.join(", "))
    }
}

/// Who of the `domains` holds memory of one that is dying.
fn holders(host: &Host, dying: &Domain, domains: &[DomainInfo]) -> Result<Vec<Holder>, Failure> {
    let mut holders = Vec::new();
    for DomainInfo { id, .. } in domains.iter().filter(|holder| holder.id != dying.info.id) {
        let Holdings { grants, pages } = host.xen.holdings(dying.info.id, *id)?;
        if grants + pages > 0 {
            holders.push(Holder { id: *id, grants, pages });
        }
    }
    Ok(holders)
}

impl From<&Domain> for Listed {
    fn from(domain: &Domain) -> Self {
        let info = &domain.info;
        Self {
            id: info.id,
            name: domain.name.clone(),
            uuid: info.uuid.to_string(),
            state: domain.state(),
            shutdown_reason: info.shutdown.map(|reason| reason.word()),
            paused: info.flags.paused,
            memory_mib: info.pages >> 8,
            max_memory_mib: info.max_memory_mib(),
            vcpus: info.online_vcpus,
            max_vcpus: info.vcpus,
            cpu_seconds: info.cpu_time as f64 / 1e9,
            guest_file: domain.record.as_ref().map(|record| record.file.display().to_string()),
            held_by: Vec::new(),
        }
    }
}

impl Listed {
    fn state_and_holders(&self) -> String {
        let holders: Vec<String> = self.held_by.iter().map(Holder::to_string).collect();
        if holders.is_empty() {
            self.state.to_owned()
        } else {
            format!("{}, held by {}", self.state, holders.join(", "))
        }
    }
}

/// Lists every domain, or the one that is `wanted`.
pub fn run(wanted: Option<&str>, json: bool) -> Result<(), Failure> {
    let host = Host::open()?;
    let domains = match wanted {
        Some(wanted) => vec![host.find(wanted)?],
        None => host.domains()?,
    };
    let mut listed: Vec<Listed> = domains.iter().map(Listed::from).collect();
    if domains.iter().any(|domain| domain.info.flags.dying) {
        let all = host.xen.domains()?;
        for (domain, listed) in domains.iter().zip(&mut listed).filter(|(domain, _)| domain.info.flags.dying)
        {
            listed.held_by = holders(&host, domain, &all)?;
        }
    }
    if json {
        return output::json(&listed);
    }
    let rows: Vec<[String; 6]> = listed
        .iter()
        .map(|domain| {
            [
                domain.name.clone(),
                domain.id.to_string(),
                domain.memory_mib.to_string(),
                domain.vcpus.to_string(),
                domain.state_and_holders(),
                format!("{:.1}", domain.cpu_seconds),
            ]
        })
        .collect();
    output::table(["NAME", "ID", "MEMORY/MiB", "VCPUS", "STATE", "CPU/s"], &rows)
}
