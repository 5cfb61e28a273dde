//! QEMU's `edu` device, which does DMA wherever it is told: what it reaches of memory that is not domain 0's.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use crate::config::Config;
use crate::guest::Guest;
use crate::machine::Machine;

/// Where the device is, as Tenon and sysfs name it.
const DEVICE: &str = "0000:00:10.0";
/// Memory of domain 0's that its kernel leaves alone, and lets `devmem` reach.
const WINDOW: u64 = 0x3000_0000;
/// Memory of Tenon's: the start of its image.
const TENON: u64 = 0x20_0000;
/// Where guests get their memory: the last of a machine of 4 GiB.
const GUESTS: u64 = 0x1_6000_0000;
const GUESTS_LEN: u64 = 0x2000_0000;
/// What the guest keeps to itself: a word of its command line.
const SECRET: &str = "never-granted-4a1d";
const MARK: u64 = 0x5eed_5eed_5eed_5eed;

/// Registers of the device, its own memory, and bits of the command.
const SOURCE: u64 = 0x80;
const DESTINATION: u64 = 0x88;
const COUNT: u64 = 0x90;
const COMMAND: u64 = 0x98;
const BUFFER: u64 = 0x4_0000;
const RUN: u64 = 1;
const TO_MEMORY: u64 = 2;

/// Adds the device, and the memory to work with.
pub fn with_edu(config: Config) -> Config {
    config
        .qemu(["-device", "edu,addr=0x10,dma_mask=0xffffffffffffffff"])
        .word(&format!("memmap=64K${WINDOW:#x}"))
}

/// Without an IOMMU a device reads and writes what it likes: the documentation says so.
pub fn reaches_everything(machine: &mut Machine) -> Result<()> {
    let edu = Edu::find(machine)?;
    let tenon = physical(machine, TENON)?;
    ensure!(edu.reads(machine, TENON)? == tenon, "a read of Tenon's memory gave something else");
    let guest = secret(machine)?;
    ensure!(edu.reads(machine, guest)? == word(SECRET.as_bytes()), "a read of a guest gave something else");
    edu.writes(machine, guest)?;
    ensure!(physical(machine, guest)? == MARK, "the device could not write to a guest");
    machine.ok("tenon dmesg | grep -q 'no IOMMU is used: a device of domain 0 can reach all memory'")?;
    machine.ok("tenon destroy secret")?;
    Ok(())
}

/// Behind an IOMMU it reaches domain 0's memory. Every other attempt is blocked, and the log names device and address.
pub fn is_blocked_by_vtd(machine: &mut Machine) -> Result<()> {
    is_blocked(machine, &["read from", "write to"])
}

/// The same, but for the log: QEMU 7.2's AMD-Vi model never writes to its event log (its `amdvi_test_mask` is true of any
/// register, so it takes the log for overflown).
pub fn is_blocked_by_amd_vi(machine: &mut Machine) -> Result<()> {
    is_blocked(machine, &[])
}

fn is_blocked(machine: &mut Machine, ways: &[&str]) -> Result<()> {
    let edu = Edu::find(machine)?;
    for (place, at) in [("Tenon", TENON), ("a guest", secret(machine)?)] {
        let before = physical(machine, at)?;
        let got = edu.reads(machine, at)?;
        ensure!(got != before, "the device has read {got:#x} from {at:#x}, which is of {place}");
        edu.writes(machine, at)?;
        let after = physical(machine, at)?;
        ensure!(after == before, "the device has written to {at:#x}, which is of {place}");
        for way in ways {
            // Units tell the page, or the address itself.
            let line = format!("IOMMU: device {DEVICE}: {way} {:#x}... blocked", at >> 12);
            let count = ways.iter().filter(|other| *other == way).count();
            let find = format!("test $(tenon dmesg | grep -c \"{line}\") -ge {count}");
            machine.until(&find, Duration::from_secs(20)).with_context(|| line)?;
        }
    }
    machine.ok("tenon destroy secret")?;
    Ok(())
}

/// The device.
struct Edu {
    bar: u64,
}

