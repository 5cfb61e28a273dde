//! `tenon list`.

use serde::Serialize;

use super::exit::Failure;
use super::output;
use crate::host::{Domain, Host};

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
    let listed: Vec<Listed> = domains.iter().map(Listed::from).collect();
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
                domain.state.to_owned(),
                format!("{:.1}", domain.cpu_seconds),
            ]
        })
        .collect();
    output::table(["NAME", "ID", "MEMORY/MiB", "VCPUS", "STATE", "CPU/s"], &rows)
}
