//! Tracing for a while.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::xen::error::XenError;
use crate::xen::hypercall::Xen;
use crate::xen::trace::TraceBuffer;

/// Pages that each CPU's buffer is asked to have: 1 MiB. The hypervisor gives what it has room for.
const PAGES: u32 = 256;
/// How long events gather before they are taken. At a million a second and CPU, that is 300 KiB.
const PAUSE: Duration = Duration::from_millis(10);
/// A buffer that is fuller than that is looked at again at once.
const FULL: f32 = 0.2;

/// What came out of the buffers.
#[derive(Debug, Default)]
pub struct Recording {
    /// The words of each CPU's records.
    pub words: Vec<Vec<u32>>,
    /// CPU time that each domain used meanwhile, by the hypervisor's account, in nanoseconds.
    pub used: Vec<(u16, u64)>,
    /// How long "meanwhile" was, at least: the account begins after the trace, and ends before it.
    pub accounted: Duration,
}

/// Tracing is on as long as this lives.
struct On<'a>(&'a Xen);

impl Drop for On<'_> {
    fn drop(&mut self) {
        // If the hypervisor does not answer that, nobody can do anything.
        let _ = self.0.trace_off();
    }
}

/// Traces the events of `mask` for some time, or until `stop`.
///
/// # Errors
/// As the hypervisor says. Tracing is off afterwards in any case.
pub fn record(xen: &Xen, mask: u32, time: Duration, stop: &AtomicBool) -> Result<Recording, XenError> {
    let buffers = xen.trace_buffers(PAGES)?;
    let mut words = vec![Vec::new(); buffers.len()];
    // Somebody may have been killed before they could switch it off.
    xen.trace_off()?;
    buffers.iter().for_each(TraceBuffer::skip);
    xen.trace_events(mask)?;
    let on = On(xen);
    let start = Instant::now();
    xen.trace_on()?;
    let before = xen.domains()?;
    let account = Instant::now();
    while start.elapsed() < time && !stop.load(Ordering::Relaxed) {
        if drain(&buffers, &mut words)? < FULL {
            thread::sleep(PAUSE.min(time.saturating_sub(start.elapsed())));
        }
    }
    let accounted = account.elapsed();
    let after = xen.domains()?;
    drain(&buffers, &mut words)?;
    // Once more, so that every CPU tells whom it has run.
    xen.trace_on()?;
    thread::sleep(PAUSE);
    drain(&buffers, &mut words)?;
    drop(on);
    drain(&buffers, &mut words)?;
    let used = after.iter().map(|domain| {
        let earlier = before.iter().find(|other| other.id == domain.id).map_or(0, |other| other.cpu_time);
        (domain.id, domain.cpu_time.saturating_sub(earlier))
    });
    Ok(Recording { words, used: used.collect(), accounted })
}

/// Takes what is in the buffers; returns how full the fullest was.
fn drain(buffers: &[TraceBuffer], words: &mut [Vec<u32>]) -> Result<f32, XenError> {
    let mut fullest = 0.0_f32;
    for (buffer, words) in buffers.iter().zip(words) {
        fullest = fullest.max(buffer.take(words)?);
    }
    Ok(fullest)
}
