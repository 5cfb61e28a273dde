//! Caps: how much CPU time a domain may use at most, however idle the machine is.

use crate::sync::atomic::{AtomicU16, Ordering};
use crate::sync::{Class, Lock};
use crate::time::Nanos;

/// A domain's budget is renewed so often.
const PERIOD: u64 = 10 * Nanos::MILLISECOND;

/// What all vCPUs of a domain together may use.
#[derive(Debug)]
pub struct Budget {
    /// In percent of one CPU; 0 for no limit.
    cap: AtomicU16,
    account: Lock<Account>,
}

#[derive(Debug, Default)]
struct Account {
    /// The period, counted from boot.
    period: u64,
    /// Ns left in it. Less than zero if several vCPUs ran at once: that is taken from the next periods.
    left: i64,
    /// What one vCPU may use of it: an equal part for each that was turned away in the period before.
    part: u64,
    /// vCPUs turned away, each once.
    turned_away: u32,
}

/// What a vCPU has used of its domain's budget.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Use {
    period: u64,
    ns: u64,
}

impl Default for Budget {
    fn default() -> Self {
        Self { cap: AtomicU16::new(0), account: Lock::new(Class::Budget, Account::default()) }
    }
}

impl Budget {
    /// The cap in percent of one CPU, 0 for none.
    pub fn cap(&self) -> u16 {
        self.cap.load(Ordering::Relaxed)
    }

    /// Sets the cap. vCPUs that run notice when they are [looked at](super::Scheduler::look_again).
    pub fn set_cap(&self, percent: u16) {
        self.cap.store(percent, Ordering::Relaxed);
    }

    /// Until when a vCPU that begins to run now may run, if there is a cap.
    ///
    /// # Errors
    /// Nothing is left: when to ask again.
    pub(super) fn runs_until(&self, now: Nanos, used: Use) -> Result<Nanos, Nanos> {
        let mut account = self.account.lock();
        account.settle(now, self.cap(), 0);
        let used = if used.period == account.period { used.ns } else { 0 };
        let left = account.part.saturating_sub(used).min(account.left.max(0) as u64);
        if left == 0 {
            account.turned_away += 1;
            return Err(Nanos((account.period + 1) * PERIOD));
        }
        Ok(now + left)
    }

    /// Takes the time that a vCPU has run.
    pub(super) fn charge(&self, now: Nanos, ran: u64, used: &mut Use) {
        let mut account = self.account.lock();
        account.settle(now, self.cap(), ran as i64);
        let before = if used.period == account.period { used.ns } else { 0 };
        let since = now.since(Nanos(account.period * PERIOD));
        *used = Use { period: account.period, ns: (before + ran).min(since) };
    }
}

impl Account {
    /// Takes what was used and adds what the periods since have brought.
    fn settle(&mut self, now: Nanos, cap: u16, used: i64) {
        let grant = u64::from(cap) * PERIOD / 100;
        let periods = (now.0 / PERIOD).saturating_sub(self.period);
        if periods != 0 {
            self.period += periods;
            self.part = grant / u64::from(self.turned_away.max(1));
            self.turned_away = 0;
        }
        let brought = grant.saturating_mul(periods).min(i64::MAX as u64);
        // What ran for longer had no cap then.
        self.left = (self.left - used.min(grant as i64)).saturating_add_unsigned(brought).min(grant as i64);
    }
}
