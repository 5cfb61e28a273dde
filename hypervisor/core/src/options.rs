//! The hypervisor's command line, in Xen's syntax and with Xen's names where Xen has them.
//!
//! Needs no heap: the console options are wanted before there is one. What is not understood is handed to the
//! caller's `warn`, and the option keeps its default; a typing error never stops the boot.

use core::fmt;

use crate::ids::CpuId;
use crate::machine::{CpuMask, MAX_CPUS};

mod value;
pub use value::{MemoryAmount, parse_boolean, parse_number, parse_size};

/// Why a part of the command line had no effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Warning<'a> {
    /// No option has this name.
    Unknown(&'a str),
    /// The option exists, but not with this value.
    BadValue {
        /// The option's name as written.
        name: &'a str,
        /// The part of the value that was not understood.
        value: &'a str,
    },
    /// The option exists, and what it names does not.
    NoSuchName {
        /// The option's name as written.
        name: &'a str,
        /// What it was to be.
        value: &'a str,
        /// What it may be.
        known: &'static str,
    },
}

impl fmt::Display for Warning<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown(name) => write!(f, "unknown option \"{name}\" ignored"),
            Self::BadValue { name, value } => write!(f, "option {name}: bad value \"{value}\" ignored"),
            Self::NoSuchName { name, value, known } => {
                write!(f, "option {name}: \"{value}\" ignored: known are {known}")
            }
        }
    }
}

/// Where console output goes (`console=`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConsoleSelection {
    /// The first serial port.
    pub com1: bool,
    /// The second serial port.
    pub com2: bool,
    /// The screen: VGA text, or a framebuffer where the loader gives one.
    pub vga: bool,
}

/// Parity of a serial line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parity {
    /// No parity bit.
    None,
    /// Odd parity.
    Odd,
    /// Even parity.
    Even,
    /// Parity bit always 1.
    Mark,
    /// Parity bit always 0.
    Space,
}

/// A serial port's line settings (`com1=baud,format,io-base,irq`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SerialConfig {
    /// Bits per second; `None` keeps what the firmware set (`auto`).
    pub baud: Option<u32>,
    /// Data bits, 5 to 8.
    pub data_bits: u8,
    /// Parity.
    pub parity: Parity,
    /// Stop bits, 1 or 2.
    pub stop_bits: u8,
    /// First I/O port.
    pub io_base: u16,
    /// ISA interrupt.
    pub irq: u8,
}

/// What reaches the log (`loglvl=`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogLevel {
    /// Nothing.
    None,
    /// Errors.
    Error,
    /// And warnings.
    Warning,
    /// And information.
    Info,
    /// And everything else.
    All,
}

/// How CPUs are given to vCPUs (`sched=`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SchedulerName {
    /// By weight and cap.
    Credit,
    /// The same here.
    Credit2,
    /// Each to one vCPU.
    Null,
}

/// What keeps domains apart (`sched-gran=`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SchedGranularity {
    /// Time only.
    Cpu,
    /// The threads of a core run one domain.
    Core,
    /// Those of a socket do.
    Socket,
}

/// Domain 0's memory (`dom0_mem=`); what is absent is the caller's choice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Dom0Memory {
    /// The wanted amount.
    pub size: Option<MemoryAmount>,
    /// The least that will do.
    pub min: Option<MemoryAmount>,
    /// The most that it gets.
    pub max: Option<MemoryAmount>,
}

impl Dom0Memory {
    /// What domain 0 gets of `free` bytes; `usual` without an amount.
    pub fn resolve(&self, free: u64, usual: u64) -> u64 {
        let bytes = |amount: MemoryAmount| amount.resolve(free);
        let size = self.size.map_or(usual, bytes);
        size.max(self.min.map_or(0, bytes)).min(self.max.map_or(u64::MAX, bytes))
    }
}

/// A fault to provoke on purpose (`debug=`), for tests of the fault paths.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DebugAction {
    /// Panic at the end of the start-up.
    Panic,
    /// Read an unmapped address.
    PageFault,
    /// Run into a stack's guard page.
    StackOverflow,
    /// Execute an undefined instruction.
    UndefinedInstruction,
    /// Hang where domain 0 asks for a panic.
    Hang,
}

/// What is to be done with IOMMUs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IommuOptions {
    /// `iommu=BOOLEAN`: use one if there is one.
    pub on: bool,
    /// `iommu=force`, `iommu=required`: refuse to boot without.
    pub required: bool,
    /// `iommu=verbose`: tell more about it.
    pub verbose: bool,
}

