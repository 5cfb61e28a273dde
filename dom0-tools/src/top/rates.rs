//! The difference of two readings.

use std::borrow::Cow;
use std::cmp::Reverse;

use clap::ValueEnum;
use hypercall_abi::tenon::ExitKind;
use hypercall_abi::vcpu::{RUNSTATE_RUNNABLE, RUNSTATE_RUNNING};
use serde::{Serialize, Serializer};

use super::reading::{DomainReading, Reading};
use crate::xen::account::VcpuAccount;

const SECOND: f64 = 1e9;

/// What happened between two readings.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Rates {
    /// The time between them.
    pub interval_seconds: f64,
    /// The machine.
    pub host: HostRates,
    /// The domains of the second reading.
    pub domains: Vec<DomainRates>,
}

/// The machine.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct HostRates {
    /// Its CPUs.
    pub cpus: u32,
    /// What the domains used, in percent of all CPUs.
    pub cpu_percent: f64,
    /// Its memory.
    pub memory_mib: u64,
    /// Memory that no domain has.
    pub free_memory_mib: u64,
}

/// A domain.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DomainRates {
    /// Its number.
    pub id: u16,
    /// Its name.
    pub name: String,
    /// Its state, in one word.
    pub state: &'static str,
    /// vCPUs that are online.
    pub vcpus: u32,
    /// Time that its vCPUs ran, in percent of one CPU.
    pub cpu_percent: f64,
    /// Time that its vCPUs waited for a CPU, or for their domain's next share under its cap, in percent of one CPU.
    pub waiting_percent: f64,
    /// Memory that it has.
    pub memory_mib: u64,
    /// Memory that it may have, if there is a limit.
    pub max_memory_mib: Option<u64>,
    /// Exits of all kinds.
    pub exits_per_second: f64,
    /// Every kind that the hypervisor counts, by its number.
    #[serde(serialize_with = "by_name")]
    pub exits: Vec<ExitRate>,
}

/// Exits of one kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct ExitRate {
    /// Since the domain was made.
    pub count: u64,
    /// Between the readings.
    pub per_second: f64,
}

/// What the busiest domain has most of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Sort {
    /// CPU use.
    #[default]
    Cpu,
    /// Waiting time.
    Waiting,
    /// Memory.
    Memory,
    /// Exits.
    Exits,
    /// By number, the lowest first.
    Id,
}

impl Rates {
    /// What happened from `before` to `after`. A domain that was not there before did in between all that it ever did.
    #[must_use]
    pub fn between(before: &Reading, after: &Reading) -> Self {
        let start = before.end();
        let domains: Vec<DomainRates> = after
            .domains
            .iter()
            .map(|domain| {
                let same = |earlier: &&DomainReading| earlier.id == domain.id && earlier.uuid == domain.uuid;
                DomainRates::between(before.domains.iter().find(same), domain, start)
            })
            .collect();
        let used: f64 = domains.iter().map(|domain| domain.cpu_percent).sum();
        Self {
            interval_seconds: after.end().saturating_sub(start) as f64 / SECOND,
            host: HostRates {
                cpus: after.cpus,
                cpu_percent: used / f64::from(after.cpus.max(1)),
                memory_mib: after.memory_mib,
                free_memory_mib: after.free_memory_mib,
            },
            domains,
        }
    }

    /// Puts the domains in order.
    pub fn sort(&mut self, by: Sort) {
        let key = |domain: &DomainRates| match by {
            Sort::Cpu => domain.cpu_percent,
            Sort::Waiting => domain.waiting_percent,
            Sort::Memory => domain.memory_mib as f64,
            Sort::Exits => domain.exits_per_second,
            Sort::Id => 0.0,
        };
        self.domains.sort_by(|a, b| key(b).total_cmp(&key(a)).then(a.id.cmp(&b.id)));
    }
}

impl DomainRates {
    /// `start` is where the time of vCPUs begins that were not there before.
    fn between(before: Option<&DomainReading>, after: &DomainReading, start: u64) -> Self {
        let mut rates = Self {
            id: after.id,
            name: after.name.clone(),
            state: after.state,
            vcpus: after.online_vcpus,
            cpu_percent: 0.0,
            waiting_percent: 0.0,
            memory_mib: after.memory_mib,
            max_memory_mib: after.max_memory_mib,
            exits_per_second: 0.0,
            exits: Vec::new(),
        };
        let new = VcpuAccount { now: start, ..VcpuAccount::default() };
        for (place, vcpu) in after.vcpus.iter().enumerate() {
            rates.add(before.and_then(|before| before.vcpus.get(place)).unwrap_or(&new), vcpu);
        }
        rates.exits_per_second = rates.exits.iter().map(|exits| exits.per_second).sum();
        rates
    }

    fn add(&mut self, before: &VcpuAccount, after: &VcpuAccount) {
        // Each vCPU has its own two moments: none shows more than the time there was.
        let elapsed = after.now.saturating_sub(before.now).max(1) as f64;
        let percent = |state: u32| {
            let [before, after] = [before, after].map(|account| account.spent[state as usize]);
            100.0 * after.saturating_sub(before) as f64 / elapsed
        };
        self.cpu_percent += percent(RUNSTATE_RUNNING);
        self.waiting_percent += percent(RUNSTATE_RUNNABLE);
        if self.exits.len() < after.exits.len() {
            self.exits.resize(after.exits.len(), ExitRate::default());
        }
        let earlier = before.exits.iter().copied().chain(std::iter::repeat(0));
        for ((sum, count), earlier) in self.exits.iter_mut().zip(&after.exits).zip(earlier) {
            sum.count += count;
            sum.per_second += count.saturating_sub(earlier) as f64 * SECOND / elapsed;
        }
    }

    /// The kinds that there were any of, the busiest first.
    #[must_use]
    pub fn busiest(&self) -> Vec<(Cow<'static, str>, f64)> {
        let rates = self.exits.iter().map(|exits| exits.per_second).enumerate();
        let mut kinds: Vec<_> = rates.filter(|(_, rate)| *rate > 0.0).collect();
        // As whole numbers: what looks the same stays in the order of the kinds.
        kinds.sort_by_key(|(_, rate)| Reverse(rate.round() as u64));
        kinds.into_iter().map(|(kind, rate)| (name(kind), rate)).collect()
    }
}

/// The name of a kind. A newer hypervisor may have some that this program does not know.
#[must_use]
pub fn name(kind: usize) -> Cow<'static, str> {
    match ExitKind::ALL.get(kind) {
        Some(kind) => kind.name().into(),
        None => format!("kind-{kind}").into(),
    }
}

fn by_name<S: Serializer>(exits: &[ExitRate], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(exits.iter().enumerate().map(|(kind, exits)| (name(kind), exits)))
}
