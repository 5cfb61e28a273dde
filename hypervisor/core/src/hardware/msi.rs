//! Message-signalled interrupts: which of Tenon's vectors stands for which interrupt of a device.
//!
//! A device sends Tenon's message; its vector leads to the message that the domain wrote. Vectors are the same on all
//! CPUs, so a message that moves to another CPU changes by one word, and nothing is lost on the way.
//!
//! Locks: the list of bindings is behind the lock of [`Pci`](super::pci::Pci). What an arriving interrupt needs is
//! atomic: [`Messages`].

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU8, AtomicU64, Ordering};

use super::Hardware;
use crate::fallible::{self, NoMemory};
use crate::frame::Maddr;
use crate::hv_log;
use crate::hypervisor::Hypervisor;
use crate::ids::{CpuId, Vector};
use crate::machine::Machine;
use crate::vlapic::Message;
use crate::vpci::{Interrupt, Location};

const VECTORS: usize = 256;
/// The last word of a table entry, and its only bit that is used (PCI Local Bus 3.0, 6.8.2.9).
const ENTRY_CONTROL: u64 = 12;
const ENTRY_MASKED: u64 = 1;
/// After so many arrivals on a CPU that is not its vCPU's, an interrupt is sent to the vCPU's.
const STRAYS: u8 = 64;

/// For each of Tenon's vectors, the domain's message.
pub(super) struct Messages(Box<[Slot]>);

#[derive(Default)]
struct Slot {
    /// The address's low half above the data; 0 for none.
    message: AtomicU64,
    strays: AtomicU8,
}

impl Messages {
    /// # Errors
    /// No memory.
    pub(super) fn new() -> Result<Self, NoMemory> {
        Ok(Self(fallible::filled(VECTORS, Slot::default)?.into_boxed_slice()))
    }

    fn set(&self, vector: Vector, address: u64, data: u32) {
        if let Some(slot) = self.0.get(usize::from(vector.0)) {
            slot.message.store(address << 32 | u64::from(data), Ordering::Release);
            slot.strays.store(0, Ordering::Relaxed);
        }
    }

    fn get(&self, vector: Vector) -> Option<Message> {
        let word = self.0.get(usize::from(vector.0))?.message.load(Ordering::Acquire);
        Message::decode(word >> 32, word as u32)
    }

    /// Counts an arrival on the wrong CPU; true if there were enough of them.
    fn strayed(&self, vector: Vector) -> bool {
        let slot = self.0.get(usize::from(vector.0));
        slot.is_some_and(|slot| slot.strays.fetch_add(1, Ordering::Relaxed) == STRAYS)
    }
}

/// An interrupt of a device that has a vector.
#[derive(Clone, Copy)]
pub(super) struct Binding {
    pub(super) interrupt: Interrupt,
    vector: Vector,
    /// Where the device sends it.
    cpu: CpuId,
    /// The domain has closed it for now.
    masked: bool,
}

impl Binding {
    fn is_of(&self, other: &Interrupt) -> bool {
        (self.interrupt.bdf, self.interrupt.entry) == (other.bdf, other.entry)
    }
}

