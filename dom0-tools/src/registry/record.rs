//! One guest's record.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::process::Process;
use crate::config::{GuestConfig, Uuid};

/// What is being done with a guest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "kebab-case")]
pub enum State {
    /// It is being created.
    Building {
        /// By whom.
        by: Process,
    },
    /// It was created; what happens when it stops is up to its guest file.
    Running,
    /// It stopped and is to run again: its old domain goes, a new one comes.
    Restarting,
    /// It stopped, and its domain is to be kept under another UUID and name; then it is `Restarting`.
    SettingAside {
        /// The UUID for the old domain.
        to: Uuid,
        /// The name for the old domain.
        name: String,
    },
    /// It stopped and is kept for inspection.
    Preserved,
}

/// What is remembered of a guest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Its UUID, which is its domain's handle.
    pub uuid: Uuid,
    /// The guest file that it was created from.
    pub file: PathBuf,
    /// What is being done with it.
    pub state: State,
    /// What the guest file said.
    pub config: GuestConfig,
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use crate::config;

    /// A record for tests.
    pub fn record(state: State) -> Record {
        let text =
            "name='web';type='pvh';kernel='/k';memory=64;on_crash='preserve'\non_watchdog='rename-restart'";
        let config = config::parse(text.as_bytes(), config::Syntax::Xl).unwrap().config;
        Record { uuid: Uuid([7; 16]), file: "/etc/web.cfg".into(), state, config }
    }

    #[test]
    fn every_state_survives_its_file() {
        let by = Process { pid: 5, started: 1 << 40 };
        let aside = State::SettingAside { to: Uuid([1; 16]), name: "web-old".into() };
        for state in [State::Building { by }, State::Running, State::Restarting, aside, State::Preserved] {
            let record = record(state);
            assert_eq!(toml::from_str::<Record>(&toml::to_string(&record).unwrap()).unwrap(), record);
        }
    }
}
