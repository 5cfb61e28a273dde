//! `tenon wait`.

use std::time::{Duration, Instant};

use clap::ValueEnum;
use serde_json::json;

use super::exit::{Exit, Failure};
use super::{WaitArgs, output};
use crate::host::{Domain, Host};
use crate::lifecycle::act;
use crate::xs_client::{Client, Tx};

/// What can be waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum What {
    /// The guest's kernel is up: it answers requests such as `tenon shutdown`.
    Boot,
    /// The guest has stopped, for whatever reason.
    Shutdown,
    /// The domain is gone.
    Destroy,
}

/// Waits for a guest.
pub fn run(args: &WaitArgs, json: bool) -> Result<(), Failure> {
    let host = Host::open()?;
    let domain = host.find(&args.domain)?;
    let timeout = args.timeout.map(Duration::from_secs);
    let id = domain.info.id;
    let (happened, what) = match args.what {
        What::Boot => (boot(&host, &domain, timeout)?, "boot"),
        What::Shutdown => (act::wait_until(&host, id, timeout, act::has_ended)?, "shutdown"),
        What::Destroy => (act::wait_until(&host, id, timeout, |activity| activity.is_none())?, "destroy"),
    };
    if !happened {
        let seconds = args.timeout.unwrap_or(0);
        let message = format!("{}: no {what} within {seconds} s; it is {}", domain.name, domain.state());
        return Err(Failure::new(Exit::Timeout, message));
    }
    let now = host.xen.domains()?.into_iter().find(|info| info.id == id);
    let reason = now.and_then(|info| info.shutdown).map(|reason| reason.word());
    if json {
        return output::json(&json!({ "id": id, "name": domain.name, "done": what, "reason": reason }));
    }
    Ok(())
}

/// Waits for the node by which a guest's kernel says what it can be asked for.
fn boot(host: &Host, domain: &Domain, timeout: Option<Duration>) -> Result<bool, Failure> {
    let start = Instant::now();
    let path = format!("/local/domain/{}/control/feature-poweroff", domain.info.id);
    let mut store = Client::connect()?;
    store.watch(&path, "boot")?;
    loop {
        if store.find(Tx::NONE, &path)?.is_some_and(|value| !value.is_empty()) {
            return Ok(true);
        }
        let ended = act::wait_until(host, domain.info.id, Some(Duration::ZERO), act::has_ended)?;
        if ended {
            let message = format!("{} stopped before it was up", domain.name);
            return Err(Failure::refused(message));
        }
        let left = timeout.map(|timeout| timeout.saturating_sub(start.elapsed()));
        if left == Some(Duration::ZERO) {
            return Ok(false);
        }
        // The watch does not tell that the guest stopped.
        let pause = Duration::from_secs(1).min(left.unwrap_or(Duration::MAX));
        store.event(Some(pause))?;
    }
}
