//! A domain's state as a stream of save records: `gethvmcontext` and `sethvmcontext`.
//!
//! A stream is a header, records of vCPUs, and an end. Each record is copied in once, checked and applied; what comes
//! before a bad one stays applied, as with Xen. As with Xen, too, loading switches every vCPU off, and one that is given
//! registers on. That is what a domain builder needs; the records for moving a domain are refused by name.

use alloc::sync::Arc;
use core::sync::atomic::Ordering;

use hypercall_abi::abi::Word;
use hypercall_abi::domctl::{Domctl, HvmContext, HvmContextPartial};
use hypercall_abi::hvm as abi;
use hypercall_abi::hvm::{HwCpu, HwMtrr, SaveDescriptor, SaveHeader, SaveRecord};

use super::{not_oneself, records, vcpu_of};
use crate::domain::{Domain, VcpuRef};
use crate::guest_cpu::GuestCpu;
use crate::hypercall::{Call, Outcome, Refused};
use crate::machine::Machine;
use crate::refuse;

const DESCRIPTOR: u32 = size_of::<SaveDescriptor>() as u32;

/// Where a stream is written, or only measured.
struct Stream {
    buffer: Option<u64>,
    room: u32,
    len: u32,
}

impl Stream {
    fn put<M: Machine, R: SaveRecord>(
        &mut self,
        call: &Call<'_, M>,
        instance: u32,
        record: &R,
    ) -> Result<(), Refused> {
        self.put_bytes(call, R::CODE, instance, record.as_bytes())
    }

    fn put_bytes<M: Machine>(
        &mut self,
        call: &Call<'_, M>,
        code: u16,
        instance: u32,
        bytes: &[u8],
    ) -> Result<(), Refused> {
        let descriptor =
            SaveDescriptor { typecode: code, instance: instance as u16, length: bytes.len() as u32 };
        let end = self.len + DESCRIPTOR + bytes.len() as u32;
        if let Some(buffer) = self.buffer {
            if end > self.room {
                refuse!(ENOSPC, "{} bytes are too few for the domain's state", self.room);
            }
            let at = buffer.wrapping_add(self.len.into());
            call.write(at, &descriptor)?;
            call.write_bytes(at.wrapping_add(DESCRIPTOR.into()), bytes)?;
        }
        self.len = end;
        Ok(())
    }
}

pub(super) fn get<M: Machine>(
    call: &Call<'_, M>,
    domain: &Arc<Domain<M>>,
    ctl: &mut Domctl,
) -> Result<Outcome, Refused> {
    not_oneself(call, domain)?;
    let mut op: HvmContext = ctl.payload();
    let buffer = (!op.buffer.is_null()).then(|| op.buffer.get());
    let mut stream = Stream { buffer, room: op.size, len: 0 };
    call.hv.while_stopped(domain, || save(call, domain, &mut stream))?;
    op.size = stream.len;
    ctl.set_payload(op);
    Ok(Outcome::OK)
}

fn save<M: Machine>(call: &Call<'_, M>, domain: &Arc<Domain<M>>, stream: &mut Stream) -> Result<(), Refused> {
    stream.put(call, 0, &header(call, domain))?;
    for vcpu in domain.vcpu_refs() {
        if let Some(record) = cpu(call, &vcpu) {
            stream.put(call, vcpu.id.0, &record)?;
        }
        let record = records::save_mtrr(&vcpu.context.lock());
        stream.put(call, vcpu.id.0, &record)?;
    }
    stream.put_bytes(call, abi::SAVE_CODE_END, 0, &[])
}

fn header<M: Machine>(call: &Call<'_, M>, domain: &Arc<Domain<M>>) -> SaveHeader {
    SaveHeader {
        magic: abi::SAVE_MAGIC,
        version: abi::SAVE_VERSION,
        changeset: u64::MAX,
        cpuid: call.hv.machine.cpuid(1, 0)[0],
        gtsc_khz: domain.cpuid.read().time().guest_khz,
    }
}

/// The record of a vCPU that has registers and is on.
fn cpu<M: Machine>(call: &Call<'_, M>, vcpu: &VcpuRef<M>) -> Option<HwCpu> {
    vcpu.is_online().then(|| {
        let context = vcpu.context.lock();
        records::save_cpu(&context, call.hv.machine.tsc().0.wrapping_add(context.tsc_offset))
    })
}

pub(super) fn get_one<M: Machine>(
    call: &Call<'_, M>,
    domain: &Arc<Domain<M>>,
    ctl: &mut Domctl,
) -> Result<Outcome, Refused> {
    not_oneself(call, domain)?;
    let mut op: HvmContextPartial = ctl.payload();
    let vcpu = vcpu_of(domain, op.instance)?;
    op.bufsz = match u16::try_from(op.kind) {
        Ok(abi::SAVE_CODE_CPU) => match call.hv.while_stopped(domain, || cpu(call, &vcpu)) {
            Some(record) => put_one(call, &op, &record)?,
            None => refuse!(ENODATA, "{vcpu} is not on"),
        },
        Ok(abi::SAVE_CODE_MTRR) => {
            let record = call.hv.while_stopped(domain, || records::save_mtrr(&vcpu.context.lock()));
            put_one(call, &op, &record)?
        }
        _ => refuse!(EINVAL, "there are no records of type {} of a domain here", op.kind),
    };
    ctl.set_payload(op);
    Ok(Outcome::OK)
}

