//! The checks that need no machine: format, lints, documentation, and the tests that run on the host.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;

use anyhow::{Context, Result, anyhow, bail};
use machine_tests::runner::Summary;

use crate::fuzz;
use crate::packages::{self, Need};
use crate::step;
use crate::toolchain::{self, BARE};
use crate::workspace::Workspace;

/// One check and its name for `--only`.
pub struct Check {
    pub name: &'static str,
    pub run: fn(&Workspace) -> Result<Summary>,
    /// For `--full` only.
    pub long: bool,
}

/// Every check, the quick ones first.
pub const ALL: [Check; 9] = [
    Check { name: "fmt", run: fmt, long: false },
    Check { name: "clippy-host", run: clippy_host, long: false },
    Check { name: "clippy-bare", run: clippy_bare, long: false },
    Check { name: "doc", run: doc, long: false },
    Check { name: "host-tests", run: host_tests, long: false },
    Check { name: "abi-headers", run: abi_headers, long: false },
    Check { name: "loom", run: loom, long: false },
    Check { name: "miri", run: miri, long: false },
    Check { name: "fuzz", run: fuzz::short_round, long: true },
];

/// Crates that exist for bare metal only.
const BARE_CRATES: [(&str, &str); 2] =
    [("tenon-kernel", "hypervisor/kernel"), ("test-guests", "tests/guests")];

/// A check without tests inside counts as one.
const ONE: Summary = Summary { passed: 1, failed: 0 };

fn fmt(ws: &Workspace) -> Result<Summary> {
    step::run(cargo(ws).args(["fmt", "--all", "--check"]))?;
    step::run(cargo(ws).args(["fmt", "--manifest-path", "fuzz/Cargo.toml", "--check"]))?;
    Ok(ONE)
}

fn clippy_host(ws: &Workspace) -> Result<Summary> {
    step::run(cargo(ws).args(["clippy", "--all-targets", "--", "-D", "warnings"]))?;
    Ok(ONE)
}

fn clippy_bare(ws: &Workspace) -> Result<Summary> {
    toolchain::ensure(&[BARE], &["clippy"])?;
    for (package, path) in BARE_CRATES {
        if ws.root.join(path).join("Cargo.toml").exists() {
            step::run(cargo(ws).args(["clippy", "-p", package, "--target", BARE, "--", "-D", "warnings"]))?;
        }
    }
    Ok(ONE)
}

fn doc(ws: &Workspace) -> Result<Summary> {
    step::run(cargo(ws).args(["doc", "--no-deps"]).env("RUSTDOCFLAGS", "-D warnings"))?;
    let kernel = ["doc", "--no-deps", "-p", "tenon-kernel", "--target", BARE, "--document-private-items"];
    step::run(cargo(ws).args(kernel).env("RUSTDOCFLAGS", "-D warnings"))?;
    Ok(ONE)
}

fn host_tests(ws: &Workspace) -> Result<Summary> {
    // Comparisons with the headers and with Debian's clients are among them.
    packages::ensure(&[Need::AbiHeaders, Need::XenstoreClients, Need::DiskImages])?;
    counted(cargo(ws).args(["test", "--no-fail-fast"]))
}

/// The header comparison by itself, which says so if it has compared nothing.
fn abi_headers(ws: &Workspace) -> Result<Summary> {
    packages::ensure(&[Need::AbiHeaders])?;
    let summary = counted(cargo(ws).args(["test", "-p", "hypercall-abi", "--test", "headers"]))?;
    if summary.passed == 0 {
        bail!("no test compared anything");
    }
    Ok(summary)
}

/// The models of what happens at once, in modules that are called `loom_tests`: with loom's locks, no other test runs.
fn loom(ws: &Workspace) -> Result<Summary> {
    if !mentions(&ws.root.join("hypervisor/core/src"), "loom::")? {
        return Ok(Summary::default());
    }
    let mut cargo = cargo(ws);
    cargo.args(["test", "-p", "tenon-core", "--lib", "--release", "loom_tests"]);
    cargo.env("RUSTFLAGS", "--cfg loom").env("CARGO_TARGET_DIR", ws.target.join("loom"));
    counted(&mut cargo)
}

/// The core and the interface's types under Miri, in two processes at a time: a process uses one CPU. Property tests run few
/// cases: what counts here is undefined behaviour, and the host tests look at the rest.
///
/// The core has no unsafe code, so nothing in it can break the rules of borrowing, which Miri checks at great cost. Its test
/// machines are never freed. Its hypercall tests, with whole domains, would take an hour, and use no memory in other ways.
fn miri(ws: &Workspace) -> Result<Summary> {
    const CORE: &str = "-Zmiri-disable-stacked-borrows -Zmiri-ignore-leaks";
    const TABLES: [&str; 2] = ["evtchn::", "gnttab::"];
    let run = |package, flags, filter: &[&str]| {
        let mut cargo = toolchain::nightly_cargo(&["miri", "rust-src"])?;
        cargo.current_dir(&ws.root).args(["miri", "test", "-p", package, "--lib", "--"]).args(filter);
        cargo.env("MIRIFLAGS", format!("-Zmiri-disable-isolation {flags}")).env("PROPTEST_CASES", "2");
        cargo.env("CARGO_TARGET_DIR", ws.target.join("miri"));
        counted(&mut cargo)
    };
    let mut sum = run("hypercall-abi", "", &[])?;
    let (tables, rest) = thread::scope(|scope| {
        let tables = scope.spawn(|| run("tenon-core", CORE, &TABLES));
        // What makes whole domains, or simulates machines for seconds, is too slow.
        let skipped = [TABLES[0], TABLES[1], "hypercall::", "sched::tests::", "trace::tests::"];
        let filter: Vec<_> = skipped.iter().flat_map(|name| ["--skip", name]).collect();
        let rest = run("tenon-core", CORE, &filter);
        (tables.join(), rest)
    });
    sum.add(tables.map_err(|_| anyhow!("the thread that ran Miri panicked"))??);
    sum.add(rest?);
    Ok(sum)
}

fn cargo(ws: &Workspace) -> Command {
    let mut cargo = toolchain::cargo();
    cargo.current_dir(&ws.root);
    cargo
}

/// Runs a test command, shows its output, and adds up the `test result:` lines.
fn counted(command: &mut Command) -> Result<Summary> {
    let mut child = command.stdout(Stdio::piped()).spawn().context("cannot start cargo")?;
    let mut summary = Summary::default();
    let output = child.stdout.take().context("the output was asked for")?;
    for line in BufReader::new(output).lines() {
        let line = line?;
        if let Some(result) = line.strip_prefix("test result: ") {
            summary.passed += number_before(result, " passed");
            summary.failed += number_before(result, " failed");
        }
        println!("{line}");
    }
    let status = child.wait()?;
    if !status.success() && summary.failed == 0 {
        bail!("cargo failed ({status})");
    }
    Ok(summary)
}

fn number_before(text: &str, word: &str) -> usize {
    let Some((before, _)) = text.split_once(word) else { return 0 };
    before.rsplit(' ').next().and_then(|number| number.parse().ok()).unwrap_or(0)
}

/// Whether any file below `dir` contains `text`.
fn mentions(dir: &Path, text: &str) -> Result<bool> {
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        let found =
            if path.is_dir() { mentions(&path, text)? } else { fs::read_to_string(&path)?.contains(text) };
        if found {
            return Ok(true);
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::number_before;

    #[test]
    fn result_lines_are_counted() {
        let line = "FAILED. 12 passed; 3 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.01s";
        assert_eq!((number_before(line, " passed"), number_before(line, " failed")), (12, 3));
    }
}
