//! A domain's state as a stream of save records: `gethvmcontext` and `sethvmcontext`.
//!
//! A stream is a header, records of vCPUs, and an end. Each record is copied in once, checked and applied; what comes
//! before a bad one stays applied, as with Xen. As with Xen, too, loading switches every vCPU off, and one that is given
//! registers on. That is what a domain builder needs; the records for moving a domain are refused by name.

use core::sync::atomic::Ordering;

use hypercall_abi::abi::Word;
use hypercall_abi::domctl::{HvmContext, HvmContextPartial};
use hypercall_abi::hvm as abi;
use hypercall_abi::hvm::{HwCpu, HwMtrr, SaveDescriptor, SaveHeader, SaveRecord};
use hypercall_abi::plain::Plain;

use super::{Call, Machine, On, Result, ensure, records, refuse};
use crate::domain::VcpuRef;
use crate::guest_cpu::GuestCpu;
use crate::hypercall::vcpu_init::give_registers;

const DESCRIPTOR: u32 = size_of::<SaveDescriptor>() as u32;

/// Where a stream is written, or only measured.
struct Stream<'a, M: Machine> {
    call: &'a Call<'a, M>,
    buffer: Option<u64>,
    room: u32,
    len: u32,
}

impl<M: Machine> Stream<'_, M> {
    fn put(&mut self, code: u16, instance: u32, bytes: &[u8]) -> Result<()> {
        let descriptor =
            SaveDescriptor { typecode: code, instance: instance as u16, length: bytes.len() as u32 };
        let end = self.len + DESCRIPTOR + bytes.len() as u32;
        if let Some(buffer) = self.buffer {
            ensure!(end <= self.room, ENOSPC, "{} bytes are too few for the domain's state", self.room);
            let at = buffer.wrapping_add(self.len.into());
            self.call.write(at, &descriptor)?;
            self.call.write_bytes(at.wrapping_add(DESCRIPTOR.into()), bytes)?;
        }
        self.len = end;
        Ok(())
    }
}

pub(super) fn get<M: Machine>(on: &On<'_, M>, op: &mut HvmContext) -> Result<()> {
    on.not_oneself()?;
    let buffer = (!op.buffer.is_null()).then(|| op.buffer.get());
    let mut stream = Stream { call: on.call, buffer, room: op.size, len: 0 };
    on.call.hv.while_stopped(&on.domain, || save(on, &mut stream))?;
    op.size = stream.len;
    Ok(())
}

fn save<M: Machine>(on: &On<'_, M>, stream: &mut Stream<'_, M>) -> Result<()> {
    let header = SaveHeader {
        magic: abi::SAVE_MAGIC,
        version: abi::SAVE_VERSION,
        changeset: u64::MAX,
        cpuid: on.call.hv.machine.cpuid(1, 0)[0],
        gtsc_khz: on.domain.cpuid.read().time.khz,
    };
    stream.put(SaveHeader::CODE, 0, header.as_bytes())?;
    for vcpu in on.domain.vcpu_refs() {
        if let Some(record) = cpu(on.call, &vcpu) {
            stream.put(HwCpu::CODE, vcpu.id.0, record.as_bytes())?;
        }
        let record = records::save_mtrr(&vcpu.context.lock());
        stream.put(HwMtrr::CODE, vcpu.id.0, record.as_bytes())?;
    }
    stream.put(abi::SAVE_CODE_END, 0, &[])
}

/// The record of a vCPU that has registers and is on.
fn cpu<M: Machine>(call: &Call<'_, M>, vcpu: &VcpuRef<M>) -> Option<HwCpu> {
    vcpu.is_online().then(|| {
        let context = vcpu.context.lock();
        records::save_cpu(&context, call.hv.machine.tsc().0.wrapping_add(context.tsc_offset))
    })
}

pub(super) fn get_one<M: Machine>(on: &On<'_, M>, op: &mut HvmContextPartial) -> Result<()> {
    on.not_oneself()?;
    let vcpu = on.vcpu(op.instance)?;
    on.call.hv.while_stopped(&on.domain, || match u16::try_from(op.kind) {
        Ok(abi::SAVE_CODE_CPU) => match cpu(on.call, &vcpu) {
            Some(record) => put_one(on.call, op, record.as_bytes()),
            None => refuse!(ENODATA, "{vcpu} is not on"),
        },
        Ok(abi::SAVE_CODE_MTRR) => {
            let record = records::save_mtrr(&vcpu.context.lock());
            put_one(on.call, op, record.as_bytes())
        }
        _ => refuse!(EINVAL, "there are no records of type {} of a domain here", op.kind),
    })
}

