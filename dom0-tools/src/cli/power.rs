//! `tenon pause`, `unpause`, `shutdown`, `reboot`, `destroy`.

use std::time::Duration;

use serde_json::json;

use super::exit::{Exit, Failure};
use super::{RequestArgs, output};
use crate::host::{Domain, Host};
use crate::lifecycle::act;
use crate::lifecycle::decide::Activity;
use crate::xs_client::{SOCKET, Tx, with_daemon};

/// What a guest is asked for, in the words of its `control/shutdown` node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    /// To power off.
    Poweroff,
    /// To reboot.
    Reboot,
}

fn guest(host: &Host, wanted: &str) -> Result<Domain, Failure> {
    let domain = host.find(wanted)?;
    if domain.info.id == 0 {
        return Err(Failure::new(
            Exit::Refused,
            "domain 0 controls the others; use poweroff or reboot in it",
        ));
    }
    Ok(domain)
}

fn done(domain: &Domain, what: &str, json: bool) -> Result<(), Failure> {
    if json {
        return output::json(&json!({ "id": domain.info.id, "name": domain.name, "done": what }));
    }
    Ok(())
}

/// Pauses a domain.
pub fn pause(wanted: &str, json: bool) -> Result<(), Failure> {
    let host = Host::open()?;
    let domain = guest(&host, wanted)?;
    host.xen.pause_domain(domain.info.id)?;
    done(&domain, "pause", json)
}

/// Lets a paused domain go on.
pub fn unpause(wanted: &str, json: bool) -> Result<(), Failure> {
    let host = Host::open()?;
    let domain = guest(&host, wanted)?;
    host.xen.unpause_domain(domain.info.id)?;
    done(&domain, "unpause", json)
}

/// Removes a domain, and nobody restarts it.
pub fn destroy(wanted: &str, json: bool) -> Result<(), Failure> {
    let host = Host::open()?;
    // Held until the record is gone: else the watcher, half-way through a restart, removes the domain that was
    // found here and gives the guest another.
    let _lock = host.registry.lock()?;
    let domain = match guest(&host, wanted) {
        Err(failure) if failure.exit == Exit::NoSuchDomain => return forget(&host, wanted, failure, json),
        found => found?,
    };
    act::destroy(&host, &domain.info).map_err(Failure::refused)?;
    host.registry.forget(domain.info.uuid)?;
    done(&domain, "destroy", json)
}

/// Forgets a guest that has no domain at the moment because it is being restarted.
fn forget(host: &Host, wanted: &str, failure: Failure, json: bool) -> Result<(), Failure> {
    let (records, _) = host.registry.all()?;
    let is_meant = |name: &str, uuid: &str| name == wanted || uuid == wanted;
    match records.iter().find(|record| is_meant(&record.config.name, &record.uuid.to_string())) {
        Some(record) => host.registry.forget(record.uuid)?,
        None => return Err(failure),
    }
    if json { output::json(&json!({ "name": wanted, "done": "destroy" })) } else { Ok(()) }
}

/// Asks a guest to end, and waits for it if that is wanted.
pub fn request(args: &RequestArgs, request: Request, json: bool) -> Result<(), Failure> {
    let host = Host::open()?;
    let domain = guest(&host, &args.domain)?;
    if !matches!(domain.info.activity(), Activity::Live) {
        return Err(Failure::refused(format!("{} does not run: it is {}", domain.name, domain.state())));
    }
    let (word, path) = (request.word(), format!("/local/domain/{}/control/shutdown", domain.info.id));
    if with_daemon(|client| client.write(Tx::NONE, &path, word))?.is_none() {
        let message = format!("no xenstore daemon answers at {SOCKET}, and guests are asked through it");
        return Err(Failure::refused(message));
    }
    if args.wait {
        let timeout = args.timeout.map(Duration::from_secs);
        if !act::wait_until(&host, domain.info.id, timeout, act::has_ended)? {
            let message = format!("{} still runs: it did not answer the request to {word}", domain.name);
            return Err(Failure::new(Exit::Timeout, message));
        }
    }
    done(&domain, word, json)
}

impl Request {
    const fn word(self) -> &'static str {
        match self {
            Self::Poweroff => "poweroff",
            Self::Reboot => "reboot",
        }
    }
}
