//! `xen_version` (`public/version.h`): who the hypervisor is, as kernels and tools ask for it.

use hypercall_abi::abi::{Abi, Word};
use hypercall_abi::{features, version as abi};

use super::{Call, Machine, Outcome, Result, ensure, refuse};
use crate::frame::PAGE_SIZE;

/// The interface version that is spoken.
const VERSION: i64 = 4 << 16 | 17;

const EXTRAVERSION: &str = concat!(".0-tenon-", env!("CARGO_PKG_VERSION"));
const CHANGESET: &str = concat!("Tenon ", env!("CARGO_PKG_VERSION"));
const CAPABILITIES: &str = "xen-3.0-x86_64 hvm-3.0-x86_32 hvm-3.0-x86_32p hvm-3.0-x86_64 ";

pub(super) fn xen_version<A: Abi, M: Machine>(call: &mut Call<'_, M>) -> Result {
    let [op, buffer, ..] = call.args;
    match op as u32 {
        abi::OP_VERSION => return Ok(Outcome::Done(VERSION)),
        abi::OP_PAGESIZE => return Ok(Outcome::Done(PAGE_SIZE as i64)),
        abi::OP_EXTRAVERSION => call.write(buffer, &text::<{ abi::EXTRAVERSION_LEN }>(EXTRAVERSION))?,
        abi::OP_CAPABILITIES => call.write(buffer, &text::<{ abi::CAPABILITIES_INFO_LEN }>(CAPABILITIES))?,
        abi::OP_CHANGESET => call.write(buffer, &text::<{ abi::CHANGESET_INFO_LEN }>(CHANGESET))?,
        abi::OP_COMMANDLINE => {
            call.must_be_privileged()?;
            call.write(buffer, &text::<{ abi::COMMANDLINE_LEN }>(call.hv.machine.command_line()))?;
        }
        abi::OP_COMPILE_INFO => {
            let info = abi::CompileInfo {
                compiler: text("rustc"),
                compile_by: text("tenon"),
                compile_domain: text("tenon"),
                compile_date: text(""),
            };
            call.write(buffer, &info)?;
        }
        abi::OP_PLATFORM_PARAMETERS => {
            // Where a paravirtualized guest would find the hypervisor: there is none.
            let parameters = abi::PlatformParameters::<A> { virt_start: A::Ulong::truncated(0) };
            call.write(buffer, &parameters)?;
        }
        abi::OP_GET_FEATURES => call.update(buffer, |info: &mut abi::FeatureInfo| {
            ensure!(info.submap_idx == 0, EINVAL, "feature submap {} does not exist", info.submap_idx);
            info.submap = features_of(call);
            Ok(())
        })?,
        abi::OP_GUEST_HANDLE => call.write(buffer, &*call.domain().handle.lock())?,
        abi::OP_BUILD_ID => refuse!(ENODATA, "this build has no build id"),
        op => refuse!(ENOSYS, "xen_version {op} is not known"),
    }
    Ok(Outcome::OK)
}

/// What guests without paravirtualized paging may rely on.
fn features_of<M: Machine>(call: &Call<'_, M>) -> u32 {
    let common = 1 << features::WRITABLE_PAGE_TABLES
        | 1 << features::WRITABLE_DESCRIPTOR_TABLES
        | 1 << features::AUTO_TRANSLATED_PHYSMAP
        | 1 << features::SUPERVISOR_MODE_KERNEL
        | 1 << features::HVM_CALLBACK_VECTOR
        | 1 << features::HVM_SAFE_PVCLOCK
        | 1 << features::MEMORY_OP_VNODE_SUPPORTED
        | 1 << features::LINUX_RSDP_UNRESTRICTED;
    let mapping = if call.domain().is_identity_mapped() {
        1 << features::DIRECT_MAPPED
    } else {
        1 << features::NOT_DIRECT_MAPPED
    };
    let control = if call.domain().hardware.is_some() { 1 << features::DOM0 } else { 0 };
    common | mapping | control
}

/// A zero-terminated text: what fits of it.
fn text<const N: usize>(text: &str) -> [u8; N] {
    let mut bytes = [0; N];
    for (to, from) in bytes.iter_mut().take(N.saturating_sub(1)).zip(text.bytes()) {
        *to = from;
    }
    bytes
}
