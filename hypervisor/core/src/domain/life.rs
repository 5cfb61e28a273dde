//! How far along its life a domain is.
//!
//! It is built (paused by its creator), runs, may shut itself down (its vCPUs stop, its memory stays for the tools to
//! look at), and is destroyed step by step. Stages only go forward, but for a shutdown that the tools take back.

use crate::ids::Port;
use crate::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, Ordering};

/// The stage of a domain's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// It exists and may run.
    Alive,
    /// It is being taken apart; nothing new may refer to it.
    Dying,
    /// Everything that could be freed is; what is left is held by others.
    Dead,
}

/// How far a destruction has got. Its lock keeps two steps of one from running at once.
#[derive(Debug)]
pub(crate) struct Teardown {
    /// The next event channel to close.
    pub port: Port,
    /// The next grant mapping to end.
    pub mapping: u32,
    /// The next grant in use to let go of.
    pub grant: u32,
}

impl Teardown {
    /// Nothing is done.
    pub const START: Self = Self { port: Port(0), mapping: 0, grant: 0 };
}

const NOT_SHUT_DOWN: u32 = u32::MAX;

/// Life stage, pauses, shutdown.
#[derive(Debug)]
pub struct Life {
    stage: AtomicU8,
    shutdown: AtomicU32,
    announced: AtomicU32,
    pauses: AtomicU32,
    started: AtomicBool,
}

impl Default for Life {
    fn default() -> Self {
        Self {
            stage: AtomicU8::new(0),
            shutdown: AtomicU32::new(NOT_SHUT_DOWN),
            announced: AtomicU32::new(NOT_SHUT_DOWN),
            pauses: AtomicU32::new(0),
            started: AtomicBool::new(false),
        }
    }
}

impl Life {
    /// The stage now.
    pub fn stage(&self) -> Stage {
        match self.stage.load(Ordering::Acquire) {
            0 => Stage::Alive,
            1 => Stage::Dying,
            _ => Stage::Dead,
        }
    }

    /// Whether it exists and may run.
    pub fn is_alive(&self) -> bool {
        self.stage() == Stage::Alive
    }

    /// Alive to dying. True for the caller who did it.
    pub(crate) fn begin_dying(&self) -> bool {
        self.stage.compare_exchange(0, 1, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    /// Dying to dead.
    pub(crate) fn finish_dying(&self) {
        self.stage.store(2, Ordering::Release);
    }

    /// The reason of its shutdown (`SHUTDOWN_*`, `public/sched.h`), if it has shut down.
    pub fn shutdown(&self) -> Option<u32> {
        Some(self.shutdown.load(Ordering::Acquire)).filter(|reason| *reason != NOT_SHUT_DOWN)
    }

    /// Records a shutdown. True for the first.
    pub(crate) fn begin_shutdown(&self, reason: u32) -> bool {
        let new = match self.announced.load(Ordering::Acquire) {
            NOT_SHUT_DOWN => reason.min(NOT_SHUT_DOWN - 1),
            announced => announced,
        };
        self.shutdown.compare_exchange(NOT_SHUT_DOWN, new, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    /// Sets the reason that a later shutdown reports, whatever it says itself.
    pub(crate) fn set_shutdown_code(&self, reason: u32) {
        self.announced.store(reason.min(NOT_SHUT_DOWN - 1), Ordering::Release);
    }

    /// Takes a shutdown back (`XEN_DOMCTL_resumedomain`). True if there was one.
    pub(crate) fn end_shutdown(&self) -> bool {
        self.shutdown.swap(NOT_SHUT_DOWN, Ordering::AcqRel) != NOT_SHUT_DOWN
    }

    /// How often the tools have paused it.
    pub fn pauses(&self) -> u32 {
        self.pauses.load(Ordering::Acquire)
    }

    /// One more pause by the tools.
    pub(crate) fn add_pause(&self) {
        self.pauses.fetch_add(1, Ordering::AcqRel);
    }

    /// Takes one back; false if there was none.
    pub(crate) fn remove_pause(&self) -> bool {
        let before = self.pauses.fetch_update(Ordering::AcqRel, Ordering::Acquire, |n| n.checked_sub(1));
        if before == Ok(1) {
            self.started.store(true, Ordering::Release);
        }
        before.is_ok()
    }

    /// Whether the tools have ever let it run: what a guest sees of its CPUs does not change from then on.
    pub fn is_started(&self) -> bool {
        self.started.load(Ordering::Acquire)
    }
}
