//! The shared info page: one page of RAM is exchanged for it.

use core::mem::offset_of;
use core::sync::atomic::Ordering;

use hypercall_abi::memory::{ADD_TO_PHYSMAP, AddToPhysmap, MAPSPACE_SHARED_INFO};
use hypercall_abi::xen::{DOMID_SELF, SharedInfo, VcpuInfo};
use spin::Mutex;

use crate::call;
use crate::paging::Page;

static PAGE: Mutex<Option<Page>> = Mutex::new(None);

/// The shared info page, mapped at the first call.
///
/// # Panics
/// If it cannot be mapped, which fails the test.
pub fn page() -> Page {
    let mut slot = PAGE.lock();
    *slot.get_or_insert_with(|| {
        let page = Page::new();
        let mut add: AddToPhysmap = AddToPhysmap {
            domid: DOMID_SELF,
            size: 0,
            space: MAPSPACE_SHARED_INFO,
            idx: 0,
            gpfn: page.gfn(),
        };
        let answer = call::memory(ADD_TO_PHYSMAP, &mut add);
        assert!(answer.is_ok(), "shared info: {answer:?}");
        page
    })
}

/// Where a vCPU's information is in the page.
#[must_use]
pub const fn vcpu_info(vcpu: u32) -> u64 {
    offset_of!(SharedInfo, vcpu_info) as u64 + vcpu as u64 * size_of::<VcpuInfo>() as u64
}

const PENDING: u64 = offset_of!(SharedInfo, evtchn_pending) as u64;
const MASK: u64 = offset_of!(SharedInfo, evtchn_mask) as u64;

fn bit(port: u32) -> (u64, u64) {
    (u64::from(port / 64) * 8, 1 << (port % 64))
}

/// Whether a port is pending.
#[must_use]
pub fn is_pending(port: u32) -> bool {
    let (word, bit) = bit(port);
    page().word(PENDING + word).load(Ordering::SeqCst) & bit != 0
}

/// Whether a port is masked.
#[must_use]
pub fn is_masked(port: u32) -> bool {
    let (word, bit) = bit(port);
    page().word(MASK + word).load(Ordering::SeqCst) & bit != 0
}

/// Makes a port not pending; returns whether it was.
pub fn clear_pending(port: u32) -> bool {
    let (word, bit) = bit(port);
    page().word(PENDING + word).fetch_and(!bit, Ordering::SeqCst) & bit != 0
}

/// Masks a port, or unmasks it without a call.
pub fn set_masked(port: u32, masked: bool) {
    let (word, bit) = bit(port);
    let word = page().word(MASK + word);
    if masked {
        word.fetch_or(bit, Ordering::SeqCst)
    } else {
        word.fetch_and(!bit, Ordering::SeqCst)
    };
}

/// Whether an upcall is due on a vCPU.
#[must_use]
pub fn upcall_pending(vcpu: u32) -> bool {
    page().get::<u8>(vcpu_info(vcpu)) != 0
}

/// Takes what an upcall takes: the flag, then the selector.
pub fn take_selector(vcpu: u32) -> u64 {
    let info = vcpu_info(vcpu);
    page().set::<u8>(info + offset_of!(VcpuInfo, evtchn_upcall_pending) as u64, 0);
    page().word(info + offset_of!(VcpuInfo, evtchn_pending_sel) as u64).swap(0, Ordering::SeqCst)
}
