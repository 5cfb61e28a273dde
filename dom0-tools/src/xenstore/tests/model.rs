//! Random requests of several clients against a model that is as simple as can be: a map from paths to values, and
//! a transaction that is a whole copy of it and fails if anything at all changed that it could have seen.

use super::world::{ROOT, World, guest};
use crate::xenstore::ids::ConnId;
use crate::xenstore::wire::Kind;
use proptest::prelude::*;
use std::collections::BTreeMap;

type Store = BTreeMap<String, String>;

#[derive(Clone, Debug)]
enum Step {
    Write { path: String, value: u8 },
    Mkdir { path: String },
    Remove { path: String },
    Read { path: String },
    List { path: String },
}

#[derive(Clone, Debug)]
enum Act {
    Plain(Step),
    Begin(usize),
    Within(usize, Step),
    End(usize, bool),
}

/// A transaction of the model.
struct Open {
    number: u32,
    store: Store,
    base: Store,
    seen: Vec<Step>,
    /// Whether it changed anything; if not, it counts as done when it began.
    writes: bool,
}

fn path() -> impl Strategy<Value = String> {
    proptest::collection::vec("[ab]", 1..4).prop_map(|names| format!("/t/{}", names.join("/")))
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (path(), any::<u8>()).prop_map(|(path, value)| Step::Write { path, value }),
        path().prop_map(|path| Step::Mkdir { path }),
        path().prop_map(|path| Step::Remove { path }),
        path().prop_map(|path| Step::Read { path }),
        path().prop_map(|path| Step::List { path }),
    ]
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        4 => step().prop_map(Act::Plain),
        2 => (0usize..3).prop_map(Act::Begin),
        6 => (0usize..3, step()).prop_map(|(slot, step)| Act::Within(slot, step)),
        2 => (0usize..3, any::<bool>()).prop_map(|(slot, commit)| Act::End(slot, commit)),
    ]
}

fn parent(path: &str) -> &str {
    &path[..path.rfind('/').unwrap()]
}

fn is_below(path: &str, above: &str) -> bool {
    path == above || path.strip_prefix(above).is_some_and(|rest| rest.starts_with('/'))
}

/// What the model answers: a payload or an error.
fn model(store: &mut Store, step: &Step) -> Result<String, &'static str> {
    match step {
        Step::Write { path, value } => {
            model(store, &Step::Mkdir { path: path.clone() })?;
            store.insert(path.clone(), value.to_string());
            Ok("OK\0".into())
        }
        Step::Mkdir { path } => {
            let mut at = path.as_str();
            while at.len() > 2 {
                store.entry(at.to_owned()).or_default();
                at = parent(at);
            }
            Ok("OK\0".into())
        }
        Step::Remove { path } => {
            let is_there = store.contains_key(path);
            if !is_there && !store.contains_key(parent(path)) {
                return Err("ENOENT\0");
            }
            store.retain(|other, _| !is_below(other, path));
            Ok("OK\0".into())
        }
        Step::Read { path } => store.get(path).cloned().ok_or("ENOENT\0"),
        Step::List { path } => {
            store.get(path).ok_or("ENOENT\0")?;
            let children = store.keys().filter(|other| parent(other) == path);
            Ok(children.map(|child| format!("{}\0", &child[path.len() + 1..])).collect())
        }
    }
}

/// Whether the step, if it succeeds, writes to the store.
fn changes(store: &Store, step: &Step) -> bool {
    match step {
        Step::Write { .. } => true,
        Step::Mkdir { path } => !store.contains_key(path),
        Step::Remove { path } => store.contains_key(path),
        Step::Read { .. } | Step::List { .. } => false,
    }
}

fn ask(world: &mut World, conn: ConnId, tx: u32, step: &Step) -> Result<String, String> {
    let (kind, payload) = match step {
        Step::Write { path, value } => (Kind::Write, format!("{path}\0{value}")),
        Step::Mkdir { path } => (Kind::Mkdir, format!("{path}\0")),
        Step::Remove { path } => (Kind::Rm, format!("{path}\0")),
        Step::Read { path } => (Kind::Read, format!("{path}\0")),
        Step::List { path } => (Kind::Directory, format!("{path}\0")),
    };
    let (answer, reply) = world.ask(conn, kind, tx, payload.as_bytes());
    let reply = String::from_utf8(reply).unwrap();
    if answer == Kind::Error { Err(reply) } else { Ok(reply) }
}

fn agree(real: Result<String, String>, expected: Result<String, &'static str>) {
    assert_eq!(real, expected.map_err(str::to_owned));
}

fn run(acts: &[Act]) {
    let mut world = World::new();
    world.write(ROOT, 0, "/t", "");
    let mut store = Store::from([("/t".to_owned(), String::new())]);
    let mut open: [Option<Open>; 3] = [None, None, None];
    for act in acts {
        match act {
            Act::Plain(step) => agree(ask(&mut world, ROOT, 0, step), model(&mut store, step)),
            Act::Begin(slot) if open[*slot].is_none() => {
                let number = world.begin(ROOT);
                let (store, base) = (store.clone(), store.clone());
                open[*slot] = Some(Open { number, store, base, seen: vec![], writes: false });
            }
            Act::Within(slot, step) => {
                let Some(open) = &mut open[*slot] else { continue };
                open.writes |= changes(&open.store, step);
                agree(ask(&mut world, ROOT, open.number, step), model(&mut open.store, step));
                open.seen.push(step.clone());
            }
            Act::End(slot, commit) => {
                let Some(open) = open[*slot].take() else { continue };
                let letter = if *commit { "T\0" } else { "F\0" };
                let (kind, reply) = world.ask(ROOT, Kind::TransactionEnd, open.number, letter.as_bytes());
                if kind == Kind::Error {
                    assert_eq!(reply, b"EAGAIN\0");
                    assert!(*commit && open.writes);
                } else if *commit {
                    // Serializable: the same steps, made now, say what they said then and end where they should.
                    if open.writes {
                        let (mut then, mut now) = (open.base.clone(), store.clone());
                        for step in &open.seen {
                            assert_eq!(model(&mut then, step), model(&mut now, step), "{step:?}");
                        }
                        store = now;
                    }
                }
            }
            Act::Begin(_) => {}
        }
    }
    let mut real = Store::new();
    world.state.tree.visit(|path, node| {
        if is_below(path.as_str(), "/t") {
            real.insert(path.to_string(), String::from_utf8(node.value.to_vec()).unwrap());
        }
    });
    assert_eq!(real, store);
    assert!(world.state.tree.is_consistent());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn clients_and_the_model_agree(acts in proptest::collection::vec(act(), 1..60)) {
        run(&acts);
    }

    #[test]
    fn any_payload_is_answered(
        requests in proptest::collection::vec((0u32..24, 0u32..3, any::<Vec<u8>>(), 0u16..4), 1..30),
    ) {
        let mut world = World::new();
        for (kind, tx, payload, who) in requests {
            let conn = if who == 0 { ROOT } else { guest(who) };
            let Some(kind) = crate::xenstore::wire::Kind::from_number(kind) else { continue };
            if world.state.conns.contains_key(&conn) {
                let _ = world.ask(conn, kind, tx, &payload);
            }
        }
    }
}
