//! `tenon pool` and `tenon cpu`.

use clap::Subcommand;
use serde::Serialize;
use serde_json::{Value, json};

use super::exit::Failure;
use super::output;
use crate::config::{CpuList, CpuSet, Uuid};
use crate::host::Host;
use crate::pools::{self, Pool};

/// What is done with pools.
#[derive(Debug, Subcommand)]
pub enum PoolCommand {
    /// Lists the pools, and the CPUs that are in none.
    List,
    /// Makes a pool.
    Create {
        /// Its name.
        name: String,
        /// Free CPUs that it gets, as in "2-3".
        cpus: Option<CpuList>,
    },
    /// Removes a pool that has no domains. Its CPUs are free then.
    Destroy {
        /// A name or a number.
        pool: String,
    },
    /// Adds free CPUs to a pool.
    AddCpu {
        /// A name or a number.
        pool: String,
        /// CPUs, as in "2-3".
        cpus: CpuList,
    },
    /// Takes CPUs out of a pool. They are free then, and run nothing.
    RemoveCpu {
        /// A name or a number.
        pool: String,
        /// CPUs, as in "2-3".
        cpus: CpuList,
    },
    /// Moves a domain to another pool. Its vCPUs may run on all CPUs of that.
    #[command(alias = "migrate")]
    Move {
        /// A name, a number or a UUID.
        domain: String,
        /// A name or a number.
        pool: String,
    },
}

/// What is done with CPUs.
#[derive(Debug, Subcommand)]
pub enum CpuCommand {
    /// Switches a CPU on: it joins the first pool.
    On {
        /// Its number.
        cpu: u32,
    },
    /// Switches a CPU off: a free one, or one of the first pool.
    Off {
        /// Its number.
        cpu: u32,
    },
}

/// What programs are told of a pool.
#[derive(Serialize)]
struct Listed<'a> {
    id: Option<u32>,
    name: &'a str,
    cpus: &'a CpuSet,
    domains: u32,
}

impl<'a> From<&'a Pool> for Listed<'a> {
    fn from(Pool { info, name }: &'a Pool) -> Self {
        Self { id: Some(info.id), name, cpus: &info.cpus, domains: info.domains }
    }
}

/// Works on pools.
pub fn run(command: &PoolCommand, json: bool) -> Result<(), Failure> {
    let host = Host::open()?;
    let find = |wanted: &str| pools::find(&host.xen, wanted);
    match command {
        PoolCommand::List => list(&host, json),
        PoolCommand::Create { name, cpus } => create(&host, name, cpus.as_ref(), json),
        PoolCommand::Destroy { pool } => destroy(&host, &find(pool)?, json),
        PoolCommand::AddCpu { pool, cpus } => {
            let (pool, cpus) = (find(pool)?, free(&host, cpus)?);
            for cpu in cpus.iter() {
                host.xen.add_cpu(pool.info.id, cpu)?;
            }
            done(&pool, "pool-add-cpu", json!({ "cpus": cpus }), json)
        }
        PoolCommand::RemoveCpu { pool, cpus } => {
            let pool = find(pool)?;
            let cpus = cpus.on(&pool.info.cpus).map_err(|e| in_pool(&pool, &e))?;
            if pool.info.domains != 0 && cpus == pool.info.cpus {
                let (name, domains) = (&pool.name, pool.info.domains);
                return Err(Failure::refused(format!("{name} has {domains} domains and no CPU but {cpus}")));
            }
            for cpu in cpus.iter() {
                host.xen.remove_cpu(pool.info.id, cpu)?;
            }
            done(&pool, "pool-remove-cpu", json!({ "cpus": cpus }), json)
        }
        PoolCommand::Move { domain, pool } => {
            let (domain, pool) = (host.find(domain)?, find(pool)?);
            if domain.info.id == 0 && domain.info.pool != pool.info.id {
                return Err(Failure::refused("domain 0 stays in its CPU pool"));
            }
            if pool.info.cpus.is_empty() {
                return Err(Failure::refused(format!("{} has no CPU", pool.name)));
            }
            host.xen.move_domain(domain.info.id, pool.info.id)?;
            done(&pool, "pool-move", json!({ "domain": domain.info.id }), json)
        }
    }
}

