//! Running tests and saying how they went.
//!
//! Each test prints `ok NAME`, `skip NAME: reason` or `FAIL NAME: reason`; the last line is
//! `N passed, N failed`. Words of the command line after `only=` choose tests by parts of their names.
#![allow(unsafe_code, reason = "the call that ends the domain")]

use alloc::string::{String, ToString};
use core::fmt;

use hypercall_abi::sched;

use crate::{boot_info, call, cpu, say, trap};

/// Why a test did not pass. Not `Debug`, so that every error that is becomes a failure with `?`.
pub enum Verdict {
    Failed(String),
    /// There is nothing to test here.
    Skipped(String),
}

/// What a test returns.
pub type Outcome = Result<(), Verdict>;

impl<E: fmt::Debug> From<E> for Verdict {
    fn from(error: E) -> Self {
        Self::Failed(alloc::format!("{error:?}"))
    }
}

/// A test that does not apply.
pub fn skip(reason: &str) -> Outcome {
    Err(Verdict::Skipped(reason.to_string()))
}

/// A test and its name.
pub struct Test {
    pub name: &'static str,
    pub run: fn() -> Outcome,
}

/// Fails the test unless the condition holds.
#[macro_export]
macro_rules! check {
    ($condition:expr $(, $($arg:tt)+)?) => {
        if !$condition {
            let told = $crate::suite::told(&[$(&format_args!($($arg)+))?]);
            return Err($crate::suite::failed(file!(), line!(), format_args!("{}{told}", stringify!($condition))));
        }
    };
}

/// Fails the test unless both sides are equal.
#[macro_export]
macro_rules! check_eq {
    ($left:expr, $right:expr $(, $($arg:tt)+)?) => {{
        let (left, right) = (&$left, &$right);
        if *left != *right {
            let told = $crate::suite::told(&[$(&format_args!($($arg)+))?]);
            return Err($crate::suite::failed(
                file!(),
                line!(),
                format_args!("{} is {left:x?}, not {right:x?}{told}", stringify!($left)),
            ));
        }
    }};
}

/// What [`check!`] adds to its message.
#[must_use]
pub fn told(message: &[&dyn fmt::Display]) -> String {
    message.first().map_or(String::new(), |message| alloc::format!(": {message}"))
}

/// A failure and where it was found.
#[must_use]
pub fn failed(file: &str, line: u32, what: fmt::Arguments<'_>) -> Verdict {
    let file = file.rsplit('/').next().unwrap_or(file);
    Verdict::Failed(alloc::format!("{file}:{line}: {what}"))
}

/// Runs tests and ends the domain: by powering off if none failed, as crashed otherwise.
pub fn run(name: &str, tests: &[Test]) -> ! {
    let words = boot_info::command_line();
    say!("tests: {name}");
    let (mut passed, mut failed) = (0, 0);
    for test in tests.iter().filter(|test| chosen(test.name, &words)) {
        let outcome = trap::protect(test.run);
        cpu::cli();
        match outcome {
            Ok(Ok(())) => {
                passed += 1;
                say!("ok {}", test.name);
            }
            Ok(Err(Verdict::Skipped(reason))) => say!("skip {}: {reason}", test.name),
            Ok(Err(Verdict::Failed(reason))) | Err(reason) => {
                failed += 1;
                say!("FAIL {}: {reason}", test.name);
            }
        }
    }
    say!("{name}: {passed} passed, {failed} failed");
    shut_down(if failed == 0 { sched::SHUTDOWN_POWEROFF } else { sched::SHUTDOWN_CRASH })
}

fn chosen(name: &str, words: &str) -> bool {
    let mut only = words.split_whitespace().filter_map(|word| word.strip_prefix("only=")).peekable();
    only.peek().is_none() || only.any(|part| name.contains(part))
}

/// Ends the domain for a reason.
pub fn shut_down(reason: u32) -> ! {
    let mut shutdown = sched::Shutdown { reason };
    let refusal = call::sched(sched::OP_SHUTDOWN, &mut shutdown);
    say!("shutting down failed: {refusal:?}");
    cpu::stop()
}

/// Ends the domain as crashed.
pub fn crash() -> ! {
    shut_down(sched::SHUTDOWN_CRASH)
}

/// Gives up before anything could be tested.
pub fn die(reason: fmt::Arguments<'_>) -> ! {
    crate::console::last_line(format_args!("FAIL: {reason}"));
    cpu::stop()
}