/// Everything the command line says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options<'a> {
    /// `dom0_mem=`
    pub dom0_mem: Dom0Memory,
    /// `dom0_max_vcpus=N` or `MIN-MAX`: the range; absent ends are open.
    pub dom0_max_vcpus: (Option<u32>, Option<u32>),
    /// `console=`
    pub console: ConsoleSelection,
    /// `com1=`, `com2=`
    pub com: [SerialConfig; 2],
    /// `loglvl=`: the hypervisor's own messages.
    pub loglvl: LogLevel,
    /// `guest_loglvl=`: messages that a guest's doing causes.
    pub guest_loglvl: LogLevel,
    /// `console_timestamps=raw`: the time stamp counter, in hexadecimal, before every line of the log.
    pub console_timestamps: bool,
    /// `noreboot`: stay on the screen after a panic.
    pub noreboot: bool,
    /// `iommu=`
    pub iommu: IommuOptions,
    /// `sched=`.
    pub sched: SchedulerName,
    /// `sched-gran=`.
    pub sched_gran: SchedGranularity,
    /// `maxcpus=`: use no more CPUs than this.
    pub maxcpus: Option<u32>,
    /// `isolcpus=`: CPUs that run no vCPU, by their numbers; the hypervisor alone uses them.
    pub isolcpus: CpuMask,
    /// `nosmp`: use one CPU.
    pub nosmp: bool,
    /// `watchdog`: stop a CPU that hangs in the hypervisor.
    pub watchdog: bool,
    /// `watchdog_timeout=`: after so many seconds. Switches it on, or with 0 off.
    pub watchdog_timeout: u32,
    /// `x2apic=no`: stay with the memory-mapped local APIC.
    pub x2apic: bool,
    /// `smep=`, `smap=`: use the feature where the CPU has it.
    pub smep: bool,
    /// See `smep`.
    pub smap: bool,
    /// `clocksource=`: hpet, acpi or pit; absent means the best there is.
    pub clocksource: Option<&'a str>,
    /// `debug=`
    pub debug: Option<DebugAction>,
}

const COM1: SerialConfig =
    SerialConfig { baud: None, data_bits: 8, parity: Parity::None, stop_bits: 1, io_base: 0x3f8, irq: 4 };

impl Default for Options<'_> {
    fn default() -> Self {
        Self {
            dom0_mem: Dom0Memory::default(),
            dom0_max_vcpus: (None, None),
            console: ConsoleSelection { com1: false, com2: false, vga: true },
            com: [COM1, SerialConfig { io_base: 0x2f8, irq: 3, ..COM1 }],
            loglvl: LogLevel::Info,
            guest_loglvl: LogLevel::Info,
            console_timestamps: false,
            noreboot: false,
            iommu: IommuOptions { on: true, required: false, verbose: false },
            sched: SchedulerName::Credit,
            sched_gran: SchedGranularity::Cpu,
            maxcpus: None,
            isolcpus: CpuMask::default(),
            nosmp: false,
            watchdog: false,
            watchdog_timeout: 5,
            x2apic: true,
            smep: true,
            smap: true,
            clocksource: None,
            debug: None,
        }
    }
}