impl Edu {
    /// Switches it on, and sees that it works on domain 0's memory.
    fn find(machine: &mut Machine) -> Result<Self> {
        let files = format!("/sys/bus/pci/devices/{DEVICE}");
        machine.ok(&format!("echo 1 > {files}/enable"))?;
        // Memory and bus mastering.
        machine.ok(&format!("printf '\\006' | dd of={files}/config bs=1 seek=4 conv=notrunc 2>/dev/null"))?;
        let bar = machine.ok(&format!("head -n 1 {files}/resource"))?;
        let bar = bar.split_whitespace().next().and_then(hexadecimal).context("no BAR 0")?;
        let edu = Self { bar };
        set(machine, WINDOW, MARK)?;
        let got = edu.reads(machine, WINDOW)?;
        ensure!(got == MARK, "the device has read {got:#x} from domain 0's memory");
        Ok(edu)
    }

    /// What the device reads at an address, told by writing it to domain 0's memory.
    fn reads(&self, machine: &mut Machine, at: u64) -> Result<u64> {
        let result = WINDOW + 0x1000;
        set(machine, result, 0)?;
        self.transfer(machine, at, BUFFER, RUN)?;
        self.transfer(machine, BUFFER, result, RUN | TO_MEMORY)?;
        get(machine, result)
    }

    /// Has the device write the mark to an address.
    fn writes(&self, machine: &mut Machine, at: u64) -> Result<()> {
        self.transfer(machine, WINDOW, BUFFER, RUN)?;
        self.transfer(machine, BUFFER, at, RUN | TO_MEMORY)
    }

    fn transfer(&self, machine: &mut Machine, from: u64, to: u64, command: u64) -> Result<()> {
        let bar = self.bar;
        let values = [(SOURCE, from), (DESTINATION, to), (COUNT, 8), (COMMAND, command)];
        let set = values.map(|(register, value)| format!("devmem {:#x} 64 {value:#x}", bar + register));
        let ended = format!("[ $(($(devmem {:#x} 64) & 1)) = 0 ]", bar + COMMAND);
        machine.ok(&format!("{} && until {ended}; do :; done", set.join(" && ")))?;
        Ok(())
    }
}

fn hexadecimal(text: &str) -> Option<u64> {
    u64::from_str_radix(text.trim().strip_prefix("0x")?, 16).ok()
}

fn set(machine: &mut Machine, at: u64, value: u64) -> Result<()> {
    machine.ok(&format!("devmem {at:#x} 64 {value:#x}"))?;
    Ok(())
}

fn get(machine: &mut Machine, at: u64) -> Result<u64> {
    hexadecimal(&machine.ok(&format!("devmem {at:#x} 64"))?).context("devmem said no number")
}

fn word(bytes: &[u8]) -> u64 {
    bytes.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes))
}

/// Makes a guest that has never run, and so granted nothing; returns where its secret is.
fn secret(machine: &mut Machine) -> Result<u64> {
    let guest = Guest { words: SECRET, ..Guest::new("secret") };
    machine.create_paused(&guest)?;
    let memory = dump(machine, GUESTS, GUESTS_LEN)?;
    let place = memory.windows(SECRET.len()).position(|bytes| bytes == SECRET.as_bytes());
    Ok(GUESTS + place.context("the guest's command line is nowhere in the machine's last memory")? as u64)
}

/// What the emulator says that 8 bytes of memory hold, whatever anybody inside believes.
fn physical(machine: &mut Machine, at: u64) -> Result<u64> {
    Ok(word(&dump(machine, at, 8)?))
}

fn dump(machine: &mut Machine, at: u64, len: u64) -> Result<Vec<u8>> {
    let path = machine.scratch.join("memory");
    // In quotation marks, or the path would be something to divide by.
    machine.monitor(&format!("pmemsave {at:#x} {len:#x} \"{}\"", path.display()))?;
    let deadline = Instant::now() + Duration::from_secs(60);
    while size(&path) < len {
        ensure!(!machine.pump(Duration::from_millis(20))?, "the machine has ended");
        ensure!(Instant::now() < deadline, "the emulator saves no memory");
    }
    let memory = fs::read(&path)?;
    fs::remove_file(&path)?;
    Ok(memory)
}

fn size(path: &Path) -> u64 {
    fs::metadata(path).map_or(0, |file| file.len())
}
