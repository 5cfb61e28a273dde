//! Which of the machine's memory domain 0 gets.
//!
//! From the bottom up, since its kernel is linked to low addresses and its devices may reach no others; Tenon and the
//! guests take from the top. Low memory (below 1 MiB) goes along, less what the firmware and the CPU starter need.

use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use tenon_core::dom0_map::Span;
use tenon_core::domain::Domain;
use tenon_core::frame::{Gfn, Mfn, PAGE_SHIFT, PAGE_SIZE};
use tenon_core::frames::{FrameKind, FrameRef, Frames};
use tenon_core::ids::DomId;
use tenon_core::machine::Machine;
use tenon_core::memory_map::Kind;
use tenon_core::p2m::{Format, Level};

use crate::boot::BootInfo;
use crate::host::{self, Backend, Host};

/// Left for Tenon and its first guests if `dom0_mem=` says nothing: a sixteenth, at least this many frames (128 MiB).
const RESERVE_FRAMES: u64 = 32 << 10;
/// The first page holds the BIOS data area.
const FIRST_LOW_FRAME: u64 = 1;
const LOW_END: u64 = 0x100;

/// The memory claimed for domain 0.
pub struct Memory {
    /// Runs of frames: start and log2 of the length, ascending.
    runs: Vec<(Mfn, u32)>,
    /// Where its ACPI tables go: the end of one of the runs.
    pub acpi: Span,
}

impl Memory {
    /// Claims the memory. `acpi_bytes` of it are set apart.
    pub fn claim<B: Backend>(machine: Host<B>, info: &BootInfo, acpi_bytes: u64) -> Result<Self, String> {
        free_low_memory(info);
        let table = machine.table();
        let free = table.free_frames();
        let usual = free - (free / 16).max(RESERVE_FRAMES).min(free / 2);
        let wanted = info.options.dom0_mem.resolve(free << PAGE_SHIFT, usual << PAGE_SHIFT) >> PAGE_SHIFT;
        if wanted > free {
            return Err(format!("dom0_mem= asks for {} MiB and {} MiB are free", wanted >> 8, free >> 8));
        }
        let mut memory = Self { runs: Vec::new(), acpi: Span { start: 0, end: 0 } };
        let orders = [machine.p2m_format().max_leaf(), Level::MEGA, Level::PAGE].map(Level::order);
        let mut left = wanted;
        for range in info.firmware_map.of_kind(Kind::Ram) {
            let mut at = range.start.0.div_ceil(PAGE_SIZE as u64);
            let end = range.end.0 >> PAGE_SHIFT;
            while at < end && left > 0 {
                let fits = |order: &u32| {
                    let frames = 1 << order;
                    Mfn(at).is_aligned(*order) && at + frames <= end && left >= frames
                };
                // A run that is in use in part comes in smaller ones.
                let taken =
                    orders.into_iter().filter(fits).find(|o| memory.take(machine, Mfn(at), *o, wanted));
                left -= taken.map_or(0, |order| 1 << order);
                at += 1 << taken.unwrap_or(0);
            }
        }
        memory.acpi = memory.place_acpi(acpi_bytes)?;
        Ok(memory)
    }

    fn take<B: Backend>(&mut self, machine: Host<B>, mfn: Mfn, order: u32, max: u64) -> bool {
        let max = max.min(u64::from(u32::MAX)) as u32;
        let taken = FrameRef::claim_ram_run(machine, DomId::ZERO, mfn, order, max).is_ok();
        if taken {
            self.runs.push((mfn, order));
        }
        taken
    }

    /// The end of the first large run above 16 MiB: out of the way of the kernel, below 4 GiB.
    fn place_acpi(&self, bytes: u64) -> Result<Span, String> {
        let len = bytes.next_multiple_of(PAGE_SIZE as u64);
        let spans = self.spans();
        let fits = |s: &&Span| s.end <= 1 << 32 && s.start >= 1 << 20 && s.end - s.start > len + (1 << 20);
        let span = spans.iter().rev().find(fits);
        let span = span.ok_or("domain 0's memory has no room for its ACPI tables below 4 GiB")?;
        Ok(Span { start: span.end - len, end: span.end })
    }

    /// Frames claimed.
    pub fn frames(&self) -> u64 {
        self.runs.iter().map(|(_, order)| 1u64 << order).sum()
    }

    /// The memory as address ranges, adjacent runs merged.
    pub fn spans(&self) -> Vec<Span> {
        let mut spans: Vec<Span> = Vec::new();
        for (mfn, order) in &self.runs {
            let start = mfn.addr().0;
            let end = start + ((PAGE_SIZE as u64) << order);
            match spans.last_mut() {
                Some(last) if last.end == start => last.end = end,
                _ => spans.push(Span { start, end }),
            }
        }
        spans
    }

    /// Maps it into the domain, guest frame equal to machine frame.
    pub fn give<B: Backend>(&self, domain: &Arc<Domain<Host<B>>>) -> Result<(), String> {
        for (mfn, order) in &self.runs {
            domain
                .memory
                .map_run(Gfn(mfn.0), *mfn, *order, || ())
                .map_err(|error| format!("mapping its memory: {error}"))?;
        }
        Ok(())
    }
}

/// Gives the frame table what is usable below 1 MiB, which it was not given at boot.
fn free_low_memory(info: &BootInfo) {
    let table = host::frames();
    let trampoline = info.trampoline.map_or(0, |page| page.0);
    for range in info.usage_map.of_kind(Kind::LowMemory) {
        let frames = range.start.0.div_ceil(PAGE_SIZE as u64)..range.end.0 >> PAGE_SHIFT;
        for frame in frames {
            let usable = (FIRST_LOW_FRAME..LOW_END).contains(&frame) && frame != trampoline;
            if usable && table.kind(Mfn(frame)) == Some(FrameKind::Reserved) {
                table.add_free(Mfn(frame), 1);
            }
        }
    }
}
