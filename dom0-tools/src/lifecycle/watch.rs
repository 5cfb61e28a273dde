//! The watcher: one process that does for every guest what its guest file says is to happen when it stops.
//!
//! It keeps nothing in memory that matters. Killed at any moment and started again, it looks at the records and
//! at the domains and goes on.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::act::{ActError, build_and_start, destroy};
use super::decide::{Step, decide};
use crate::balloon::Autoballoon;
use crate::builder::publish_late;
use crate::config::Uuid;
use crate::host::Host;
use crate::registry::{Record, State};
use crate::xen::domain::DomainInfo;
use crate::xs_client::{Client, Tx};

/// How often to look where xenstored tells of changes: for what it does not tell.
const RARELY: Duration = Duration::from_secs(10);
/// How often to look where nobody tells.
const OFTEN: Duration = Duration::from_secs(1);
/// How often to look while a domain dies.
const SOON: Duration = Duration::from_millis(100);
/// How long to wait before a restart that failed is tried again.
const RETRY: Duration = Duration::from_secs(30);

/// The watcher's view of the host.
#[derive(Debug)]
pub struct Watcher {
    host: Host,
    store: Option<Client>,
    /// Guests whose restart failed, and when to try again.
    failed: HashMap<Uuid, Instant>,
}

impl Watcher {
    /// A watcher of the guests of `host`.
    #[must_use]
    pub fn new(host: Host) -> Self {
        Self { host, store: None, failed: HashMap::new() }
    }

    /// Watches for ever.
    ///
    /// # Errors
    /// If the hypervisor or the records cannot be asked any more.
    pub fn run(&mut self) -> Result<std::convert::Infallible, ActError> {
        loop {
            let pause = if self.round()? { SOON } else { OFTEN };
            self.wait(pause);
        }
    }

    /// Does what is to be done now. Returns whether something is under way that nobody will tell the end of.
    fn round(&mut self) -> Result<bool, ActError> {
        let (records, unreadable) = self.host.registry.all()?;
        for file in unreadable {
            eprintln!("tenon-watchd: ignored: {file}");
        }
        let mut under_way = false;
        for record in records {
            let name = record.config.name.clone();
            match self.settle(record.uuid) {
                Ok(dying) => under_way |= dying,
                // The other guests are not to suffer from the trouble of one.
                Err(e) => eprintln!("tenon-watchd: {name}: {e}"),
            }
        }
        Ok(under_way)
    }

    /// Takes one guest as far as it goes. Returns whether its domain is dying.
    fn settle(&mut self, uuid: Uuid) -> Result<bool, ActError> {
        loop {
            let lock = self.host.registry.lock()?;
            // Read under the lock: somebody may have changed or removed it since it was listed.
            let Some(mut record) = self.host.registry.find(uuid)? else { return Ok(false) };
            let domain = self.host.domain_of(record.uuid)?;
            let step = decide(&record, domain.as_ref().map(DomainInfo::activity));
            let retry = self.failed.get(&uuid).copied();
            if step == Step::Create && retry.is_some_and(|retry| retry > Instant::now()) {
                return Ok(false);
            }
            if step != Step::Leave {
                self.tell(&record, domain.as_ref(), &step);
            }
            match (step, domain) {
                (Step::Become(state), _) => {
                    record.state = state;
                    self.host.registry.save(&record)?;
                }
                (Step::PlanSettingAside, Some(domain)) => {
                    let (to, name) = (Uuid::random()?, format!("{}-{}", record.config.name, domain.id));
                    record.state = State::SettingAside { to, name };
                    self.host.registry.save(&record)?;
                }
                (Step::SetAside, Some(domain)) => self.set_aside(&record, &domain)?,
                (Step::DestroyForRestart, Some(domain)) => destroy(&self.host, &domain)?,
                (Step::Destroy, domain) => {
                    if let Some(domain) = domain {
                        destroy(&self.host, &domain)?;
                    }
                    self.host.registry.forget(record.uuid)?;
                    return Ok(false);
                }
                (Step::Forget, _) => {
                    self.host.registry.forget(record.uuid)?;
                    return Ok(false);
                }
                (Step::Create, _) => {
                    drop(lock);
                    return self.restart(&record).map(|()| false);
                }
                (_, domain) => return Ok(domain.is_some_and(|domain| domain.flags.dying)),
            }
        }
    }

