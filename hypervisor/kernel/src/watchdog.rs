//! The watchdog (`watchdog`): finds a CPU that hangs in the hypervisor.
//!
//! Each CPU looks at the next one, from its timer, twice in the time-out. One that is neither idle nor in a guest, and stays
//! at the same place, gets an NMI and reports itself where it is stuck ([`found_stuck`]); if it takes none, whoever found it
//! reports. A CPU does not look while the other one is idle: whoever leaves idle kicks its watcher. One that is switched off
//! neither looks nor is looked at; all are kicked when it goes or comes, for they have other neighbours then.

use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use tenon_core::entries::Entries;
use tenon_core::heartbeat::Heartbeat;
use tenon_core::options::Options;
use tenon_core::time::Nanos;

use crate::apic::local;
use crate::cpu::{self, Cpu};
use crate::host;
use crate::time::timer;
use crate::{irq, smp, time};

/// No beat, and no time.
const NONE: u64 = u64::MAX;

/// In ns; 0: nobody looks.
static TIMEOUT: AtomicU64 = AtomicU64::new(0);

/// A CPU's part.
pub struct Watch {
    idle: AtomicBool,
    /// How often it has left idle.
    wakeups: AtomicU64,
    /// When it looks next, or [`NONE`].
    due: AtomicU64,
    /// What it has seen of the next CPU.
    notes: Heartbeat,
    /// The beat at which it was found stuck, or [`NONE`].
    stuck_at: AtomicU64,
}

impl Watch {
    /// One that does not look.
    pub fn new() -> Self {
        Self {
            idle: AtomicBool::new(false),
            wakeups: AtomicU64::new(0),
            due: AtomicU64::new(NONE),
            notes: Heartbeat::default(),
            stuck_at: AtomicU64::new(NONE),
        }
    }
}

/// What the command line says. Once, before CPUs [`look`].
pub fn init(options: &Options<'_>) {
    if options.watchdog && cpu::online().count() < 2 {
        log::warn!("watchdog: it has no effect on one CPU, which nobody watches");
    } else if options.watchdog {
        TIMEOUT.store(u64::from(options.watchdog_timeout) * time::SECOND, Ordering::Relaxed);
    }
}

/// The online CPU that comes `steps` (1 or -1) next to this one, around the ring; itself if it is alone.
fn neighbour(this: &Cpu, steps: isize) -> &'static Cpu {
    let all = cpu::all();
    let at = |distance: usize| {
        let offset = steps * distance as isize;
        all[(this.id.index() as isize + offset).rem_euclid(all.len() as isize) as usize]
    };
    (1..all.len()).map(at).find(|cpu| cpu.online.load(Ordering::Acquire)).unwrap_or(all[this.id.index()])
}

/// A number that changes whenever a CPU gets on; `None` while it is idle or in a guest, where it may stay.
fn beat(entries: &Entries, cpu: &Cpu) -> Option<u64> {
    let entries = entries.sequence(cpu.id);
    let is_away = cpu.watch.idle.load(Ordering::SeqCst) || entries & 1 != 0;
    (!is_away).then(|| entries.wrapping_add(cpu.watch.wakeups.load(Ordering::Relaxed) << 32))
}

/// When this CPU's timer must go off for the watchdog.
#[inline]
pub fn due() -> u64 {
    cpu::this().watch.due.load(Ordering::Relaxed)
}

/// Looks at the next CPU if it is time. Called whenever this CPU's timer has gone off, which it then is set anew.
pub fn look(entries: &Entries) {
    let (this, now) = (cpu::this(), time::now());
    if now >= due() {
        let timeout = TIMEOUT.load(Ordering::Relaxed);
        let next = neighbour(this, 1);
        let beat = beat(entries, next);
        if this.watch.notes.is_stuck(beat, Nanos(now), timeout)
            && let Some(beat) = beat
        {
            if next.watch.stuck_at.swap(beat, Ordering::SeqCst) == beat {
                panic!("watchdog: {} hangs in the hypervisor and takes no NMI", next.id);
            }
            local::send_nmi(next.ids.apic);
        }
        this.watch.due.store(NONE, Ordering::SeqCst);
        if !next.watch.idle.load(Ordering::SeqCst) && this.online.load(Ordering::Acquire) {
            this.watch.due.store(now + timeout / 2, Ordering::SeqCst);
        }
    }
    if due() != NONE {
        timer::arm(due());
    }
}

/// Begins to look, if this CPU does not: the next one may have left idle.
pub fn resume() {
    let timeout = TIMEOUT.load(Ordering::Relaxed);
    if timeout != 0 && due() == NONE && cpu::this().online.load(Ordering::Acquire) {
        cpu::this().watch.due.store(time::now() + timeout / 2, Ordering::SeqCst);
        // A vCPU may wait for an earlier time.
        timer::arm_by(due());
    }
}

/// Waits for an interrupt, which is no hang.
pub fn rest() {
    let watch = &cpu::this().watch;
    watch.idle.store(true, Ordering::SeqCst);
    irq::wait();
    awake();
    if TIMEOUT.load(Ordering::Relaxed) != 0 {
        let watcher = neighbour(cpu::this(), -1);
        if watcher.watch.due.load(Ordering::SeqCst) == NONE {
            smp::kick(watcher);
        }
    }
}

/// This CPU is not idle, at least not while it handles an interrupt.
pub fn awake() {
    let watch = &cpu::this().watch;
    if watch.idle.load(Ordering::Relaxed) {
        watch.wakeups.fetch_add(1, Ordering::Relaxed);
        watch.idle.store(false, Ordering::SeqCst);
    }
}

/// Whether an NMI comes from the watchdog; then, for how many seconds at least this CPU has been stuck, if it still is.
pub fn found_stuck() -> Option<Option<u64>> {
    let at = cpu::this().watch.stuck_at.load(Ordering::SeqCst);
    let entries = host::entries().filter(|_| at != NONE)?;
    let is_stuck = beat(entries, cpu::this()) == Some(at);
    Some(is_stuck.then(|| TIMEOUT.load(Ordering::Relaxed) / time::SECOND))
}
