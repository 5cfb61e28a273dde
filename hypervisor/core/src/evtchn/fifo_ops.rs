//! The operations that only the FIFO ABI has.

use hypercall_abi::event_channel::{FIFO_LINK_BITS, FIFO_PRIORITY_MIN};

use super::fifo::Fifo;
use super::vcpu::Woken;
use super::{EventChannels, EvtchnError, Wake};
use crate::ids::{Port, VcpuId};
use crate::page::GuestPage;

impl<P: GuestPage> EventChannels<P> {
    /// Gives a vCPU its control block (`EVTCHNOP_init_control`). The first one switches the domain to the FIFO ABI.
    /// Returns the width of a LINK field.
    ///
    /// Events that are pending at the switch are kept; they show when [`expand_array`](Self::expand_array) gives them
    /// their words.
    ///
    /// # Errors
    /// [`EvtchnError::BadOffset`], [`EvtchnError::NoVcpu`], [`EvtchnError::ControlBound`], [`EvtchnError::NoMemory`].
    pub fn init_control(&mut self, vcpu: VcpuId, page: P, offset: u32) -> Result<u8, EvtchnError> {
        let at = Fifo::<P>::check_offset(offset)?;
        self.check_vcpu(vcpu)?;
        if let Some(fifo) = &mut self.bits.fifo {
            fifo.add_control(vcpu, page, at)?;
        } else {
            let mut fifo = Fifo::new(self.vcpus.len())?;
            fifo.add_control(vcpu, page, at)?;
            // At most 4096 ports: the 2-level ABI had no more.
            for port in (0..self.ports.end()).map(Port) {
                if let Ok(channel) = self.ports.open_mut(port) {
                    channel.early = self.bits.two_level.is_pending(port);
                }
            }
            self.bits.fifo = Some(fifo);
        }
        Ok(FIFO_LINK_BITS as u8)
    }

    /// Adds a page of 1024 event words (`EVTCHNOP_expand_array`), and delivers what waited for it.
    ///
    /// # Errors
    /// [`EvtchnError::NoControlBlock`], [`EvtchnError::ArrayFull`], [`EvtchnError::NoMemory`].
    pub fn expand_array(&mut self, page: P) -> Result<Wake, EvtchnError> {
        let fifo = self.bits.fifo.as_mut().ok_or(EvtchnError::NoControlBlock)?;
        let ports = fifo.add_array_page(page)?;
        let mut more = false;
        for port in ports.map(Port) {
            // Who polls for the port was woken when the event came.
            if let Ok(channel) = self.ports.open_mut(port)
                && core::mem::take(&mut channel.early)
                && let Some(vcpu) = self.bits.set_pending(port, channel).upcall
            {
                self.note_woken(vcpu, Woken::Upcall);
                more = true;
            }
        }
        Ok(Wake { upcall: None, more })
    }

    /// Sets the queue that later events of `port` go to (`EVTCHNOP_set_priority`): 0 is the most urgent, 15 the least.
    ///
    /// # Errors
    /// [`EvtchnError::NotFifo`], [`EvtchnError::BadPriority`], [`EvtchnError::NotOpen`].
    pub fn set_priority(&mut self, port: Port, priority: u32) -> Result<(), EvtchnError> {
        if self.bits.fifo.is_none() {
            return Err(EvtchnError::NotFifo);
        }
        if priority > FIFO_PRIORITY_MIN {
            return Err(EvtchnError::BadPriority(priority));
        }
        self.ports.open_mut(port)?.priority = priority as u8;
        Ok(())
    }
}
