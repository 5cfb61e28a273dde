//! The decision: from what is remembered of a guest and what its domain does, what to do next.
//!
//! Pure, and repeatable: whoever was killed after any step, deciding again leads to the same end.

use hypercall_abi::sched;

use crate::config::Action;
use crate::registry::{Record, State};

/// Why a domain shut down (`SHUTDOWN_*` of `public/sched.h`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// It was powered off.
    Poweroff,
    /// It wants to start again.
    Reboot,
    /// It was suspended.
    Suspend,
    /// It crashed.
    Crash,
    /// Its watchdog ran out.
    Watchdog,
    /// It wants its state reset, memory kept.
    SoftReset,
    /// A reason that the interface does not define.
    Other(u32),
}

impl Reason {
    /// The reason behind a shutdown code.
    #[must_use]
    pub const fn from_code(code: u32) -> Self {
        match code {
            sched::SHUTDOWN_POWEROFF => Self::Poweroff,
            sched::SHUTDOWN_REBOOT => Self::Reboot,
            sched::SHUTDOWN_SUSPEND => Self::Suspend,
            sched::SHUTDOWN_CRASH => Self::Crash,
            sched::SHUTDOWN_WATCHDOG => Self::Watchdog,
            sched::SHUTDOWN_SOFT_RESET => Self::SoftReset,
            other => Self::Other(other),
        }
    }

    /// The reason in a word.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Poweroff => "poweroff",
            Self::Reboot => "reboot",
            Self::Suspend => "suspend",
            Self::Crash => "crash",
            Self::Watchdog => "watchdog",
            Self::SoftReset => "soft-reset",
            Self::Other(_) => "other",
        }
    }
}

/// What a domain does, as far as decisions depend on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activity {
    /// It was never let run: somebody is building it, or was.
    Unstarted,
    /// It runs, or is paused.
    Live,
    /// It stopped by itself.
    Shutdown(Reason),
    /// It is being destroyed.
    Dying,
}

/// What to do about a guest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Nothing, until something changes.
    Leave,
    /// Remove the record: there is no such guest any more.
    Forget,
    /// Remove the domain, then the record.
    Destroy,
    /// Remove the domain; the record stays and says how to go on.
    DestroyForRestart,
    /// Create the guest from its record.
    Create,
    /// Write the record with this state, then decide again.
    Become(State),
    /// Choose a UUID and a name for the old domain and become [`State::SettingAside`].
    PlanSettingAside,
    /// Give the domain its new UUID and name and write a record for it, then become [`State::Restarting`].
    SetAside,
}

impl Step {
    /// The step in words, for a log.
    #[must_use]
    pub fn describe(&self) -> &'static str {
        match self {
            Self::Leave => "left alone",
            Self::Forget => "forgotten",
            Self::Destroy => "destroyed",
            Self::DestroyForRestart => "destroyed, to be started again",
            Self::Create => "started again",
            Self::Become(State::Building { .. } | State::Running) => "runs",
            Self::Become(State::Preserved) => "kept for inspection",
            Self::Become(State::Restarting | State::SettingAside { .. }) => "to be started again",
            Self::PlanSettingAside | Self::SetAside => "set aside",
        }
    }
}

/// What to do about the guest of `record`, whose domain does `activity` if there is one.
#[must_use]
pub fn decide(record: &Record, activity: Option<Activity>) -> Step {
    use Activity::{Dying, Live, Shutdown, Unstarted};
    match (&record.state, activity) {
        (State::Building { by }, _) if by.is_alive() => Step::Leave,
        // Its creator was killed. If it got as far as running, it lives.
        (State::Building { .. }, Some(Live | Shutdown(_))) => Step::Become(State::Running),
        (State::Building { .. }, Some(Unstarted)) => Step::Destroy,

        (State::Running, Some(Shutdown(reason))) => stopped(record, reason),
        (State::Running, Some(Unstarted | Live)) => Step::Leave,

        (State::SettingAside { .. }, Some(Shutdown(_))) => Step::SetAside,
        // Its old domain has its own record by now, or is gone for good: what remains is the restart.
        (State::SettingAside { .. }, None) => Step::Become(State::Restarting),
        (State::SettingAside { .. }, Some(Unstarted | Live)) => Step::Become(State::Running),

        (State::Restarting, None) => Step::Create,
        (State::Restarting, Some(Shutdown(_) | Unstarted)) => Step::DestroyForRestart,
        (State::Restarting, Some(Live)) => Step::Become(State::Running),

        (State::Preserved, Some(_)) => Step::Leave,
        (_, Some(Dying)) => Step::Leave,
        (State::Building { .. } | State::Running | State::Preserved, None) => Step::Forget,
    }
}

