//! What is said of refused requests: everything at the debug level; to the administrator what concerns limits, and
//! of each client only so much, lest a guest fill the log.

use crate::xenstore::fairness::Millis;
use crate::xenstore::ids::ConnId;
use crate::xenstore::refusal::Refusal;
use crate::xenstore::wire::Request;
use std::collections::BTreeMap;
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
        if !refusal.is_notable() {
            return;
        }
        let window = self.0.entry(conn).or_default();
        if window.start + WINDOW <= now {
            let kept_back = window.count.saturating_sub(MOST);
            if kept_back > 0 {
                warn!(client = %conn, "{kept_back} more refusals were not reported");
            }
            *window = Window { start: now, count: 0 };
        }
        window.count = window.count.saturating_add(1);
        if window.count <= MOST {
            warn!(client = %conn, "request refused: {refusal}");
        }
    }

    /// A client is gone.
    pub fn forget(&mut self, conn: ConnId) {
        self.0.remove(&conn);
    }
}