impl<M: Machine> Hardware<'_, M> {
    /// Makes an interrupt of a device the message that the domain wrote, and opens it.
    pub(super) fn bind(self, bindings: &mut Vec<Binding>, interrupt: Interrupt, address: u64, data: u32) {
        let Interrupt { bdf, entry, .. } = interrupt;
        let Some(message) = Message::decode(address, data) else {
            // Not an interrupt's address: a device that wrote there would write to memory. The message before is gone, too.
            hv_log!(
                self.hv,
                Debug,
                "{bdf} interrupt {entry}: message {data:#x} to {address:#x} is no interrupt"
            );
            self.close(interrupt);
            return self.unbind(bindings, |binding| binding.is_of(&interrupt));
        };
        let vector = match bindings.iter().position(|binding| binding.is_of(&interrupt)) {
            Some(known) => Some(bindings.swap_remove(known).vector),
            None => bindings.try_reserve(1).ok().and_then(|()| self.hv.machine.take_vector()),
        };
        let Some(vector) = vector else {
            hv_log!(self.hv, Error, "{bdf} interrupt {entry}: all interrupt vectors are in use");
            return self.close(interrupt);
        };
        let binding = Binding { interrupt, vector, cpu: self.best_cpu(Some(&message)), masked: false };
        bindings.push(binding);
        self.devices.messages.set(vector, address, data);
        self.open(&binding);
    }

    /// Closes a table entry, or opens it again with the message that it has.
    pub(super) fn set_masked(self, bindings: &mut [Binding], interrupt: &Interrupt, masked: bool) {
        let binding = bindings.iter_mut().find(|binding| binding.is_of(interrupt));
        // An entry for which there was no vector stays closed.
        if let Location::Table(at) = interrupt.location
            && (masked || binding.is_some())
        {
            self.write_entry(at, ENTRY_CONTROL, u64::from(masked));
        }
        if let Some(binding) = binding {
            binding.masked = masked;
        }
    }

    /// Gives back the vectors of interrupts that are silent by now.
    pub(super) fn unbind(self, bindings: &mut Vec<Binding>, gone: impl Fn(&Binding) -> bool) {
        for gone in bindings.extract_if(.., |binding| gone(binding)) {
            self.devices.messages.set(gone.vector, 0, 0);
            self.hv.machine.free_vector(gone.vector);
        }
    }

    /// Writes Tenon's message into the device, and opens the interrupt unless it is masked.
    fn open(self, binding: &Binding) {
        let mut machine = self.hv.machine;
        let (address, data) = machine.message(binding.vector, binding.cpu);
        match binding.interrupt.location {
            Location::Capability(msi) => msi.program(binding.interrupt.bdf, address, data, &mut machine),
            Location::Table(at) => {
                self.write_entry(at, ENTRY_CONTROL, ENTRY_MASKED);
                self.write_entry(at, 0, address & 0xffff_ffff);
                self.write_entry(at, 4, address >> 32);
                self.write_entry(at, 8, u64::from(data));
                self.write_entry(at, ENTRY_CONTROL, u64::from(binding.masked));
            }
        }
    }

    fn close(self, interrupt: Interrupt) {
        match interrupt.location {
            Location::Capability(msi) => msi.silence(interrupt.bdf, &mut { self.hv.machine }),
            Location::Table(at) => self.write_entry(at, ENTRY_CONTROL, ENTRY_MASKED),
        }
    }

    /// Writes a word of a table entry, if that is a device's memory: the domain chooses where its BARs point.
    fn write_entry(self, entry: Maddr, offset: u64, value: u64) {
        if self.devices.is_device(entry) {
            self.hv.machine.write_device(Maddr(entry.0 + offset), 4, value);
        }
    }

    fn message_arrived(self, vector: Vector) {
        // None: on its way when the domain switched it off.
        let Some(message) = self.devices.messages.get(vector) else { return };
        self.deliver(&message);
        let cpu = self.best_cpu(Some(&message));
        if cpu != self.hv.machine.this_cpu() && self.devices.messages.strayed(vector) {
            let mut pci = self.devices.pci.lock();
            if let Some(binding) = pci.bindings.iter_mut().find(|b| b.vector == vector && !b.masked) {
                self.send_to(binding, cpu);
            }
        }
    }

    /// Has devices send to other CPUs what they send to this one.
    pub(super) fn move_messages(self, cpu: CpuId) {
        let mut pci = self.devices.pci.lock();
        for binding in pci.bindings.iter_mut().filter(|binding| binding.cpu == cpu) {
            self.send_to(binding, self.best_cpu(self.devices.messages.get(binding.vector).as_ref()));
        }
    }

    fn send_to(self, binding: &mut Binding, cpu: CpuId) {
        binding.cpu = cpu;
        self.open(binding);
    }
}

impl<M: Machine> Hypervisor<M> {
    /// A vector from [`take_vector`](super::HostDevices::take_vector) has arrived.
    pub fn message_arrived(&self, vector: Vector) {
        self.with_hardware(|hardware| hardware.message_arrived(vector));
    }
}
