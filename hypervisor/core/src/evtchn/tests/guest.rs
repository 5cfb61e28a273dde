//! An honest guest: takes events from the shared pages by the rules of `public/event_channel.h`.

use std::vec;
use std::vec::Vec;

use super::Table;
use crate::evtchn::{InfoAt, Layout, Wake};
use crate::ids::{Port, VcpuId};
use crate::page::{GuestPage, TestPage};

/// The guest's side of a domain.
#[derive(Debug, Default)]
pub(super) struct Guest {
    pub array: Vec<TestPage>,
    pub controls: Vec<Option<(TestPage, usize)>>,
    /// The guest's own queue heads.
    heads: Vec<[u32; 16]>,
    /// What it has taken, in order.
    pub taken: Vec<Port>,
}

const PENDING: u32 = 1 << 31;
const MASKED: u32 = 1 << 30;
const LINKED: u32 = 1 << 29;
const LINK: u32 = (1 << 17) - 1;

impl Guest {
    /// Switches the domain to the FIFO ABI on every vCPU, with `pages` array pages, all unmasked.
    pub fn use_fifo(&mut self, table: &mut Table, vcpus: u32, pages: u32) -> Wake {
        for vcpu in 0..vcpus {
            self.init_control(table, vcpu);
        }
        let mut woken = Wake::NOBODY;
        for _ in 0..pages {
            let page = TestPage::default();
            self.array.push(page.clone());
            woken.more |= table.expand_array(page).unwrap().more;
        }
        woken
    }

    pub fn init_control(&mut self, table: &mut Table, vcpu: u32) {
        let page = TestPage::default();
        assert_eq!(table.init_control(VcpuId(vcpu), page.clone(), 128), Ok(17));
        let index = vcpu as usize;
        self.controls.resize(self.controls.len().max(index + 1), None);
        self.heads.resize(self.controls.len(), [0; 16]);
        self.controls[index] = Some((page, 128));
    }

    fn word(&self, port: u32) -> Option<(TestPage, usize)> {
        Some((self.array.get(port as usize / 1024)?.clone(), port as usize % 1024 * 4))
    }

    /// Where the port's mask bit is, if it has one.
    fn mask_bit(&self, table: &Table, port: Port) -> Option<(TestPage, usize, u32)> {
        if self.controls.is_empty() {
            let bit = table.bits.two_level.layout.mask(port.0)?;
            return Some((table.bits.two_level.shared.clone(), bit.offset, bit.mask));
        }
        self.word(port.0).map(|(page, at)| (page, at, MASKED))
    }

    pub fn is_masked(&self, table: &Table, port: Port) -> bool {
        self.mask_bit(table, port).is_none_or(|(page, at, bit)| page.load32(at) & bit != 0)
    }

    pub fn set_mask(&self, table: &Table, port: Port, masked: bool) {
        let Some((page, at, bit)) = self.mask_bit(table, port) else { return };
        if masked {
            page.fetch_or32(at, bit)
        } else {
            page.fetch_and32(at, !bit)
        };
    }

    /// Takes one vCPU's upcall: clears the flag, then every event that the ABI in use shows.
    pub fn upcall(&mut self, table: &Table, vcpu: VcpuId) {
        let Some(info) = table.vcpu_info(vcpu) else { return };
        info.page.fetch_and32(info.offset, !0xff);
        if self.controls.is_empty() {
            self.scan(&table.bits.two_level.shared, table.bits.two_level.layout, info);
        } else {
            self.consume(vcpu.index());
        }
    }

    fn scan(&mut self, shared: &TestPage, layout: Layout, info: InfoAt<'_, TestPage>) {
        let ports: Vec<u32> = (0..layout.ports()).collect();
        let mut selected = vec![];
        for &port in &ports {
            let bit = layout.selector(port).unwrap();
            selected.push(info.page.load32(info.offset + bit.offset) & bit.mask != 0);
        }
        let (at, words) = layout.selector_words();
        for word in 0..words {
            info.page.store32(info.offset + at + 4 * word, 0);
        }
        for (&port, _) in ports.iter().zip(selected).filter(|(_, s)| *s) {
            let (pending, mask) = (layout.pending(port).unwrap(), layout.mask(port).unwrap());
            let is_pending = shared.load32(pending.offset) & pending.mask != 0;
            let is_masked = shared.load32(mask.offset) & mask.mask != 0;
            if is_pending && !is_masked {
                shared.fetch_and32(pending.offset, !pending.mask);
                self.taken.push(Port(port));
            }
        }
    }

    fn consume(&mut self, vcpu: usize) {
        let Some((control, at)) = self.controls[vcpu].clone() else { return };
        let mut ready = control.fetch_and32(at, 0);
        while ready != 0 {
            let priority = ready.trailing_zeros() as usize;
            let mut head = self.heads[vcpu][priority];
            if head == 0 {
                head = control.load32(at + 8 + 4 * priority);
            }
            let (page, offset) = self.word(head).expect("the queue holds a port without a word");
            let old = page.fetch_and32(offset, !(LINKED | LINK));
            assert_ne!(old & LINKED, 0, "{head} is queued but not linked");
            self.heads[vcpu][priority] = old & LINK;
            if old & LINK == 0 {
                ready &= !(1 << priority);
            }
            if old & (PENDING | MASKED) == PENDING {
                page.fetch_and32(offset, !PENDING);
                self.taken.push(Port(head));
            }
            ready |= control.fetch_and32(at, 0);
        }
    }
}