fn stopped(record: &Record, reason: Reason) -> Step {
    let config = &record.config;
    let action = match reason {
        Reason::Poweroff => config.on_poweroff,
        Reason::Reboot => config.on_reboot,
        Reason::Watchdog => config.on_watchdog,
        // A domain that was suspended is somebody's who saves it.
        Reason::Suspend => return Step::Leave,
        Reason::Crash | Reason::SoftReset | Reason::Other(_) => config.on_crash,
    };
    match action {
        Action::Destroy => Step::Destroy,
        Action::Restart => Step::Become(State::Restarting),
        Action::RenameRestart => Step::PlanSettingAside,
        Action::Preserve => Step::Become(State::Preserved),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Uuid;
    use crate::registry::Process;

    const DEAD: Process = Process { pid: u32::MAX, started: 1 };

    fn record(state: State) -> Record {
        crate::registry::tests_record(state)
    }

    fn after(state: State, activity: Option<Activity>) -> Step {
        decide(&record(state), activity)
    }

    #[test]
    fn the_guest_file_decides() {
        let stopped = |reason| after(State::Running, Some(Activity::Shutdown(reason)));
        assert_eq!(stopped(Reason::Poweroff), Step::Destroy);
        assert_eq!(stopped(Reason::Reboot), Step::Become(State::Restarting));
        assert_eq!(stopped(Reason::Crash), Step::Become(State::Preserved));
        assert_eq!(stopped(Reason::Watchdog), Step::PlanSettingAside);
        assert_eq!(stopped(Reason::Suspend), Step::Leave);
    }

    #[test]
    fn a_killed_creation_is_undone_or_completed() {
        let building = || State::Building { by: DEAD };
        assert_eq!(after(building(), None), Step::Forget);
        assert_eq!(after(building(), Some(Activity::Unstarted)), Step::Destroy);
        assert_eq!(after(building(), Some(Activity::Live)), Step::Become(State::Running));
        let by = Process::this().unwrap();
        assert_eq!(after(State::Building { by }, Some(Activity::Unstarted)), Step::Leave);
    }

    /// Plays a restart with the watcher killed after every step: the guest always runs again.
    #[test]
    fn a_restart_ends_in_a_running_guest() {
        let aside = State::SettingAside { to: Uuid([1; 16]), name: "old".into() };
        for start in [State::Restarting, aside] {
            let mut state = start;
            let mut activity = Some(Activity::Shutdown(Reason::Reboot));
            for _ in 0..10 {
                match after(state.clone(), activity) {
                    Step::Become(next) => state = next,
                    // A killed creator leaves a domain that never ran; the second attempt completes.
                    Step::Create if activity.is_none() => activity = Some(Activity::Unstarted),
                    Step::DestroyForRestart if activity == Some(Activity::Unstarted) => {
                        activity = Some(Activity::Live);
                    }
                    Step::DestroyForRestart | Step::SetAside => activity = None,
                    Step::Leave => break,
                    other => panic!("{other:?}"),
                }
            }
            assert_eq!((state, activity), (State::Running, Some(Activity::Live)));
        }
    }

    #[test]
    fn nothing_is_done_to_a_dying_domain() {
        for state in [State::Building { by: DEAD }, State::Running, State::Restarting, State::Preserved] {
            assert_eq!(after(state, Some(Activity::Dying)), Step::Leave);
        }
    }
}