fn list(host: &Host, json: bool) -> Result<(), Failure> {
    let (pools, free) = (pools::all(&host.xen)?, host.xen.free_cpus()?);
    let rest = Listed { id: None, name: "(free)", cpus: &free, domains: 0 };
    let listed: Vec<Listed<'_>> = pools.iter().map(Listed::from).chain([rest]).collect();
    if json {
        return output::json(&listed);
    }
    let rows: Vec<[String; 4]> = listed
        .iter()
        .map(|pool| {
            let id = pool.id.map_or_else(|| "-".into(), |id| id.to_string());
            [pool.name.to_owned(), id, pool.cpus.to_string(), pool.domains.to_string()]
        })
        .collect();
    output::table(["NAME", "ID", "CPUS", "DOMAINS"], &rows)
}

fn create(host: &Host, name: &str, cpus: Option<&CpuList>, json: bool) -> Result<(), Failure> {
    if name.is_empty() || name.parse::<u32>().is_ok() {
        return Err(Failure::refused(format!(
            "{name:?} cannot be a CPU pool's name: a number would be meant"
        )));
    }
    if let Some(other) = pools::all(&host.xen)?.into_iter().find(|pool| pool.name == name) {
        return Err(Failure::refused(format!("CPU pool {} has the name {name:?}", other.info.id)));
    }
    let cpus = cpus.map(|cpus| free(host, cpus)).transpose()?.unwrap_or_default();
    let id = host.xen.create_pool()?;
    for cpu in cpus.iter() {
        host.xen.add_cpu(id, cpu)?;
    }
    if !pools::publish(id, name, Uuid::random()?)? {
        output::note(&format!("no xenstore daemon: the pool has no name but its number, {id}"));
    }
    if json {
        return output::json(&json!({ "id": id, "name": name, "done": "pool-create", "cpus": cpus }));
    }
    output::line(&format!("{name} is CPU pool {id}"))
}

fn destroy(host: &Host, pool: &Pool, json: bool) -> Result<(), Failure> {
    match pool.info.domains {
        _ if pool.info.id == 0 => return Err(Failure::refused("domain 0's CPU pool stays")),
        0 => {}
        domains => return Err(Failure::refused(format!("{} has {domains} domains", pool.name))),
    }
    for cpu in pool.info.cpus.iter() {
        host.xen.remove_cpu(pool.info.id, cpu)?;
    }
    host.xen.destroy_pool(pool.info.id)?;
    pools::withdraw(pool.info.id)?;
    done(pool, "pool-destroy", json!({}), json)
}

/// The CPUs that a list means, all of which are free.
fn free(host: &Host, cpus: &CpuList) -> Result<CpuSet, Failure> {
    let free = host.xen.free_cpus()?;
    cpus.on(&free)
        .map_err(|_| Failure::refused(format!("not all of the CPUs {cpus} are free; these are: {free}")))
}

fn in_pool(pool: &Pool, error: &crate::config::CpuListError) -> Failure {
    Failure::refused(format!("{}: {error}", pool.name))
}

fn done(pool: &Pool, what: &str, more: Value, json: bool) -> Result<(), Failure> {
    if !json {
        return Ok(());
    }
    let mut told = json!({ "id": pool.info.id, "name": pool.name, "done": what });
    if let (Value::Object(told), Value::Object(more)) = (&mut told, more) {
        told.extend(more);
    }
    output::json(&told)
}

/// Switches CPUs on and off.
pub fn switch(command: &CpuCommand, json: bool) -> Result<(), Failure> {
    let host = Host::open()?;
    let (cpu, on) = match command {
        CpuCommand::On { cpu } => (*cpu, true),
        CpuCommand::Off { cpu } => (*cpu, false),
    };
    let pools = pools::all(&host.xen)?;
    let pool = pools.iter().find(|pool| pool.info.cpus.iter().any(|member| member == cpu));
    let is_on = pool.is_some() || host.xen.free_cpus()?.iter().any(|free| free == cpu);
    let refusal = match pool {
        _ if is_on == on => {
            Some(format!("CPU {cpu} is {} already, or there is none", if on { "on" } else { "off" }))
        }
        _ if cpu == 0 => Some("CPU 0 started the machine: it stays on".into()),
        Some(pool) if pool.info.id != 0 => Some(format!("CPU {cpu} is in CPU pool {}", pool.name)),
        Some(pool) if pool.info.cpus.iter().count() == 1 => {
            Some(format!("CPU {cpu} is the last of {}", pool.name))
        }
        _ => None,
    };
    if let Some(refusal) = refusal {
        return Err(Failure::refused(refusal));
    }
    host.xen.switch_cpu(cpu, on)?;
    if json {
        return output::json(&json!({ "cpu": cpu, "done": if on { "cpu-on" } else { "cpu-off" } }));
    }
    Ok(())
}
