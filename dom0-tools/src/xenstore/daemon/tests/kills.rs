//! The daemon is killed between any two of its effects, again and again, while two guests talk to it. Each guest
//! must get each reply exactly once, whole, in order and right, and hear of every change.

use super::guest::Guest;
use super::rings::introduced;
use crate::xenstore::wire::Kind;
use proptest::prelude::*;
use std::collections::VecDeque;

/// What the writer does next.
#[derive(Clone, Debug)]
enum Act {
    Write { len: usize },
    Read,
    Transaction { len: usize },
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        (0usize..1900).prop_map(|len| Act::Write { len }),
        Just(Act::Read),
        (0usize..1500).prop_map(|len| Act::Transaction { len }),
    ]
}

#[derive(Clone, Debug)]
struct Turn {
    writer: usize,
    reader: usize,
    /// Effects until the next kill.
    fuse: u64,
}

fn turn() -> impl Strategy<Value = Turn> {
    (1usize..1500, 1usize..1500, 1u64..60).prop_map(|(writer, reader, fuse)| Turn { writer, reader, fuse })
}

/// What a reply has to be.
#[derive(Debug)]
enum Expected {
    Ok(Kind),
    Value(Vec<u8>),
    /// The number of a transaction in which a value is to be written.
    Begun(Vec<u8>),
    /// A commit: done, or to be done again.
    Committed(Vec<u8>),
}

struct Writer {
    guest: Guest,
    expected: VecDeque<(u32, Expected)>,
    value: Vec<u8>,
    counter: u8,
}

impl Writer {
    fn fresh(&mut self, len: usize) -> Vec<u8> {
        self.counter = self.counter.wrapping_add(1);
        vec![self.counter; len]
    }

    fn expect(&mut self, number: u32, expected: Expected) {
        self.expected.push_back((number, expected));
    }

    fn write(&mut self, tx: u32, value: &[u8]) {
        let number = self.guest.ask(Kind::Write, tx, &[b"data/k\0", value].concat());
        self.expect(number, Expected::Ok(Kind::Write));
    }

    fn start(&mut self, act: &Act) {
        match act {
            Act::Write { len } => {
                let value = self.fresh(*len);
                self.write(0, &value);
                self.value = value;
            }
            Act::Read => {
                let number = self.guest.ask(Kind::Read, 0, b"data/k\0");
                self.expect(number, Expected::Value(self.value.clone()));
            }
            Act::Transaction { len } => {
                let value = self.fresh(*len);
                self.begin(value);
            }
        }
    }

    fn begin(&mut self, value: Vec<u8>) {
        let number = self.guest.ask(Kind::TransactionStart, 0, b"\0");
        self.expect(number, Expected::Begun(value));
    }

    /// Takes what has arrived, and goes on with what is begun.
    fn take(&mut self) {
        while let Some((kind, number, payload)) = self.guest.receive() {
            let (expected_number, expected) = self.expected.pop_front().expect("a reply nobody asked for");
            assert_eq!(number, expected_number, "{expected:?}");
            match expected {
                Expected::Ok(expected) => assert_eq!((kind, &*payload), (expected as u32, &b"OK\0"[..])),
                Expected::Value(value) => assert_eq!((kind, payload), (Kind::Read as u32, value)),
                Expected::Begun(value) => {
                    assert_eq!(kind, Kind::TransactionStart as u32);
                    let tx = std::str::from_utf8(&payload).unwrap().trim_end_matches('\0').parse().unwrap();
                    self.write(tx, &value);
                    let number = self.guest.ask(Kind::Read, tx, b"data/k\0");
                    self.expect(number, Expected::Value(value.clone()));
                    let number = self.guest.ask(Kind::TransactionEnd, tx, b"T\0");
                    self.expect(number, Expected::Committed(value));
                }
                Expected::Committed(value) if kind == Kind::TransactionEnd as u32 => self.value = value,
                Expected::Committed(value) => {
                    assert_eq!(payload, b"EAGAIN\0");
                    self.begin(value);
                }
            }
        }
    }
}

/// A guest that watches the writer and reads whenever it hears of a change.
struct Reader {
    guest: Guest,
    last: Option<Vec<u8>>,
    waiting: VecDeque<u32>,
}

impl Reader {
    fn take(&mut self) {
        while let Some((kind, number, payload)) = self.guest.receive() {
            if kind == Kind::WatchEvent as u32 {
                assert!(payload.starts_with(b"/local/domain/1/data") && payload.ends_with(b"\0t\0"));
                self.waiting.push_back(self.guest.ask(Kind::Read, 0, b"/local/domain/1/data/k\0"));
            } else {
                assert_eq!(Some(number), self.waiting.pop_front());
                self.last = (kind == Kind::Read as u32).then_some(payload);
            }
        }
    }
}

fn run(acts: &[Act], turns: &[Turn]) {
    let (world, mut daemon) = introduced();
    let mut reader = Reader { guest: Guest::new(&world, 2), last: None, waiting: VecDeque::new() };
    reader.guest.ask(Kind::Watch, 0, b"/local/domain/1/data\0t\0");
    reader.guest.talk(&world, &mut daemon);
    let guest = Guest::new(&world, 1);
    let mut writer = Writer { guest, expected: VecDeque::new(), value: Vec::new(), counter: 0 };
    writer.write(0, b"");
    let mut acts = acts.iter();
    let mut turns = turns.iter();
    for round in 0..3000 {
        let turn = turns.next();
        world.fuse.set(turn.map(|turn| turn.fuse));
        let (most_written, most_read) = turn.map_or((1024, 1024), |turn| (turn.writer, turn.reader));
        writer.guest.work(most_written);
        reader.guest.work(most_read);
        world.settle(&mut daemon);
        if world.fuse.is_burnt() {
            drop(daemon);
            world.fuse.set(None);
            daemon = world.daemon();
        }
        writer.take();
        reader.take();
        if writer.expected.is_empty() {
            match acts.next() {
                Some(act) => writer.start(act),
                None if round > 200 && reader.waiting.is_empty() && turn.is_none() => break,
                None => {}
            }
        }
    }
    assert!(acts.next().is_none() && writer.expected.is_empty(), "all is answered: {:?}", writer.expected);
    assert_eq!(reader.last.as_deref(), Some(&*writer.value), "the last change was heard of");
    assert!(daemon.state().tree.is_consistent());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn every_reply_once(
        acts in proptest::collection::vec(act(), 1..20),
        turns in proptest::collection::vec(turn(), 1..150),
    ) {
        run(&acts, &turns);
    }
}
