//! `tenon sched`.

use hypercall_abi::domctl::SCHEDULER_NULL;
use hypercall_abi::errno::Errno;
use serde::Serialize;
use serde_json::json;

use super::exit::Failure;
use super::{SchedArgs, output};
use crate::host::{Domain, Host};
use crate::xen::sched::Shares;

/// What programs are told of a domain's share.
#[derive(Serialize)]
struct Listed<'a> {
    id: u16,
    name: &'a str,
    weight: u16,
    cap: u16,
}

/// Lists what domains get, or changes what one gets.
pub fn run(args: &SchedArgs, json: bool) -> Result<(), Failure> {
    let host = Host::open()?;
    if host.xen.scheduler()? == SCHEDULER_NULL {
        let why = "the hypervisor runs sched=null: each vCPU has a CPU to itself, without weights and caps";
        return Err(Failure::refused(why));
    }
    let domains = match &args.domain {
        Some(wanted) => vec![host.find(wanted)?],
        None => host.domains()?,
    };
    if let ([domain], true) = (domains.as_slice(), args.weight.is_some() || args.cap.is_some()) {
        return change(&host, domain, args, json);
    }
    let mut listed = Vec::new();
    for domain in &domains {
        match host.xen.shares(domain.info.id) {
            // It has gone since it was listed.
            Err(e) if args.domain.is_none() && e.is(Errno::ESRCH) => {}
            shares => {
                let (Shares { weight, cap }, id) = (shares?, domain.info.id);
                listed.push(Listed { id, name: &domain.name, weight, cap });
            }
        }
    }
    if json {
        return output::json(&listed);
    }
    let rows: Vec<[String; 4]> = listed
        .iter()
        .map(|domain| {
            let cap = if domain.cap == 0 { "-".into() } else { domain.cap.to_string() };
            [domain.name.to_owned(), domain.id.to_string(), domain.weight.to_string(), cap]
        })
        .collect();
    output::table(["NAME", "ID", "WEIGHT", "CAP/%"], &rows)
}

fn change(host: &Host, domain: &Domain, args: &SchedArgs, json: bool) -> Result<(), Failure> {
    let most = domain.info.vcpus.saturating_mul(100);
    if let Some(cap) = args.cap.filter(|cap| u32::from(*cap) > most) {
        let (name, vcpus) = (&domain.name, domain.info.vcpus);
        return Err(Failure::refused(format!("a cap of {cap} %: {name} has {vcpus} vCPUs, worth {most} %")));
    }
    host.xen.set_shares(domain.info.id, args.weight, args.cap)?;
    if json {
        let Shares { weight, cap } = host.xen.shares(domain.info.id)?;
        return output::json(&json!({
            "id": domain.info.id, "name": domain.name, "done": "sched", "weight": weight, "cap": cap,
        }));
    }
    Ok(())
}
