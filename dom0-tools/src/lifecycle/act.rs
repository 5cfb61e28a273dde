//! The deeds: creating, destroying and waiting, with the record always one step ahead.

use std::fmt;
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use hypercall_abi::errno::Errno;

use super::decide::{Activity, Step, decide};
use crate::balloon::Autoballoon;
use crate::builder::{self, Built, error::BuildError, kernel, store};
use crate::config::{GuestConfig, Uuid};
use crate::devices::nic;
use crate::host::{Host, HostError};
use crate::registry::{Process, Record, State};
use crate::xen::domain::DomainInfo;
use crate::xen::error::XenError;
use crate::xs_client::{Client, StoreError, with_daemon};

/// How often a domain is looked at while something is waited for and nobody tells.
const LOOK: Duration = Duration::from_secs(1);
/// The same while it dies.
const LOOK_SOON: Duration = Duration::from_millis(100);

/// A guest that was created.
#[derive(Clone, Debug)]
pub struct Created {
    /// Its name.
    pub name: String,
    /// Its UUID.
    pub uuid: Uuid,
    /// Its domain.
    pub domain: u16,
    /// Whether a xenstore daemon knows of it.
    pub in_store: bool,
    /// Whether its weight and its cap, if it was given any, have an effect.
    pub has_shares: bool,
}

/// Why a deed was not done.
#[derive(Debug)]
pub enum ActError {
    /// The guest could not be built.
    Build(BuildError),
    /// Another guest has its name.
    NameTaken {
        /// The name.
        name: String,
        /// The other guest's domain, if it has one now.
        domain: Option<u16>,
    },
    /// Another guest has its UUID.
    UuidTaken(Uuid),
    /// Guests could not be listed.
    Host(HostError),
    /// The hypervisor refused.
    Xen(XenError),
    /// The record could not be written.
    Record(io::Error),
    /// xenstored refused.
    Store(StoreError),
}

impl fmt::Display for ActError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Build(e) => e.fmt(f),
            Self::NameTaken { name, domain: Some(domain) } => {
                write!(f, "name = {name:?}: domain {domain} has this name")
            }
            Self::NameTaken { name, domain: None } => {
                write!(f, "name = {name:?}: a guest of this name is being created or restarted")
            }
            Self::UuidTaken(uuid) => write!(f, "uuid = \"{uuid}\": another guest has this UUID"),
            Self::Host(e) => e.fmt(f),
            Self::Xen(e) => e.fmt(f),
            Self::Record(e) => write!(f, "cannot record the guest: {e}"),
            Self::Store(e) => e.fmt(f),
        }
    }
}

impl std::error::Error for ActError {}

macro_rules! from {
    ($($source:ty => $variant:ident,)*) => {
        $(impl From<$source> for ActError {
            fn from(e: $source) -> Self {
                Self::$variant(e)
            }
        })*
    };
}
from! { BuildError => Build, HostError => Host, XenError => Xen, io::Error => Record, StoreError => Store, }

/// Creates a guest from a guest file, and starts it unless it is to stay paused.
///
/// # Errors
/// [`ActError`]; then there is no such guest.
pub fn create(
    host: &Host,
    file: &Path,
    config: GuestConfig,
    paused: bool,
    room: Autoballoon,
) -> Result<Created, ActError> {
    let uuid = config.uuid.map_or_else(Uuid::random, Ok)?;
    let state = State::Building { by: Process::this()? };
    let record = Record { uuid, file: file.to_owned(), state, config };
    {
        let _lock = host.registry.lock()?;
        undo_killed_creations(host)?;
        check_unique(host, &record)?;
        host.registry.save(&record)?;
    }
    match build_and_start(host, &record, paused, room) {
        Ok(built) => {
            host.registry.save(&Record { state: State::Running, ..record.clone() })?;
            Ok(built)
        }
        Err(e) => {
            // The error that led here is the one worth reporting; a record without a domain does no harm.
            let _ = host.registry.forget(uuid);
            Err(e)
        }
    }
}

