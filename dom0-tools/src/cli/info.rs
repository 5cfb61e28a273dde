//! `tenon info`.

use hypercall_abi::domctl::{SCHEDULER_CREDIT, SCHEDULER_CREDIT2, SCHEDULER_NULL};
use serde::Serialize;

use super::exit::Failure;
use super::output;
use crate::host::Host;

#[derive(Serialize)]
struct Info {
    version: String,
    compiler: String,
    compile_date: String,
    capabilities: Vec<String>,
    command_line: String,
    cpus: u32,
    cores_per_socket: u32,
    threads_per_core: u32,
    cpu_mhz: f64,
    scheduler: String,
    memory_mib: u64,
    free_memory_mib: u64,
    free_memory_kib: u64,
    domains: usize,
}

/// Shows the hypervisor and the machine.
pub fn run(json: bool) -> Result<(), Failure> {
    let host = Host::open()?;
    let (version, machine) = (host.xen.version()?, host.xen.physinfo()?);
    let info = Info {
        version: format!("{}.{}{}", version.major, version.minor, version.extra),
        compiler: version.compiler,
        compile_date: version.compile_date,
        capabilities: version.capabilities.split_whitespace().map(str::to_owned).collect(),
        command_line: version.command_line,
        cpus: machine.nr_cpus,
        cores_per_socket: machine.cores_per_socket,
        threads_per_core: machine.threads_per_core,
        scheduler: scheduler(host.xen.scheduler()?),
        cpu_mhz: f64::from(machine.cpu_khz) / 1000.0,
        memory_mib: machine.total_pages >> 8,
        free_memory_mib: machine.free_pages >> 8,
        free_memory_kib: machine.free_pages << 2,
        domains: host.xen.domains()?.len(),
    };
    if json {
        return output::json(&info);
    }
    for (name, value) in [
        ("hypervisor", &info.version),
        ("compiler", &info.compiler),
        ("built", &info.compile_date),
        ("guests", &info.capabilities.join(" ")),
        ("command line", &info.command_line),
        ("CPUs", &format!("{} at {:.0} MHz", info.cpus, info.cpu_mhz)),
        ("cores", &format!("{} per socket, {} threads each", info.cores_per_socket, info.threads_per_core)),
        ("scheduler", &info.scheduler),
        ("memory", &format!("{} MiB, {} MiB free", info.memory_mib, info.free_memory_mib)),
        ("domains", &info.domains.to_string()),
    ] {
        output::line(&format!("{name:<13} {value}"))?;
    }
    Ok(())
}

/// What `sched=` calls it.
fn scheduler(id: u32) -> String {
    match id {
        SCHEDULER_CREDIT => "credit".into(),
        SCHEDULER_CREDIT2 => "credit2".into(),
        SCHEDULER_NULL => "null".into(),
        other => other.to_string(),
    }
}
