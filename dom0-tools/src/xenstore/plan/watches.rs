//! Setting watches and taking them away.

use super::{Planner, Reply, done};
use crate::xenstore::change::Change;
use crate::xenstore::path::{Path, PathError, REL_PATH_MAX};
use crate::xenstore::quota::Quota;
use crate::xenstore::refusal::Refusal;
use crate::xenstore::watch::{Watch, WatchPath};
use std::rc::Rc;

impl Planner<'_> {
    pub(super) fn watch(&mut self) -> Reply {
        let (path, token, hidden) = self.path_and_token()?;
        if self.state.watches.contains(self.conn, &path, &token) {
            return Err(Refusal::WatchExists);
        }
        self.check(Quota::Watches, self.state.watches.count(self.conn) + 1)?;
        let conn = self.conn;
        self.events.first(&Watch { conn, token: token.clone(), hidden }, &path);
        self.changes.push(Change::Watch { conn, path, token, hidden });
        done()
    }

    pub(super) fn unwatch(&mut self) -> Reply {
        let (path, token, _) = self.path_and_token()?;
        if !self.state.watches.contains(self.conn, &path, &token) {
            return Err(Refusal::NoWatch);
        }
        self.changes.push(Change::Unwatch { conn: self.conn, path, token });
        done()
    }

    /// Also drops the caller's transactions.
    pub(super) fn reset_watches(&mut self) -> Reply {
        let conn = self.conn;
        for (path, watch) in self.state.watches.iter().filter(|(_, watch)| watch.conn == conn) {
            self.changes.push(Change::Unwatch { conn, path: path.clone(), token: watch.token.clone() });
        }
        for &tx in self.connection.transactions.keys() {
            self.changes.push(Change::End { conn, tx });
        }
        done()
    }

    /// Path and token of the request, and how many bytes of the path its events leave out.
    fn path_and_token(&self) -> Result<(WatchPath, Rc<[u8]>, usize), Refusal> {
        let malformed = Refusal::Malformed("a path and a token are expected");
        let strings = self.request.strings().ok_or(malformed.clone())?;
        let [path, token] = strings[..] else { return Err(malformed) };
        let token = Rc::from(token);
        if path.starts_with(b"@") {
            let name = core::str::from_utf8(path).map_err(|_| PathError::Character(path[0]))?;
            if name.len() > REL_PATH_MAX {
                return Err(PathError::TooLong(REL_PATH_MAX).into());
            }
            return Ok((Rc::from(name), token, 0));
        }
        let (path, is_relative) = Path::parse(path, self.caller.domid)?;
        self.check(Quota::PathLength, path.as_str().len())?;
        let hidden = if is_relative { Path::home(self.caller.domid).as_str().len() + 1 } else { 0 };
        Ok((Rc::from(path.as_str()), token, hidden))
    }
}