/// Writes one record without its descriptor. With no buffer, only the size is asked for.
fn put_one<M: Machine>(call: &Call<'_, M>, op: &mut HvmContextPartial, record: &[u8]) -> Result<()> {
    let size = record.len() as u64;
    if !op.buffer.is_null() {
        ensure!(op.bufsz >= size, ENOSPC, "{} bytes are too few for a record of {size}", op.bufsz);
        call.write_bytes(op.buffer.get(), record)?;
    }
    op.bufsz = size;
    Ok(())
}

pub(super) fn set<M: Machine>(on: &On<'_, M>, op: HvmContext) -> Result<()> {
    on.not_oneself()?;
    ensure!(on.domain.life.is_alive(), ESRCH, "{} is dying", on.domain.id);
    on.call.hv.while_stopped(&on.domain, || {
        load(on, Source { call: on.call, buffer: op.buffer.get(), size: op.size, at: 0 })
    })
}

fn load<M: Machine>(on: &On<'_, M>, mut source: Source<'_, M>) -> Result<()> {
    let On { call, domain } = on;
    let header: SaveHeader = source.next()?;
    if header.magic != abi::SAVE_MAGIC || header.version != abi::SAVE_VERSION {
        refuse!(EINVAL, "domain state with magic {:#x}, version {}", header.magic, header.version);
    }
    domain.vcpu_refs().for_each(|vcpu| call.hv.take_down(&vcpu));
    // One record of each kind for each vCPU, and the end.
    for _ in 0..=2 * domain.vcpus.len() {
        let descriptor = source.peek()?;
        if descriptor.typecode == abi::SAVE_CODE_END {
            return Ok(());
        }
        let vcpu = on.vcpu(descriptor.instance.into())?;
        match descriptor.typecode {
            abi::SAVE_CODE_CPU => load_cpu(call, &vcpu, &source.next()?)?,
            abi::SAVE_CODE_MTRR => {
                let record: HwMtrr = source.next()?;
                records::load_mtrr(&mut vcpu.context.lock(), &record)?;
            }
            code => refuse!(EOPNOTSUPP, "records of type {code} are for domains that move"),
        }
    }
    refuse!(EINVAL, "more records than {} has vCPUs for", domain.id)
}

fn load_cpu<M: Machine>(call: &Call<'_, M>, vcpu: &VcpuRef<M>, record: &HwCpu) -> Result<()> {
    let mut context = vcpu.context.lock();
    let pat = context.guest.system().pat;
    give_registers(vcpu, &mut context, &records::load_cpu(record, pat)?)?;
    // Builders leave the TSC at zero: then it goes with the machine's, as that of the other vCPUs does.
    if record.tsc != 0 {
        context.tsc_offset = record.tsc.wrapping_sub(call.hv.machine.tsc().0);
        // When its local APIC's timer is due by that TSC is found out as soon as it runs.
        context.timers.apic = crate::time::Nanos(0);
        vcpu.shows_time.store(false, Ordering::Relaxed);
    }
    drop(context);
    call.hv.bring_up(vcpu);
    Ok(())
}

/// Where a stream is read.
struct Source<'a, M: Machine> {
    call: &'a Call<'a, M>,
    buffer: u64,
    size: u32,
    at: u32,
}

impl<M: Machine> Source<'_, M> {
    /// Copies the next record in, descriptor and all, and moves on past it. One that is shorter than ours, from an older
    /// version, is filled up with zeros.
    fn next<R: SaveRecord>(&mut self) -> Result<R> {
        let SaveDescriptor { typecode, length, .. } = self.peek()?;
        let start = self.at + DESCRIPTOR;
        let end = start.checked_add(length).filter(|end| *end <= self.size);
        let mut record = R::zeroed();
        let (Some(end), Some(bytes)) = (end, record.as_bytes_mut().get_mut(..length as usize)) else {
            refuse!(EINVAL, "a record of type {typecode} that is {length} bytes long")
        };
        ensure!(typecode == R::CODE, EINVAL, "a record of type {typecode} where type {} belongs", R::CODE);
        self.call.read_bytes(self.buffer.wrapping_add(start.into()), bytes)?;
        self.at = end;
        Ok(record)
    }

    /// The next record's descriptor.
    fn peek(&self) -> Result<SaveDescriptor> {
        if self.at.checked_add(DESCRIPTOR).is_none_or(|end| end > self.size) {
            refuse!(ENODATA, "domain state of {} bytes that has no end record", self.size);
        }
        self.call.read(self.buffer.wrapping_add(self.at.into()))
    }
}
