//! The hypervisor's trace buffers: `sysctl tbuf_op`, and the rings in pages of the hypervisor's own.

use std::io;
use std::mem::offset_of;
use std::sync::atomic::Ordering;

use hypercall_abi::sysctl::{
    self, Sysctl, TBUFOP_DISABLE, TBUFOP_ENABLE, TBUFOP_GET_INFO, TBUFOP_SET_EVT_MASK, TBUFOP_SET_SIZE,
    TbufOp,
};
use hypercall_abi::trace::{ALL, Buffer, Ring};
use hypercall_abi::xen::DOMID_XEN;

use super::error::XenError;
use super::hypercall::Xen;
use super::mapping::Mapping;
use crate::builder::layout::PAGE;

const CALL: &str = "sysctl tbuf_op";

/// One CPU's buffer.
#[derive(Debug)]
pub struct TraceBuffer {
    mapping: Mapping,
    ring: Ring,
}

impl Xen {
    fn tbuf_op(&self, argument: TbufOp) -> Result<TbufOp, XenError> {
        let mut call = Sysctl::new(sysctl::TBUF_OP, argument);
        self.sysctl(CALL, &mut call)?;
        Ok(call.payload())
    }

    /// Starts tracing. It also makes every CPU tell whom it runs, so it is of use while tracing is on, too.
    ///
    /// # Errors
    /// As the hypervisor says; it wants buffers first.
    pub fn trace_on(&self) -> Result<(), XenError> {
        self.tbuf_op(TbufOp { cmd: TBUFOP_ENABLE, ..TbufOp::default() }).map(drop)
    }

    /// Stops tracing, and leaves nothing chosen for whoever traces next.
    ///
    /// # Errors
    /// As the hypervisor says.
    pub fn trace_off(&self) -> Result<(), XenError> {
        self.tbuf_op(TbufOp { cmd: TBUFOP_DISABLE, ..TbufOp::default() })?;
        self.trace_events(ALL)
    }

    /// Chooses what is traced: classes and subclasses of `hypercall_abi::trace`.
    ///
    /// # Errors
    /// As the hypervisor says.
    pub fn trace_events(&self, evt_mask: u32) -> Result<(), XenError> {
        self.tbuf_op(TbufOp { cmd: TBUFOP_SET_EVT_MASK, evt_mask, ..TbufOp::default() }).map(drop)
    }

    /// The buffers of all CPUs, by number. If there are none yet they are made, of `pages` pages each.
    ///
    /// # Errors
    /// As the hypervisor says.
    pub fn trace_buffers(&self, pages: u32) -> Result<Vec<TraceBuffer>, XenError> {
        self.tbuf_op(TbufOp { cmd: TBUFOP_SET_SIZE, size: pages, ..TbufOp::default() })?;
        let frame = self.tbuf_op(TbufOp { cmd: TBUFOP_GET_INFO, ..TbufOp::default() })?.buffer_mfn;
        let cpus = self.physinfo()?.max_cpu_id as usize + 1;
        let info = Mapping::foreign(self.privcmd(), DOMID_XEN, &[frame])?;
        let half = |index: usize| {
            let mut bytes = [0; 2];
            info.read(2 * index, &mut bytes);
            usize::from(u16::from_le_bytes(bytes))
        };
        let pages = half(0);
        let map = |cpu: usize| {
            let list = half(1 + cpu);
            if pages == 0 || list == 0 || 4 * (list + pages) > PAGE as usize {
                let what = format!("no buffer of {pages} pages for CPU {cpu} at {list}");
                return Err(XenError::new(CALL, io::Error::other(what)));
            }
            let frames: Vec<u64> =
                (list..list + pages).map(|at| info.word(4 * at).load(Ordering::Relaxed).into()).collect();
            let mapping = Mapping::foreign(self.privcmd(), DOMID_XEN, &frames)?;
            Ok(TraceBuffer { mapping, ring: Ring::of_pages(pages) })
        };
        (0..cpus).map(map).collect()
    }
}

impl TraceBuffer {
    /// Leaves out what is there. Nobody may write meanwhile: tracing is off.
    pub fn skip(&self) {
        let prod = self.mapping.word(offset_of!(Buffer, prod)).load(Ordering::Acquire);
        self.mapping.word(offset_of!(Buffer, cons)).store(prod, Ordering::Release);
    }

    /// Takes what is there, whole records only, and adds it to `words`. Returns how full the buffer was, from 0 to 1.
    ///
    /// # Errors
    /// If somebody else reads the buffer, too, and has broken it.
    pub fn take(&self, words: &mut Vec<u32>) -> Result<f32, XenError> {
        let Self { mapping, ring } = self;
        let prod = mapping.word(offset_of!(Buffer, prod)).load(Ordering::Acquire);
        let done = mapping.word(offset_of!(Buffer, cons));
        let mut cons = done.load(Ordering::Relaxed);
        let Some(unread) = ring.unread(cons, prod) else {
            let what = format!("a trace buffer that is read up to {cons} and written up to {prod}");
            return Err(XenError::new(CALL, io::Error::other(what)));
        };
        let mut left = unread;
        while left > 0 {
            let piece = left.min(ring.to_end(cons));
            let mut bytes = vec![0; piece as usize];
            mapping.read(ring.place(cons), &mut bytes);
            words.extend(bytes.as_chunks().0.iter().map(|word| u32::from_le_bytes(*word)));
            cons = ring.advance(cons, piece);
            left -= piece;
        }
        done.store(prod, Ordering::Release);
        Ok(unread as f32 / mapping.len() as f32)
    }
}