/// Builds the guest of a record and starts it.
///
/// # Errors
/// [`ActError`]; then there is no such domain.
pub fn build_and_start(
    host: &Host,
    record: &Record,
    paused: bool,
    room: Autoballoon,
) -> Result<Created, ActError> {
    let built = builder::build(&host.xen, record.uuid, &record.config, Path::new(kernel::CACHE), room)?;
    if !paused {
        host.xen.unpause_domain(built.domain)?;
    }
    let name = record.config.name.clone();
    let Built { domain, in_store, has_shares } = built;
    Ok(Created { name, uuid: record.uuid, domain, in_store, has_shares })
}

fn check_unique(host: &Host, record: &Record) -> Result<(), ActError> {
    let name = &record.config.name;
    for domain in host.domains()? {
        if domain.info.flags.dying {
            continue;
        }
        if domain.name == *name {
            return Err(ActError::NameTaken { name: name.clone(), domain: Some(domain.info.id) });
        }
        if domain.info.uuid == record.uuid {
            return Err(ActError::UuidTaken(record.uuid));
        }
    }
    // Guests that have no domain at the moment.
    let (records, _) = host.registry.all()?;
    if records.iter().any(|other| other.config.name == *name) {
        return Err(ActError::NameTaken { name: name.clone(), domain: None });
    }
    Ok(())
}

/// Tidies up after creators that were killed. The registry is locked.
fn undo_killed_creations(host: &Host) -> Result<(), ActError> {
    let (records, _) = host.registry.all()?;
    for record in records {
        let domain = host.domain_of(record.uuid)?;
        match decide(&record, domain.as_ref().map(DomainInfo::activity)) {
            Step::Forget => host.registry.forget(record.uuid)?,
            Step::Destroy if matches!(record.state, State::Building { .. }) => {
                if let Some(domain) = &domain {
                    destroy(host, domain)?;
                }
                host.registry.forget(record.uuid)?;
            }
            // The rest is the watcher's.
            _ => {}
        }
    }
    Ok(())
}

/// Destroys a domain, has its network cards' scripts undo what they did, and removes its nodes from xenstore. Its record
/// is left as it is.
///
/// # Errors
/// As the hypervisor says. That the domain is gone already is none, nor that there is no xenstore daemon.
pub fn destroy(host: &Host, domain: &DomainInfo) -> Result<(), ActError> {
    match host.xen.destroy_domain(domain.id) {
        Err(e) if !e.is(Errno::ESRCH) => return Err(e.into()),
        _ => {}
    }
    nic::undo(domain.id, None);
    with_daemon(|client| store::withdraw(client, domain.id, domain.uuid))?;
    Ok(())
}

/// Waits until `what` is true of what domain `id` does (`None`: there is no such domain any more), at most
/// `timeout`. Returns whether it became true.
///
/// # Errors
/// As the hypervisor says.
pub fn wait_until(
    host: &Host,
    id: u16,
    timeout: Option<Duration>,
    what: impl Fn(Option<Activity>) -> bool,
) -> Result<bool, XenError> {
    let start = Instant::now();
    let mut store = None;
    loop {
        let domains = host.xen.domains()?;
        let activity = domains.iter().find(|domain| domain.id == id).map(DomainInfo::activity);
        if what(activity) {
            return Ok(true);
        }
        let left = timeout.map_or(Duration::MAX, |timeout| timeout.saturating_sub(start.elapsed()));
        if left.is_zero() {
            return Ok(false);
        }
        // xenstored tells when a domain stops, but not when one that was dying is gone.
        let pause = if activity == Some(Activity::Dying) { LOOK_SOON } else { LOOK };
        sleep_until_release(&mut store, pause.min(left));
    }
}

/// Sleeps until xenstored tells that some domain stopped, at most for `pause`; so long if there is none.
fn sleep_until_release(store: &mut Option<Client>, pause: Duration) {
    if store.is_none() {
        *store = Client::connect()
            .ok()
            .and_then(|mut client| client.watch("@releaseDomain", "wait").ok().map(|()| client));
    }
    match store.as_mut().map(|client| client.event(Some(pause))) {
        Some(Ok(_)) => {}
        Some(Err(_)) => *store = None,
        None => std::thread::sleep(pause),
    }
}

/// Whether a domain that does `activity` runs no more.
#[must_use]
pub fn has_ended(activity: Option<Activity>) -> bool {
    !matches!(activity, Some(Activity::Live | Activity::Unstarted))
}
