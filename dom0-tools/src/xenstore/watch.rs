//! The watches that are set.
//!
//! Invariant: `by_path` and `by_conn` hold the same watches.

use super::ids::ConnId;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::rc::Rc;

/// What a watch looks at: a node's absolute path, or the name of a special event, which starts with `@`.
pub type WatchPath = Rc<str>;

type Key = (WatchPath, Rc<[u8]>);

/// One watch of a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Watch {
    /// Whose it is.
    pub conn: ConnId,
    /// What comes back in every event.
    pub token: Rc<[u8]>,
    /// How many bytes to drop from the front of the path in events: the caller's home if the watch was set by a
    /// relative path.
    pub hidden: usize,
}

/// All watches.
#[derive(Clone, Debug, Default)]
pub struct Watches {
    by_path: BTreeMap<WatchPath, Vec<Watch>>,
    by_conn: BTreeMap<ConnId, BTreeSet<Key>>,
}

impl Watch {
    /// The path as this watch's events name it.
    #[must_use]
    pub fn shown<'a>(&self, path: &'a str) -> &'a str {
        path.get(self.hidden..).unwrap_or(path)
    }
}

impl Watches {
    /// Whether that connection has that watch.
    #[must_use]
    pub fn contains(&self, conn: ConnId, path: &str, token: &[u8]) -> bool {
        self.by_path
            .get(path)
            .is_some_and(|list| list.iter().any(|watch| watch.conn == conn && *watch.token == *token))
    }

    /// Number of watches of a connection.
    #[must_use]
    pub fn count(&self, conn: ConnId) -> usize {
        self.by_conn.get(&conn).map_or(0, BTreeSet::len)
    }

    /// Sets a watch. Nothing happens if it is set already.
    pub fn add(&mut self, path: &WatchPath, watch: Watch) {
        let entry = (path.clone(), watch.token.clone());
        if self.by_conn.entry(watch.conn).or_default().insert(entry) {
            self.by_path.entry(path.clone()).or_default().push(watch);
        }
    }

    /// Takes a watch away.
    pub fn remove(&mut self, conn: ConnId, path: &WatchPath, token: &Rc<[u8]>) {
        if let Some(own) = self.by_conn.get_mut(&conn) {
            own.remove(&(path.clone(), token.clone()));
            if own.is_empty() {
                self.by_conn.remove(&conn);
            }
        }
        self.unlist(conn, path, token);
    }

    /// Takes all watches of a connection away.
    pub fn remove_all(&mut self, conn: ConnId) {
        for (path, token) in self.by_conn.remove(&conn).unwrap_or_default() {
            self.unlist(conn, &path, &token);
        }
    }

    fn unlist(&mut self, conn: ConnId, path: &WatchPath, token: &Rc<[u8]>) {
        if let Some(list) = self.by_path.get_mut(path) {
            list.retain(|watch| watch.conn != conn || watch.token != *token);
            if list.is_empty() {
                self.by_path.remove(path);
            }
        }
    }

    /// The watches that an event at `path` matches: those of the path itself and of everything above it.
    pub fn at_or_above<'a>(&'a self, path: &'a str) -> impl Iterator<Item = (&'a WatchPath, &'a Watch)> {
        let ends = path.match_indices('/').map(|(at, _)| at).filter(|&at| at > 0).chain([path.len()]);
        let above = ends.map(move |end| &path[..end]).filter(|above| *above != "/");
        let root = path.starts_with('/').then_some("/");
        root.into_iter().chain(above).flat_map(|path| {
            let found = self.by_path.get_key_value(path);
            found.into_iter().flat_map(|(path, list)| list.iter().map(move |watch| (path, watch)))
        })
    }

    /// The watches strictly below `path`.
    pub fn below(&self, path: &str) -> impl Iterator<Item = (&WatchPath, &Watch)> + use<'_> {
        let start = if path == "/" { path.to_owned() } else { format!("{path}/") };
        self.by_path
            .range::<str, _>((Bound::Excluded(&*start), Bound::Unbounded))
            .take_while(move |(at, _)| at.starts_with(&start))
            .flat_map(|(path, list)| list.iter().map(move |watch| (path, watch)))
    }

    /// Every watch.
    pub fn iter(&self) -> impl Iterator<Item = (&WatchPath, &Watch)> {
        self.by_path.iter().flat_map(|(path, list)| list.iter().map(move |watch| (path, watch)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::xenstore::ids::DomId;

    fn table(paths: &[&str]) -> Watches {
        let mut watches = Watches::default();
        for path in paths {
            let watch = Watch { conn: ConnId::Domain(DomId(1)), token: Rc::from(&b"t"[..]), hidden: 0 };
            watches.add(&Rc::from(*path), watch);
        }
        watches
    }

    fn names<'a>(found: impl Iterator<Item = (&'a WatchPath, &'a Watch)>) -> Vec<&'a str> {
        found.map(|(path, _)| &**path).collect()
    }

    #[test]
    fn matching() {
        let watches = table(&["/", "/a", "/a-b", "/a/b", "/a/b/c", "/a0", "@releaseDomain"]);
        assert_eq!(names(watches.at_or_above("/a/b")), ["/", "/a", "/a/b"]);
        assert_eq!(names(watches.at_or_above("/")), ["/"]);
        assert_eq!(names(watches.at_or_above("@releaseDomain")), ["@releaseDomain"]);
        assert_eq!(names(watches.below("/a")), ["/a/b", "/a/b/c"]);
        assert_eq!(names(watches.below("/a/b")), ["/a/b/c"]);
    }

    #[test]
    fn removal_keeps_both_sides_equal() {
        let mut watches = table(&["/a", "/b"]);
        let (conn, token): (_, Rc<[u8]>) = (ConnId::Domain(DomId(1)), Rc::from(&b"t"[..]));
        watches.add(&Rc::from("/a"), Watch { conn, token: token.clone(), hidden: 0 });
        assert_eq!((watches.count(conn), watches.iter().count()), (2, 2), "the same watch once only");
        watches.remove(conn, &Rc::from("/a"), &token);
        assert!(!watches.contains(conn, "/a", &token) && watches.contains(conn, "/b", &token));
        watches.remove_all(conn);
        assert_eq!((watches.count(conn), watches.iter().count()), (0, 0));
    }
}
