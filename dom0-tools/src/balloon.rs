//! How much memory a domain has: its kernel is asked to give some back or to take some, and watched while it does.
//!
//! Domain 0 is asked through its own kernel, with no daemon; guests are asked through xenstore.

use std::fmt;
use std::fs;
use std::io;
use std::time::{Duration, Instant};

use clap::ValueEnum;

use crate::xen::error::XenError;
use crate::xen::hypercall::Xen;
use crate::xs_client::{SOCKET, StoreError, Tx, with_daemon};

/// Domain 0 is never asked to have less, MiB: its kernel needs some of it for the others' devices.
pub const DOM0_LEAST_MIB: u64 = 256;
/// A kernel's count of its memory and the hypervisor's differ by pages that only one of them counts.
const SLACK_PAGES: u64 = 4 << 8;
/// What the hypervisor may need for itself to run one more domain, pages.
const OVERHEAD_PAGES: u64 = 2 << 8;
/// How often it is looked at whether a kernel has done what it was asked.
const LOOK: Duration = Duration::from_millis(50);
/// A kernel that changes nothing for so long is done with what it can do.
const STUCK: Duration = Duration::from_secs(15);
/// Where domain 0's kernel has its balloon.
const DOM0_BALLOON: &str = "/sys/devices/system/xen_memory/xen_memory0";

/// Whether domain 0 shrinks to make room for a guest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Autoballoon {
    /// Unless its size was chosen, by `dom0_mem=` on the hypervisor's command line.
    #[default]
    Auto,
    /// Yes.
    On,
    /// No.
    Off,
}

/// Why a kernel was not asked.
#[derive(Debug)]
pub enum AskError {
    /// Domain 0's kernel has no balloon, or does not let us.
    Balloon(io::Error),
    /// The hypervisor refused.
    Xen(XenError),
    /// xenstored refused.
    Store(StoreError),
    /// There is no xenstore daemon.
    NoStore,
}

impl fmt::Display for AskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Balloon(e) => write!(f, "{DOM0_BALLOON}: {e}"),
            Self::Xen(e) => e.fmt(f),
            Self::Store(e) => e.fmt(f),
            Self::NoStore => {
                write!(f, "no xenstore daemon answers at {SOCKET}, and guests are asked through it")
            }
        }
    }
}

impl std::error::Error for AskError {}

impl From<XenError> for AskError {
    fn from(e: XenError) -> Self {
        Self::Xen(e)
    }
}

/// Pages that a domain has; `None` if it is gone.
fn pages(xen: &Xen, domain: u16) -> Result<Option<u64>, XenError> {
    Ok(xen.domains()?.into_iter().find(|info| info.id == domain).map(|info| info.pages))
}

/// Asks a domain's kernel to have so much memory.
///
/// # Errors
/// [`AskError`].
pub fn ask(xen: &Xen, domain: u16, wanted_pages: u64) -> Result<(), AskError> {
    let wanted = wanted_pages * 4;
    if domain != 0 {
        let path = format!("/local/domain/{domain}/memory/target");
        let told = with_daemon(|client| client.write(Tx::NONE, &path, &wanted.to_string()));
        return told.map_err(AskError::Store)?.ok_or(AskError::NoStore);
    }
    // The kernel counts otherwise than the hypervisor, by as much as it says to have more or less now.
    let current = fs::read_to_string(format!("{DOM0_BALLOON}/info/current_kb")).map_err(AskError::Balloon)?;
    let current: u64 = current.trim().parse().unwrap_or_default();
    let counted = pages(xen, 0)?.unwrap_or_default() * 4;
    let target = (wanted + current).saturating_sub(counted);
    fs::write(format!("{DOM0_BALLOON}/target_kb"), target.to_string()).map_err(AskError::Balloon)
}

/// Waits until `done` is true of the pages that a domain has and those that are free, at most for `timeout`, and no
/// longer than the domain's memory changes. Returns the domain's pages then, and whether it is so.
///
/// # Errors
/// As the hypervisor says.
pub fn settle(
    xen: &Xen,
    domain: u16,
    timeout: Option<Duration>,
    done: impl Fn(u64, u64) -> bool,
) -> Result<(u64, bool), XenError> {
    let start = Instant::now();
    let (mut last, mut changed) = (None, start);
    loop {
        let now = pages(xen, domain)?;
        let has = now.unwrap_or_default();
        let is_done = now.is_some() && done(has, xen.free_pages()?);
        if last != Some(has) {
            (last, changed) = (Some(has), Instant::now());
        }
        let late = timeout.is_some_and(|timeout| start.elapsed() >= timeout) || changed.elapsed() >= STUCK;
        if is_done || late || now.is_none() {
            return Ok((has, is_done));
        }
        std::thread::sleep(LOOK);
    }
}

/// Whether so many pages are as good as those that were asked for.
#[must_use]
pub fn is_about(has: u64, wanted: u64) -> bool {
    has.abs_diff(wanted) <= SLACK_PAGES
}

/// Has domain 0 shrink, if it may, so that `wanted` pages are free. Says why there are not, if so.
///
/// # Errors
/// As the hypervisor says.
pub fn make_room(xen: &Xen, wanted: u64, how: Autoballoon) -> Result<Option<String>, XenError> {
    let free = xen.free_pages()?;
    if free >= wanted {
        return Ok(None);
    }
    let chosen = |line: &str| line.split_whitespace().any(|word| word.starts_with("dom0_mem="));
    match how {
        Autoballoon::Off => return Ok(Some("domain 0 does not shrink (--autoballoon off)".into())),
        Autoballoon::Auto if chosen(&xen.version()?.command_line) => {
            return Ok(Some("domain 0 does not shrink, for its size was chosen (dom0_mem=)".into()));
        }
        Autoballoon::Auto | Autoballoon::On => {}
    }
    let has = pages(xen, 0)?.unwrap_or_default();
    // What the hypervisor and a new domain's page tables need comes on top.
    let room = wanted + wanted / 512 + OVERHEAD_PAGES;
    let target = has.saturating_sub(room.saturating_sub(free));
    if target < DOM0_LEAST_MIB << 8 {
        let why = format!("domain 0 has {} MiB and never shrinks below {DOM0_LEAST_MIB}", has >> 8);
        return Ok(Some(why));
    }
    if let Err(e) = ask(xen, 0, target) {
        return Ok(Some(format!("domain 0 does not shrink: {e}")));
    }
    let (has, is_done) = settle(xen, 0, None, |_, free| free >= room)?;
    Ok((!is_done).then(|| format!("domain 0 has shrunk to {} MiB and gives no more back", has >> 8)))
}