impl<'a> Options<'a> {
    /// Parses the command line. `warn` hears of every part that had no effect, in order.
    pub fn parse(line: &'a str, warn: &mut dyn FnMut(Warning<'a>)) -> Self {
        let mut options = Self::default();
        for word in line.split_ascii_whitespace() {
            let (name, value) = word.split_once('=').map_or((word, None), |(n, v)| (n, Some(v)));
            match options.apply(name, value) {
                Ok(()) => {}
                Err(Reason::Unknown) => warn(Warning::Unknown(name)),
                Err(Reason::Bad(value)) => warn(Warning::BadValue { name, value }),
                Err(Reason::NoneOf(value, known)) => warn(Warning::NoSuchName { name, value, known }),
            }
        }
        options
    }

    fn apply(&mut self, name: &'a str, value: Option<&'a str>) -> Result<(), Reason<'a>> {
        let text = value.unwrap_or("");
        match name {
            "dom0_mem" => self.dom0_mem = each(text, self.dom0_mem, apply_dom0_mem)?,
            "dom0_max_vcpus" => self.dom0_max_vcpus = vcpu_range(text)?,
            "console" => self.console = console(text)?,
            "com1" => self.com[0] = serial(text, self.com[0])?,
            "com2" => self.com[1] = serial(text, self.com[1])?,
            "loglvl" => self.loglvl = keyword(first_level(text), &LEVELS)?,
            "guest_loglvl" => self.guest_loglvl = keyword(first_level(text), &LEVELS)?,
            "console_timestamps" => {
                self.console_timestamps = keyword(text, &[("raw", true), ("none", false)])?
            }
            "iommu" => self.iommu = each(text, self.iommu, apply_iommu)?,
            "sched" => self.sched = keyword_of(text, &SCHEDULERS, "credit, credit2, null")?,
            "sched-gran" => self.sched_gran = keyword_of(text, &GRANULARITIES, "cpu, core, socket")?,
            "maxcpus" => self.maxcpus = Some(count(text)?),
            "isolcpus" => self.isolcpus = each(text, CpuMask::default(), cpu_range)?,
            "clocksource" => self.clocksource = Some(nonempty(text)?),
            "watchdog_timeout" => {
                let seconds = number(text)?;
                self.watchdog = seconds != 0;
                if self.watchdog {
                    self.watchdog_timeout = seconds;
                }
            }
            "watchdog" if text == "force" => self.watchdog = true,
            "debug" => self.debug = Some(keyword(text, &DEBUG_ACTIONS)?),
            _ => return self.apply_switch(name, value),
        }
        Ok(())
    }

    /// Switches: `name`, `no-name`, `name=BOOLEAN`.
    fn apply_switch(&mut self, name: &'a str, value: Option<&'a str>) -> Result<(), Reason<'a>> {
        let (plain, negated) = name.strip_prefix("no-").map_or((name, false), |rest| (rest, true));
        let target = match plain {
            "noreboot" => &mut self.noreboot,
            "nosmp" => &mut self.nosmp,
            "watchdog" => &mut self.watchdog,
            "x2apic" => &mut self.x2apic,
            "smep" => &mut self.smep,
            "smap" => &mut self.smap,
            _ => return Err(Reason::Unknown),
        };
        let on = match value {
            None => true,
            Some(text) => parse_boolean(text).ok_or(Reason::Bad(text))?,
        };
        *target = on != negated;
        Ok(())
    }
}

enum Reason<'a> {
    Unknown,
    Bad(&'a str),
    NoneOf(&'a str, &'static str),
}

const LEVELS: [(&str, LogLevel); 6] = [
    ("none", LogLevel::None),
    ("error", LogLevel::Error),
    ("warning", LogLevel::Warning),
    ("info", LogLevel::Info),
    ("debug", LogLevel::All),
    ("all", LogLevel::All),
];

const DEBUG_ACTIONS: [(&str, DebugAction); 5] = [
    ("panic", DebugAction::Panic),
    ("page-fault", DebugAction::PageFault),
    ("stack-overflow", DebugAction::StackOverflow),
    ("undefined", DebugAction::UndefinedInstruction),
    ("hang", DebugAction::Hang),
];

const SCHEDULERS: [(&str, SchedulerName); 3] =
    [("credit", SchedulerName::Credit), ("credit2", SchedulerName::Credit2), ("null", SchedulerName::Null)];

const GRANULARITIES: [(&str, SchedGranularity); 3] =
    [("cpu", SchedGranularity::Cpu), ("core", SchedGranularity::Core), ("socket", SchedGranularity::Socket)];

/// The same for names that the administrator may have expected others among: the warning lists those that there are.
fn keyword_of<'a, T: Copy>(
    text: &'a str,
    meanings: &[(&str, T)],
    known: &'static str,
) -> Result<T, Reason<'a>> {
    keyword(text, meanings).map_err(|_| Reason::NoneOf(text, known))
}

/// What a word stands for.
fn keyword<'a, T: Copy>(text: &'a str, meanings: &[(&str, T)]) -> Result<T, Reason<'a>> {
    meanings.iter().find(|(word, _)| *word == text).map(|(_, meaning)| *meaning).ok_or(Reason::Bad(text))
}

/// Xen's second level is the rate-limited one; ours is always the first.
fn first_level(text: &str) -> &str {
    text.split_once('/').map_or(text, |(level, _)| level)
}

/// A number that fits.
fn number<T: TryFrom<u64>>(text: &str) -> Result<T, Reason<'_>> {
    parse_number(text).and_then(|n| n.try_into().ok()).ok_or(Reason::Bad(text))
}

/// Applies each comma-separated part of `text` to `start`; a bad part leaves everything as it was.
fn each<'a, T>(
    text: &'a str,
    start: T,
    apply: impl Fn(T, &'a str) -> Result<T, Reason<'a>>,
) -> Result<T, Reason<'a>> {
    nonempty(text)?.split(',').try_fold(start, apply)
}

