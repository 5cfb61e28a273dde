//! Clocks of known rate, to measure the TSC with: HPET, ACPI timer, PIT.
#![allow(unsafe_code, reason = "reads timers")]

use tenon_core::acpi::AddressSpace;
use tenon_core::size::Size;

use crate::acpi::acpi;
use crate::cpu::port::Port;
use crate::mm::mmio::Mmio;
use crate::mm::vmap::{self, Caching};

const FEMTOSECONDS: u64 = 1_000_000_000_000_000;
const PM_TIMER_HZ: u64 = 3_579_545;
const PIT_HZ: u64 = 1_193_182;

const HPET_CAPABILITIES: usize = 0x00;
const HPET_CONFIGURATION: usize = 0x10;
const HPET_COUNTER: usize = 0xf0;
/// The specification's limit: the clock is at least 10 MHz.
const HPET_PERIOD_MAX: u64 = 100_000_000;

const PIT_COMMAND: Port = Port(0x43);
const PIT_CHANNEL_2: Port = Port(0x42);
const PIT_GATE: Port = Port(0x61);

/// The part of a second that one measurement takes.
const FRACTION: u64 = 100;
const ROUNDS: usize = 3;
/// Reads of the reference per sample; the quickest one counts.
const ATTEMPTS: u32 = 8;
/// Samples after which a reference that does not move is given up.
const PATIENCE: u32 = 50_000_000;

enum Counter {
    Hpet(Mmio),
    PmTimer(Port),
    Pit,
}

/// A clock of known rate.
pub struct Reference {
    /// What it is called.
    pub name: &'static str,
    counter: Counter,
    hz: u64,
    /// The counter's bits.
    mask: u64,
}

impl Reference {
    /// The wanted clock, or else the best there is; every PC has the last.
    pub fn choose(wanted: Option<&str>) -> Self {
        let best = || Self::hpet().or_else(Self::pm_timer);
        match wanted {
            None => best(),
            Some("hpet") => Self::hpet(),
            Some("acpi") => Self::pm_timer(),
            Some("pit") => None,
            Some(other) => {
                log::warn!("clocksource={other}: not one of hpet, acpi, pit");
                best()
            }
        }
        .unwrap_or_else(Self::pit)
    }

    fn hpet() -> Option<Self> {
        // SAFETY: the HPET's registers, by the ACPI tables.
        let registers = unsafe { vmap::map_device(acpi().hpet?, 1024, Caching::Uncached) }.ok()?;
        let capabilities = registers.read64(HPET_CAPABILITIES);
        let period = capabilities >> 32;
        if period == 0 || period > HPET_PERIOD_MAX {
            return None;
        }
        // Running, without taking over the legacy interrupts.
        registers.write64(HPET_CONFIGURATION, registers.read64(HPET_CONFIGURATION) & !3 | 1);
        // The lower half is enough: it lasts for seconds, and reading it is one access on every machine.
        let (counter, hz) = (Counter::Hpet(registers), FEMTOSECONDS / period);
        Some(Self { name: "HPET", counter, hz, mask: 0xffff_ffff })
    }

    fn pm_timer() -> Option<Self> {
        let (register, wide) = acpi().fadt()?.pm_timer()?;
        if register.space != AddressSpace::Io {
            return None;
        }
        let counter = Counter::PmTimer(Port(u16::try_from(register.address).ok()?));
        let mask = if wide { 0xffff_ffff } else { 0xff_ffff };
        Some(Self { name: "ACPI timer", counter, hz: PM_TIMER_HZ, mask })
    }

    fn pit() -> Self {
        // SAFETY: channel 2 drives the speaker, which is switched off here; nobody else uses it during the boot.
        unsafe {
            let gate = PIT_GATE.read(Size::Byte);
            PIT_GATE.write(Size::Byte, gate & !2 | 1);
            // Channel 2, both bytes, rate generator, from the top.
            PIT_COMMAND.write(Size::Byte, 0xb4);
            PIT_CHANNEL_2.write(Size::Byte, 0);
            PIT_CHANNEL_2.write(Size::Byte, 0);
        }
        Self { name: "PIT", counter: Counter::Pit, hz: PIT_HZ, mask: 0xffff }
    }

    fn read(&self) -> u64 {
        match &self.counter {
            Counter::Hpet(registers) => u64::from(registers.read32(HPET_COUNTER)),
            // SAFETY: reading the timer changes nothing.
            Counter::PmTimer(port) => unsafe { u64::from(port.read(Size::Dword)) & self.mask },
            // SAFETY: the latch command and the two reads belong together; only the boot CPU does this.
            Counter::Pit => unsafe {
                PIT_COMMAND.write(Size::Byte, 0x80);
                let low = PIT_CHANNEL_2.read(Size::Byte);
                // The counter counts down.
                0xffff - u64::from(PIT_CHANNEL_2.read(Size::Byte) << 8 | low)
            },
        }
    }

    /// Both clocks at one moment, as nearly as can be: the attempt in which reading took least.
    fn sample(&self, counter: &impl Fn() -> u64) -> (u64, u64) {
        let mut best = (u64::MAX, 0, 0);
        for _ in 0..ATTEMPTS {
            let before = counter();
            let reference = self.read();
            let took = counter().wrapping_sub(before);
            if took < best.0 {
                best = (took, before.wrapping_add(took / 2), reference);
            }
        }
        (best.1, best.2)
    }

    /// The rate of `counter` in Hz: the median of a few measurements. `None` if either does not move.
    pub fn measure(&self, counter: impl Fn() -> u64) -> Option<u64> {
        let mut rates = [0; ROUNDS];
        for rate in &mut rates {
            let (first, reference_first) = self.sample(&counter);
            let wanted = self.hz / FRACTION;
            let mut patience = PATIENCE;
            while self.read().wrapping_sub(reference_first) & self.mask < wanted {
                patience = patience.checked_sub(1)?;
                core::hint::spin_loop();
            }
            let (last, reference_last) = self.sample(&counter);
            let elapsed = reference_last.wrapping_sub(reference_first) & self.mask;
            let counted = last.wrapping_sub(first);
            *rate =
                u64::try_from(u128::from(counted) * u128::from(self.hz) / u128::from(elapsed.max(1))).ok()?;
        }
        rates.sort_unstable();
        Some(rates[ROUNDS / 2]).filter(|rate| *rate > 0)
    }
}
