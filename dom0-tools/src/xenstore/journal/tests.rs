use super::*;
use crate::xenstore::ids::{ConnId, DomId};
use crate::xenstore::path::Path as Node;
use crate::xenstore::perms::Perms;
use crate::xenstore::tree::NodeOp;
use proptest::prelude::*;
use std::rc::Rc;

fn write(name: u8, value: &[u8]) -> Change {
    Change::Node(NodeOp::Set {
        path: Node::root().child(&format!("n{name}")),
        value: Rc::from(value),
        perms: Rc::new(Perms::private(DomId(0))),
    })
}

fn open(directory: &Path) -> (Journal, State, Recovery) {
    Journal::open(directory, Duration::ZERO).unwrap()
}

#[test]
fn what_is_appended_is_there() {
    let directory = tempfile::tempdir().unwrap();
    let (mut journal, mut state, recovery) = open(directory.path());
    assert!(recovery.is_new);
    let socket = ConnId::Socket(1);
    let batch = [
        write(1, b"a"),
        Change::Connect { conn: socket, link: None },
        Change::Connect { conn: ConnId::Domain(DomId(4)), link: None },
    ];
    journal.append(&batch).unwrap();
    batch.iter().for_each(|change| state.apply(change));
    assert!(matches!(Journal::open(directory.path(), Duration::ZERO), Err(JournalError::Locked(_, pid))
        if pid == std::process::id().to_string()));
    drop(journal);
    let (_, again, recovery) = open(directory.path());
    assert!(!recovery.is_new && recovery.torn == 0);
    assert!(!again.conns.contains_key(&socket));
    assert_eq!(again.snapshot()[1..], state.snapshot()[1..]);
}

#[test]
fn a_rewritten_file_is_small() {
    let directory = tempfile::tempdir().unwrap();
    let (mut journal, mut state, _) = open(directory.path());
    while !journal.is_bloated() {
        let change = write(1, &[7; 4000]);
        journal.append(std::slice::from_ref(&change)).unwrap();
        state.apply(&change);
    }
    journal.rewrite(&state).unwrap();
    assert!(journal.len < 10_000 && !journal.is_bloated());
    journal.append(&[write(2, b"after")]).unwrap();
    drop(journal);
    let (_, again, _) = open(directory.path());
    assert_eq!(*again.tree.get(&Node::root().child("n1")).unwrap().value, [7; 4000]);
    assert_eq!(*again.tree.get(&Node::root().child("n2")).unwrap().value, *b"after");
}

#[test]
fn another_files_bytes_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("journal"), "not ours").unwrap();
    let refused = Journal::open(directory.path(), Duration::ZERO);
    assert!(matches!(refused, Err(JournalError::Foreign(_))));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Wherever the file ends, the batches before that place are there, each whole or not at all.
    #[test]
    fn torn_at_any_byte(batches in proptest::collection::vec(1u8..5, 1..8), cut in any::<proptest::sample::Index>()) {
        let directory = tempfile::tempdir().unwrap();
        let (mut journal, _, _) = open(directory.path());
        let mut ends = vec![journal.len];
        for (value, count) in batches.iter().enumerate() {
            let batch: Vec<_> = (0..*count).map(|name| write(name, &[value as u8])).collect();
            journal.append(&batch).unwrap();
            ends.push(journal.len);
        }
        drop(journal);
        let path = directory.path().join("journal");
        let bytes = fs::read(&path).unwrap();
        let start = ends[0] as usize;
        let cut = start + cut.index(bytes.len() - start + 1);
        fs::write(&path, &bytes[..cut]).unwrap();

        let (_, state, recovery) = open(directory.path());
        let whole = ends.iter().filter(|end| **end <= cut as u64).count() - 1;
        prop_assert_eq!(recovery.torn as u64, cut as u64 - ends[whole]);
        let mut expected = State::default();
        for (value, count) in batches[..whole].iter().enumerate() {
            (0..*count).for_each(|name| expected.apply(&write(name, &[value as u8])));
        }
        prop_assert_eq!(&state.snapshot()[1..], &expected.snapshot()[1..]);
    }
}
