//! What the check of the order catches, and that it checks the order that is written down.

use core::panic::Location;
use std::cell::RefCell;
use std::format;
use std::panic;
use std::string::String;
use std::vec::Vec;

use super::order::{CLASSES, List};
use super::{Class, Lock, RwLock};
use crate::ids::DomId;

std::thread_local! {
    static LIST: RefCell<List> = const { RefCell::new([None; _]) };
}

/// In tests every thread is a CPU.
pub fn with_list<R>(f: impl FnOnce(&mut List) -> R) -> Option<R> {
    LIST.with(|list| Some(f(&mut *list.try_borrow_mut().ok()?)))
}

#[test]
fn the_documented_order_is_the_one_that_is_checked() {
    let page = include_str!("../../../../../docs/src/internals/locks.md");
    let table = page.split("\n\n").find(|part| part.starts_with("| Class |")).expect("the table");
    let names = table.lines().skip(2).filter_map(|row| row.split(['|', '`']).nth(2));
    assert_eq!(names.collect::<Vec<_>>(), CLASSES);
}

#[track_caller]
fn here() -> String {
    let here = Location::caller();
    format!("{}:{}:", here.file(), here.line())
}

/// What the panic of `f` says.
fn caught(f: impl FnOnce()) -> String {
    let panicked = panic::catch_unwind(panic::AssertUnwindSafe(f)).expect_err("a violation");
    *panicked.downcast().expect("a message")
}

#[test]
#[cfg(debug_assertions)]
#[rustfmt::skip]
fn a_violation_names_both_places_and_both_classes() {
    let (before, after) = (Lock::new(Class::P2m, ()), RwLock::new(Class::Heap, ()));
    let (mut first, mut second) = (String::new(), String::new());
    let said = caught(|| {
        let _held = { first = here(); after.read() };
        let _taken = { second = here(); before.lock() };
    });
    let (taken, held) = said.split_once(" under ").expect("two places");
    assert!(taken.starts_with(&format!("lock order: P2m at {second}")), "{said}");
    assert!(held.starts_with(&format!("Heap of {first}")), "{said}");
    // The unwinding has left nothing in the list.
    drop(before.lock());
}

#[test]
#[cfg(debug_assertions)]
fn locks_of_one_class_nest_only_in_the_order_of_what_it_carries() {
    let [one, two] = [1, 2].map(|id| Lock::new(Class::Events(DomId(id)), ()));
    {
        let _held = one.lock();
        let _taken = two.lock();
    }
    caught(|| {
        let _held = two.lock();
        let _taken = one.lock();
    });
    let [one, two] = [(); 2].map(|()| RwLock::new(Class::P2m, ()));
    caught(|| {
        let _held = one.read();
        let _taken = two.read();
    });
}

#[test]
fn the_right_order_passes_and_so_does_what_is_dropped_first() {
    let locks = [Class::Context, Class::Domains, Class::P2m].map(|class| Lock::new(class, ()));
    let first = locks[0].lock();
    let second = locks[1].lock();
    drop(first);
    let third = locks[2].lock();
    drop(second);
    drop(third);
    let _again = locks[0].lock();
    let _after = locks[1].lock();
}

#[test]
#[cfg(debug_assertions)]
fn a_try_may_come_in_any_order_but_counts() {
    let locks = [Class::Domains, Class::Queue, Class::Console].map(|class| Lock::new(class, ()));
    let queue = locks[1].lock();
    let domains = locks[0].try_lock().expect("nobody has it");
    assert!(locks[0].try_lock().is_none());
    drop(queue);
    drop(locks[2].lock());
    let stranger = Lock::new(Class::NextId, ());
    assert!(caught(|| drop(stranger.lock())).contains("under Domains of"));
    drop(domains);
    drop(stranger.lock());
}

#[test]
fn a_lock_may_stand_elsewhere() {
    let context = Lock::new(Class::StoppedContext, ());
    let teardown = Lock::new(Class::Teardown, ());
    let _running = context.lock_as(Class::Context);
    let _held = teardown.lock();
}
