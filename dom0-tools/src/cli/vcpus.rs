//! `tenon vcpu-list`, `vcpu-pin`, `vcpu-set`.

use std::str::FromStr;

use hypercall_abi::domctl::GetVcpuInfo;
use hypercall_abi::errno::Errno;
use serde::Serialize;
use serde_json::json;

use super::exit::Failure;
use super::{PinArgs, SetArgs, output};
use crate::config::CpuSet;
use crate::host::{Domain, Host};
use crate::lifecycle::decide::Activity;
use crate::xen::error::XenError;
use crate::xs_client::{SOCKET, with_daemon};

/// Which of a domain's vCPUs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// Every one.
    All,
    /// This one.
    One(u32),
}

impl FromStr for Which {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "all" => Ok(Self::All),
            number => number.parse().map(Self::One).map_err(|_| "it is the number of a vCPU, or \"all\""),
        }
    }
}

/// What programs are told of a vCPU.
#[derive(Serialize)]
struct Listed {
    domain: String,
    id: u16,
    vcpu: u32,
    cpu: Option<u32>,
    state: &'static str,
    cpu_seconds: f64,
    /// It may run on every CPU of its pool.
    #[serde(skip)]
    is_free: bool,
    hard_affinity: CpuSet,
    soft_affinity: CpuSet,
}

/// Lists the vCPUs of every domain, or of the one that is `wanted`.
pub fn list(wanted: Option<&str>, json: bool) -> Result<(), Failure> {
    let host = Host::open()?;
    let domains = match wanted {
        Some(wanted) => vec![host.find(wanted)?],
        None => host.domains()?,
    };
    let pools = host.xen.pools()?;
    let mut listed = Vec::new();
    for domain in &domains {
        let found = pools.iter().find(|pool| pool.id == domain.info.pool);
        let cpus = found.map(|pool| pool.cpus.clone()).unwrap_or_default();
        for vcpu in 0..domain.info.vcpus {
            match look(&host, domain, vcpu, &cpus) {
                // It has gone since it was listed.
                Err(e) if wanted.is_none() && e.is(Errno::ESRCH) => break,
                found => listed.push(found?),
            }
        }
    }
    if json {
        return output::json(&listed);
    }
    let rows: Vec<[String; 7]> = listed
        .iter()
        .map(|vcpu| {
            [
                vcpu.domain.clone(),
                vcpu.id.to_string(),
                vcpu.vcpu.to_string(),
                vcpu.cpu.map_or_else(|| "-".into(), |cpu| cpu.to_string()),
                vcpu.state.to_owned(),
                format!("{:.1}", vcpu.cpu_seconds),
                if vcpu.is_free { "all".into() } else { vcpu.hard_affinity.to_string() },
            ]
        })
        .collect();
    output::table(["NAME", "ID", "VCPU", "CPU", "STATE", "CPU/s", "AFFINITY"], &rows)
}

fn look(host: &Host, domain: &Domain, vcpu: u32, pool: &CpuSet) -> Result<Listed, XenError> {
    let id = domain.info.id;
    let (info, affinity) = (host.xen.vcpu_info(id, vcpu)?, host.xen.affinity(id, vcpu)?);
    Ok(Listed {
        domain: domain.name.clone(),
        id,
        vcpu,
        cpu: (info.online != 0).then_some(info.cpu),
        state: state(domain, &info),
        cpu_seconds: info.cpu_time as f64 / 1e9,
        is_free: affinity.hard.and(pool) == *pool,
        hard_affinity: affinity.hard.and(pool),
        soft_affinity: affinity.soft.and(pool),
    })
}

/// What a vCPU does, in one word; if its domain does not run, what that does.
fn state(domain: &Domain, vcpu: &GetVcpuInfo) -> &'static str {
    if vcpu.online == 0 {
        "offline"
    } else if vcpu.running != 0 {
        "running"
    } else if domain.info.flags.paused || !matches!(domain.info.activity(), Activity::Live) {
        domain.info.state()
    } else if vcpu.blocked != 0 {
        "idle"
    } else {
        "waiting"
    }
}

/// Confines vCPUs to some CPUs.
pub fn pin(args: &PinArgs, json: bool) -> Result<(), Failure> {
    let host = Host::open()?;
    let domain = host.find(&args.domain)?;
    let cpus = args.cpus.on(&host.xen.pool_cpus(domain.info.pool)?).map_err(Failure::refused)?;
    let vcpus = match args.vcpu {
        Which::All => 0..domain.info.vcpus,
        Which::One(vcpu) if vcpu < domain.info.vcpus => vcpu..vcpu + 1,
        Which::One(vcpu) => {
            let message = format!("{} has no vCPU {vcpu}: it has {}", domain.name, domain.info.vcpus);
            return Err(Failure::refused(message));
        }
    };
    for vcpu in vcpus.clone() {
        host.xen.pin(domain.info.id, vcpu, &cpus)?;
    }
    if json {
        let vcpus: Vec<u32> = vcpus.collect();
        return output::json(&json!({
            "id": domain.info.id, "name": domain.name, "done": "vcpu-pin", "vcpus": vcpus, "hard_affinity": cpus,
        }));
    }
    Ok(())
}

/// Asks a domain's kernel to use its first `args.count` vCPUs.
pub fn set(args: &SetArgs, json: bool) -> Result<(), Failure> {
    let host = Host::open()?;
    let domain = host.find(&args.domain)?;
    let (name, most) = (&domain.name, domain.info.vcpus);
    if !matches!(domain.info.activity(), Activity::Live | Activity::Unstarted) {
        return Err(Failure::refused(format!("{name} does not run: it is {}", domain.state())));
    }
    if args.count > most {
        return Err(Failure::refused(format!("{name} has {most} vCPUs at most, not {}", args.count)));
    }
    let own = format!("/local/domain/{}", domain.info.id);
    let told = with_daemon(|client| {
        client.transaction(|client, tx| {
            for vcpu in 0..most {
                let word = if vcpu < args.count { "online" } else { "offline" };
                let path = format!("{own}/cpu/{vcpu}/availability");
                // Whoever watches the node is told only of what changes.
                if client.find(tx, &path)?.as_deref() != Some(word) {
                    client.write(tx, &path, word)?;
                }
            }
            Ok(())
        })
    })?;
    if told.is_none() {
        let message = format!("no xenstore daemon answers at {SOCKET}, and guests are asked through it");
        return Err(Failure::refused(message));
    }
    if json {
        return output::json(&json!({
            "id": domain.info.id, "name": name, "done": "vcpu-set", "vcpus": args.count,
        }));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vcpus_are_named_by_number_or_all_together() {
        assert_eq!("all".parse(), Ok(Which::All));
        assert_eq!("7".parse(), Ok(Which::One(7)));
        assert!(["", "-1", "al", "4294967296"].iter().all(|text| text.parse::<Which>().is_err()));
    }
}
