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

use super::pci::Hardware;
use super::{HardwareDomain, Owner, deliver};
use crate::fallible::{self, NoMemory};
use crate::frame::Maddr;
use crate::hv_log;
use crate::hypervisor::Hypervisor;
use crate::ids::{CpuId, Vector};
use crate::machine::Machine;
use crate::vlapic::Message;
use crate::vpci::{Bdf, Location};

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
    bdf: Bdf,
    entry: u16,
    vector: Vector,
    location: Location,
    /// The domain has closed it for now.
    masked: bool,
}

impl<M: Machine> HardwareDomain<M> {
    /// Makes an interrupt of a device the message that the domain wrote, and opens it.
    pub(super) fn bind(
        &self,
        owner: Owner<'_, M>,
        bindings: &mut Vec<Binding>,
        (bdf, entry, location): (Bdf, u16, Location),
        (address, data): (u64, u32),
    ) {
        let Some(message) = Message::decode(address, data) else {
            // Not an interrupt's address: a device that wrote there would write to memory.
            hv_log!(
                owner.hv,
                Debug,
                "{bdf} interrupt {entry}: message {data:#x} to {address:#x} is no interrupt"
            );
            self.close(bdf, location);
            return;
        };
        let known = bindings.iter().position(|b| (b.bdf, b.entry) == (bdf, entry));
        let index = match known {
            Some(index) => index,
            None => {
                let vector = bindings.try_reserve(1).ok().and_then(|()| self.machine.take_vector());
                let Some(vector) = vector else {
                    hv_log!(owner.hv, Error, "{bdf} interrupt {entry}: all interrupt vectors are in use");
                    self.close(bdf, location);
                    return;
                };
                bindings.push(Binding { bdf, entry, vector, location, masked: false });
                bindings.len() - 1
            }
        };
        let Some(binding) = bindings.get_mut(index) else { return };
        binding.location = location;
        binding.masked = false;
        self.messages.set(binding.vector, address, data);
        self.open(binding, deliver::best_cpu(owner.domain, Some(&message)));
    }

    /// Closes a table entry, or opens it again with the message that it has.
    pub(super) fn set_masked(
        &self,
        bindings: &mut [Binding],
        (bdf, entry, location): (Bdf, u16, Location),
        masked: bool,
    ) {
        let binding = bindings.iter_mut().find(|b| (b.bdf, b.entry) == (bdf, entry));
        // An entry for which there was no vector stays closed.
        if let (Some(at), true) = (self.table_entry(location), masked || binding.is_some()) {
            self.machine.write_device(Maddr(at.0 + ENTRY_CONTROL), 4, u64::from(masked));
        }
        if let Some(binding) = binding {
            binding.masked = masked;
        }
    }

    /// Gives back the vectors of a device, which is silent by now.
    pub(super) fn unbind(&self, bindings: &mut Vec<Binding>, bdf: Bdf) {
        bindings.retain(|binding| {
            let goes = binding.bdf == bdf;
            if goes {
                self.messages.set(binding.vector, 0, 0);
                self.machine.free_vector(binding.vector);
            }
            !goes
        });
    }

    /// Writes Tenon's message into the device, and opens the interrupt.
    fn open(&self, binding: &Binding, cpu: CpuId) {
        let (address, data) = self.machine.message(binding.vector, cpu);
        if binding.location.program(binding.bdf, address, data, &mut Hardware(self.machine)) {
            return;
        }
        if let Some(at) = self.table_entry(binding.location) {
            let write = |offset, value| self.machine.write_device(Maddr(at.0 + offset), 4, value);
            write(ENTRY_CONTROL, ENTRY_MASKED);
            write(0, address & 0xffff_ffff);
            write(4, address >> 32);
            write(8, u64::from(data));
            write(ENTRY_CONTROL, 0);
        }
    }

    fn close(&self, bdf: Bdf, location: Location) {
        location.silence(bdf, &mut Hardware(self.machine));
        if let Some(at) = self.table_entry(location) {
            self.machine.write_device(Maddr(at.0 + ENTRY_CONTROL), 4, ENTRY_MASKED);
        }
    }

    /// Where a table entry is, if that is a device's memory: the domain chooses where its BARs point.
    fn table_entry(&self, location: Location) -> Option<Maddr> {
        match location {
            Location::Table(at) => self.is_device(at).then_some(at),
            Location::Capability { .. } => None,
        }
    }

    fn message_arrived(&self, owner: Owner<'_, M>, vector: Vector) {
        // None: on its way when the domain switched it off.
        let Some(message) = self.messages.get(vector) else { return };
        deliver::deliver(owner, &message);
        let cpu = deliver::best_cpu(owner.domain, Some(&message));
        if cpu != self.machine.this_cpu() && self.messages.strayed(vector) {
            let pci = self.pci.lock();
            if let Some(binding) = pci.bindings.iter().find(|b| b.vector == vector && !b.masked) {
                self.open(binding, cpu);
            }
        }
    }
}

impl<M: Machine> Hypervisor<M> {
    /// A vector from [`take_vector`](super::HostDevices::take_vector) has arrived.
    pub fn message_arrived(&self, vector: Vector) {
        self.with_hardware(|hardware, owner| hardware.message_arrived(owner, vector));
    }
}
