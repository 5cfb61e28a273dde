//! Opening, committing and dropping transactions.

use super::{Planner, Reply, Verdict, done, text};
use crate::xenstore::change::Change;
use crate::xenstore::quota::Quota;
use crate::xenstore::refusal::Refusal;

impl Planner<'_> {
    pub(super) fn begin(&mut self) -> Reply {
        if self.transaction.is_some() {
            return Err(Refusal::Nested);
        }
        self.check(Quota::Transactions, self.connection.transactions.len() + 1)?;
        let tx = self.connection.free_transaction();
        self.changes.push(Change::Begin { conn: self.conn, tx });
        self.verdict = Some(Verdict::Begun(tx));
        text(&tx.to_string())
    }

    pub(super) fn end(&mut self) -> Reply {
        let tx = self.request.tx_id;
        let transaction = self.transaction.ok_or(Refusal::NoTransaction(tx))?;
        let commits = match self.request.one_string() {
            Some(b"T") => true,
            Some(b"F") => false,
            _ => return Err(Refusal::Malformed("T or F is expected")),
        };
        self.changes.push(Change::End { conn: self.conn, tx });
        if !commits {
            self.verdict = Some(Verdict::Dropped(tx));
            return done();
        }
        let made = match transaction.conflict(&self.state.tree) {
            Some(path) => Err(Refusal::Conflict(path)),
            None => self.make(transaction.ops().to_vec()),
        };
        self.verdict = Some(match made {
            Ok(()) => Verdict::Committed(tx),
            Err(Refusal::Conflict(_)) => Verdict::Lost(tx),
            Err(_) => Verdict::Dropped(tx),
        });
        made.and_then(|()| done())
    }
}