fn nonempty(text: &str) -> Result<&str, Reason<'_>> {
    if text.is_empty() { Err(Reason::Bad(text)) } else { Ok(text) }
}

fn count(text: &str) -> Result<u32, Reason<'_>> {
    number(text).and_then(|n| if n == 0 { Err(Reason::Bad(text)) } else { Ok(n) })
}

fn apply_dom0_mem(mut mem: Dom0Memory, part: &str) -> Result<Dom0Memory, Reason<'_>> {
    let (slot, amount) = match part.split_once(':') {
        Some(("min", rest)) => (&mut mem.min, rest),
        Some(("max", rest)) => (&mut mem.max, rest),
        Some(_) => return Err(Reason::Bad(part)),
        None => (&mut mem.size, part),
    };
    *slot = Some(MemoryAmount::parse(amount).ok_or(Reason::Bad(part))?);
    Ok(mem)
}

/// Tables are never shared with the CPUs', the queue and large pages are always used, and devices are confined as
/// strictly as can be: those words are accepted for the sake of configurations written for Xen.
fn apply_iommu(mut iommu: IommuOptions, part: &str) -> Result<IommuOptions, Reason<'_>> {
    let (name, on) = part.strip_prefix("no-").map_or((part, true), |rest| (rest, false));
    match name {
        "force" | "required" => iommu.required = on,
        "verbose" | "debug" => iommu.verbose = on,
        "strict" | "dom0-strict" if on => {}
        "sharept" | "passthrough" | "qinval" | "superpages" | "intremap" => {}
        _ => iommu.on = parse_boolean(part).ok_or(Reason::Bad(part))?,
    }
    Ok(iommu)
}

fn vcpu_range(text: &str) -> Result<(Option<u32>, Option<u32>), Reason<'_>> {
    let end = |part: &'_ str| if part.is_empty() { Some(None) } else { count(part).ok().map(Some) };
    let range = match text.split_once('-') {
        None => count(text).ok().map(|n| (Some(n), Some(n))),
        Some((low, high)) => end(low).zip(end(high)).filter(|ends| *ends != (None, None)),
    };
    match range {
        Some((Some(low), Some(high))) if low > high => Err(Reason::Bad(text)),
        Some(range) => Ok(range),
        None => Err(Reason::Bad(text)),
    }
}

fn cpu_range(mut cpus: CpuMask, part: &str) -> Result<CpuMask, Reason<'_>> {
    let (first, last) = part.split_once('-').unwrap_or((part, part));
    let number = |text| parse_number(text).filter(|n| *n < MAX_CPUS as u64).ok_or(Reason::Bad(part));
    let (first, last) = (number(first)?, number(last)?);
    if first > last {
        return Err(Reason::Bad(part));
    }
    (first..=last).for_each(|cpu| cpus.insert(CpuId(cpu as u32)));
    Ok(cpus)
}

fn console(text: &str) -> Result<ConsoleSelection, Reason<'_>> {
    each(text, ConsoleSelection { com1: false, com2: false, vga: false }, |mut chosen, part| {
        match part {
            "com1" => chosen.com1 = true,
            "com2" => chosen.com2 = true,
            "vga" => chosen.vga = true,
            "none" => {}
            _ => return Err(Reason::Bad(part)),
        }
        Ok(chosen)
    })
}

fn serial(text: &str, mut config: SerialConfig) -> Result<SerialConfig, Reason<'_>> {
    for (position, part) in text.split(',').enumerate() {
        let bad = Reason::Bad(part);
        match position {
            _ if part.is_empty() => {}
            0 if part == "auto" => config.baud = None,
            // A base baud after the slash serves odd clocks; the usual 1.8432 MHz is assumed.
            0 => config.baud = Some(count(part.split_once('/').map_or(part, |(b, _)| b))?),
            1 => {
                let &[data @ b'5'..=b'8', parity, stop @ (b'1' | b'2')] = part.as_bytes() else {
                    return Err(bad);
                };
                config.data_bits = data - b'0';
                config.stop_bits = stop - b'0';
                config.parity = match parity {
                    b'n' => Parity::None,
                    b'o' => Parity::Odd,
                    b'e' => Parity::Even,
                    b'm' => Parity::Mark,
                    b's' => Parity::Space,
                    _ => return Err(bad),
                };
            }
            2 => config.io_base = number(part)?,
            3 => config.irq = number(part)?,
            _ => return Err(bad),
        }
    }
    Ok(config)
}

#[cfg(test)]
mod tests;