/// Writes one record without its descriptor; returns its size. With no buffer, only the size is asked for.
fn put_one<M: Machine, R: SaveRecord>(
    call: &Call<'_, M>,
    op: &HvmContextPartial,
    record: &R,
) -> Result<u64, Refused> {
    let size = size_of::<R>() as u64;
    if !op.buffer.is_null() {
        if op.bufsz < size {
            refuse!(ENOSPC, "{} bytes are too few for a record of {size}", op.bufsz);
        }
        call.write(op.buffer.get(), record)?;
    }
    Ok(size)
}

pub(super) fn set<M: Machine>(
    call: &Call<'_, M>,
    domain: &Arc<Domain<M>>,
    ctl: &Domctl,
) -> Result<Outcome, Refused> {
    not_oneself(call, domain)?;
    if !domain.life.is_alive() {
        refuse!(ESRCH, "{} is dying", domain.id);
    }
    let op: HvmContext = ctl.payload();
    call.hv.while_stopped(domain, || load(call, domain, op.buffer.get(), op.size))?;
    Ok(Outcome::OK)
}

fn load<M: Machine>(
    call: &Call<'_, M>,
    domain: &Arc<Domain<M>>,
    buffer: u64,
    size: u32,
) -> Result<(), Refused> {
    let mut at = 0;
    let header: SaveHeader = read_record(call, buffer, size, &mut at)?;
    if header.magic != abi::SAVE_MAGIC || header.version != abi::SAVE_VERSION {
        refuse!(EINVAL, "domain state with magic {:#x}, version {}", header.magic, header.version);
    }
    domain.vcpu_refs().for_each(|vcpu| call.hv.take_down(&vcpu));
    // One record of each kind for each vCPU, and the end.
    for _ in 0..=2 * domain.vcpus.len() {
        let descriptor: SaveDescriptor = read_at(call, buffer, size, at)?;
        if descriptor.typecode == abi::SAVE_CODE_END {
            return Ok(());
        }
        let vcpu = vcpu_of(domain, descriptor.instance.into())?;
        match descriptor.typecode {
            abi::SAVE_CODE_CPU => load_cpu(call, &vcpu, &read_record(call, buffer, size, &mut at)?)?,
            abi::SAVE_CODE_MTRR => {
                let record: HwMtrr = read_record(call, buffer, size, &mut at)?;
                records::load_mtrr(&mut vcpu.context.lock(), &record)?;
            }
            code => refuse!(EOPNOTSUPP, "records of type {code} are for domains that move"),
        }
    }
    refuse!(EINVAL, "more records than {} has vCPUs for", domain.id)
}

fn load_cpu<M: Machine>(call: &Call<'_, M>, vcpu: &VcpuRef<M>, record: &HwCpu) -> Result<(), Refused> {
    let mut context = vcpu.context.lock();
    let pat = context.guest.system().pat;
    let (gprs, system) = records::load_cpu(record, pat)?;
    context.guest.set_system(&system);
    *context.guest.gprs_mut() = gprs;
    context.wait_for_startup = false;
    // Builders leave the TSC at zero: then it goes with the machine's, as that of the other vCPUs does.
    if record.tsc != 0 {
        let offset = record.tsc.wrapping_sub(call.hv.machine.tsc().0);
        context.tsc_offset = offset;
        context.guest.set_tsc_offset(offset);
    }
    drop(context);
    vcpu.initialised.store(true, Ordering::Release);
    call.hv.bring_up(vcpu);
    Ok(())
}

/// Copies the record at `at` in, descriptor and all, and moves on past it. One that is shorter than ours, from an older
/// version, is filled up with zeros.
fn read_record<M: Machine, R: SaveRecord>(
    call: &Call<'_, M>,
    buffer: u64,
    size: u32,
    at: &mut u32,
) -> Result<R, Refused> {
    let descriptor: SaveDescriptor = read_at(call, buffer, size, *at)?;
    let start = *at + DESCRIPTOR;
    let end = start.checked_add(descriptor.length).filter(|end| *end <= size);
    let mut record = R::zeroed();
    let (Some(end), Some(bytes)) = (end, record.as_bytes_mut().get_mut(..descriptor.length as usize)) else {
        refuse!(EINVAL, "a record of type {} that is {} bytes long", descriptor.typecode, descriptor.length)
    };
    if descriptor.typecode != R::CODE {
        refuse!(EINVAL, "a record of type {} where type {} belongs", descriptor.typecode, R::CODE);
    }
    call.read_bytes(buffer.wrapping_add(start.into()), bytes)?;
    *at = end;
    Ok(record)
}

fn read_at<M: Machine>(
    call: &Call<'_, M>,
    buffer: u64,
    size: u32,
    at: u32,
) -> Result<SaveDescriptor, Refused> {
    if at.checked_add(DESCRIPTOR).is_none_or(|end| end > size) {
        refuse!(ENODATA, "domain state of {size} bytes that has no end record");
    }
    call.read(buffer.wrapping_add(at.into()))
}