    /// Tells a xenstore daemon of guests that were created while there was none.
    fn publish(&self, client: &mut Client) -> Result<(), ActError> {
        for record in self.host.registry.all()?.0 {
            if record.state != State::Running {
                continue;
            }
            if let Some(domain) = self.host.domain_of(record.uuid)?
                && !domain.flags.dying
                && publish_late(&self.host.xen, client, domain.id, record.uuid, &record.config)?
            {
                eprintln!("tenon-watchd: {}: made known to xenstored", record.config.name);
            }
        }
        Ok(())
    }

    fn tell(&self, record: &Record, domain: Option<&DomainInfo>, step: &Step) {
        let name = &record.config.name;
        let what = match domain {
            Some(DomainInfo { id, shutdown: Some(reason), .. }) => {
                format!("domain {id} stopped ({})", reason.word())
            }
            Some(DomainInfo { id, .. }) => format!("domain {id}"),
            None => "no domain".into(),
        };
        eprintln!("tenon-watchd: {name}: {what}: {}", step.describe());
    }

    /// Gives a stopped domain a name and a record of its own.
    fn set_aside(&self, record: &Record, domain: &DomainInfo) -> Result<(), ActError> {
        let State::SettingAside { to, name } = &record.state else { return Ok(()) };
        let mut aside = Record { uuid: *to, state: State::Preserved, ..record.clone() };
        aside.config.name.clone_from(name);
        aside.config.uuid = Some(*to);
        self.host.registry.save(&aside)?;
        self.host.xen.set_handle(domain.id, *to)?;
        if let Ok(mut client) = Client::connect() {
            client.write(Tx::NONE, &format!("/local/domain/{}/name", domain.id), name)?;
        }
        Ok(())
    }

    fn restart(&mut self, record: &Record) -> Result<(), ActError> {
        if let Err(e) = build_and_start(&self.host, record, false, Autoballoon::Auto) {
            self.failed.insert(record.uuid, Instant::now() + RETRY);
            return Err(e);
        }
        self.failed.remove(&record.uuid);
        let _lock = self.host.registry.lock()?;
        // Somebody who destroyed the guest meanwhile removed its record; the new domain goes with it.
        if self.host.registry.find(record.uuid)?.is_some() {
            return Ok(self.host.registry.save(&Record { state: State::Running, ..record.clone() })?);
        }
        match self.host.domain_of(record.uuid)? {
            Some(domain) => destroy(&self.host, &domain),
            None => Ok(()),
        }
    }

    /// Connects to xenstored, if there is one.
    fn connect(&self) -> Option<Client> {
        let mut client = Client::connect().ok()?;
        // xenstored fires this when a domain stops and when it is gone.
        client.watch("@releaseDomain", "watch").ok()?;
        match self.publish(&mut client) {
            Ok(()) => Some(client),
            Err(e) => {
                eprintln!("tenon-watchd: cannot tell xenstored of the guests: {e}");
                None
            }
        }
    }

    /// Waits until domains may have changed.
    fn wait(&mut self, pause: Duration) {
        if self.store.is_none() {
            self.store = self.connect();
        }
        let Some(store) = &mut self.store else { return std::thread::sleep(pause) };
        let pause = if pause == SOON { SOON } else { RARELY };
        let mut waited = store.event(Some(pause));
        // One look serves all events that are there already.
        while matches!(waited, Ok(Some(_))) {
            waited = store.event(Some(Duration::ZERO));
        }
        let Some(mut store) = self.store.take() else { return };
        // On an error xenstored is being restarted. Whoever created a guest meanwhile did without it.
        if waited.is_ok() && self.publish(&mut store).is_ok() {
            self.store = Some(store);
        }
    }
}
