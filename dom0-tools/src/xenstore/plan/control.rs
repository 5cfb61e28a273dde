//! Commands to the daemon itself (`xenstore-control`).

use super::{Planner, Reply, text};
use crate::xenstore::change::Change;
use crate::xenstore::ids::{ConnId, DomId};
use crate::xenstore::quota::Quota;
use crate::xenstore::refusal::Refusal;
use core::fmt::Write as _;

/// What a command asks of the process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Log every request, or stop doing so.
    Trace(bool),
    /// Put a line into the log.
    Print(String),
}

const HELP: &str = "check\nhelp\nlog on|off\nmemreport\nprint <text>\nquota [<domid> | set <name> <limit>]\n";

impl Planner<'_> {
    pub(super) fn control(&mut self) -> Reply {
        self.control_only("CONTROL")?;
        let strings = self.request.strings().ok_or(Refusal::Malformed("a command is expected"))?;
        let words: Option<Vec<&str>> = strings.iter().map(|word| core::str::from_utf8(word).ok()).collect();
        match words.as_deref() {
            Some(["help"]) => text(HELP),
            Some(["check"]) => {
                text(if self.state.tree.is_consistent() { "OK" } else { "the tree is inconsistent" })
            }
            Some(["memreport"]) => text(&self.report()),
            Some(["log", "on"]) => self.act(Action::Trace(true)),
            Some(["log", "off"]) => self.act(Action::Trace(false)),
            Some(["print", line]) => self.act(Action::Print((*line).to_owned())),
            Some(["quota"]) => text(&self.quotas()),
            Some(["quota", "set", name, limit]) => {
                let quota = Quota::named(name).ok_or(Refusal::Malformed("no quota of that name"))?;
                let limit = limit.parse().map_err(|_| Refusal::Malformed("a limit is a number"))?;
                self.changes.push(Change::Limit { quota, limit });
                text("OK")
            }
            Some(["quota", domid]) => {
                let domid = DomId::parse(domid.as_bytes()).ok_or(Refusal::NoDomain)?;
                text(&self.usage(domid))
            }
            _ => Err(Refusal::Malformed("no such command; help lists them")),
        }
    }

    fn act(&mut self, action: Action) -> Reply {
        self.action = Some(action);
        text("OK")
    }

    fn quotas(&self) -> String {
        Quota::ALL.iter().fold(String::new(), |mut lines, (quota, name, _)| {
            let _ = writeln!(lines, "{name:<20} {}", self.state.limits.of(*quota));
            lines
        })
    }

    fn usage(&self, domid: DomId) -> String {
        let conn = ConnId::Domain(domid);
        let mut lines = format!(
            "{:<20} {}\n{:<20} {}\n",
            Quota::Nodes,
            self.state.tree.owned_by(domid),
            Quota::Watches,
            self.state.watches.count(conn)
        );
        if let Some(connection) = self.state.conns.get(&conn) {
            let _ = writeln!(lines, "{:<20} {}", Quota::Transactions, connection.transactions.len());
            let _ = writeln!(lines, "{:<20} {}", Quota::Outstanding, connection.output.replies());
            let _ = writeln!(lines, "{:<20} {}", Quota::Events, connection.output.events());
        }
        lines
    }

    fn report(&self) -> String {
        let (mut nodes, mut bytes) = (0usize, 0usize);
        self.state.tree.visit(|_, node| {
            nodes += 1;
            bytes += node.value.len();
        });
        format!(
            "nodes {nodes}\nbytes of values {bytes}\nwatches {}\nconnections {}\n",
            self.state.watches.iter().count(),
            self.state.conns.len()
        )
    }
}
