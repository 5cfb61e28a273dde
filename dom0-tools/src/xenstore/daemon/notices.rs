//! What is said of clients: everything at the debug level; to the administrator what concerns limits and broken
//! rings, and of each client only so much, lest a guest fill the log.

use crate::xenstore::fairness::Millis;
use crate::xenstore::ids::ConnId;
use crate::xenstore::quota::Quota;
use crate::xenstore::refusal::Refusal;
use crate::xenstore::wire::Request;
use std::collections::BTreeMap;
use std::fmt;
use tracing::{debug, warn};

/// Notices per client and [`WINDOW`].
const MOST: u32 = 5;
const WINDOW: Millis = 10_000;

#[derive(Debug, Default)]
pub struct Notices(BTreeMap<ConnId, Window>);

#[derive(Debug, Default)]
struct Window {
    start: Millis,
    count: u32,
}

impl Notices {
    /// A client's request was refused.
    pub fn refused(&mut self, conn: ConnId, request: &Request, refusal: &Refusal, now: Millis) {
        debug!(client = %conn, kind = request.kind, tx = request.tx_id, "refused: {refusal}");
        if refusal.is_notable() {
            self.say(conn, now, format_args!("request refused: {refusal}"));
        }
    }

    /// A client lets events pile up.
    pub fn overflowed(&mut self, conn: ConnId, limit: usize, now: Millis) {
        let quota = Quota::Events;
        self.say(conn, now, format_args!("quota {quota} of {limit} is reached: events name the watch only"));
    }

    /// Something else about a client.
    pub fn say(&mut self, conn: ConnId, now: Millis, what: fmt::Arguments<'_>) {
        let window = self.0.entry(conn).or_default();
        if window.start + WINDOW <= now {
            let kept_back = window.count.saturating_sub(MOST);
            if kept_back > 0 {
                warn!(client = %conn, "{kept_back} more notices were not given");
            }
            *window = Window { start: now, count: 0 };
        }
        window.count = window.count.saturating_add(1);
        if window.count <= MOST {
            warn!(client = %conn, "{what}");
        }
    }

    /// A client is gone.
    pub fn forget(&mut self, conn: ConnId) {
        self.0.remove(&conn);
    }
}
