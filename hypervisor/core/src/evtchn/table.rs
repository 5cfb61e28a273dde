//! The ports of one domain, in chunks that come as they are needed and stay.

use alloc::vec::Vec;

use super::EvtchnError;
use super::channel::{Channel, State};
use crate::fallible;
use crate::ids::{Port, VcpuId};

/// Ports in a chunk.
const CHUNK: u32 = 64;

#[derive(Debug)]
struct Chunk {
    /// Exactly [`CHUNK`] of them.
    channels: Vec<Channel>,
    used: u32,
}

/// All ports. Full chunks are skipped whole, so that looking for a free port takes some thousand steps at most.
#[derive(Debug, Default)]
pub(super) struct PortTable {
    chunks: Vec<Chunk>,
    /// No chunk before this one has a free port.
    first_free: usize,
}

const fn split(port: Port) -> (usize, usize) {
    ((port.0 / CHUNK) as usize, (port.0 % CHUNK) as usize)
}

impl PortTable {
    /// The entry, if the table reaches that far.
    #[inline]
    pub fn get(&self, port: Port) -> Option<&Channel> {
        let (chunk, at) = split(port);
        self.chunks.get(chunk)?.channels.get(at)
    }

    #[inline]
    pub fn get_mut(&mut self, port: Port) -> Option<&mut Channel> {
        let (chunk, at) = split(port);
        self.chunks.get_mut(chunk)?.channels.get_mut(at)
    }

    /// The entry of an open port.
    pub fn open(&self, port: Port) -> Result<&Channel, EvtchnError> {
        self.get(port).filter(|c| c.is_open()).ok_or(EvtchnError::NotOpen(port))
    }

    #[inline]
    pub fn open_mut(&mut self, port: Port) -> Result<&mut Channel, EvtchnError> {
        self.get_mut(port).filter(|c| c.is_open()).ok_or(EvtchnError::NotOpen(port))
    }

    /// One past the highest port that has an entry.
    pub fn end(&self) -> u32 {
        self.chunks.len() as u32 * CHUNK
    }

    /// Opens the lowest free port below `end`.
    pub fn alloc(&mut self, state: State, vcpu: VcpuId, end: u32) -> Result<Port, EvtchnError> {
        while self.chunks.get(self.first_free).is_some_and(|c| c.used == CHUNK) {
            self.first_free += 1;
        }
        if self.first_free == self.chunks.len() {
            self.grow(end)?;
        }
        let at = self.first_free;
        let chunk = self.chunks.get_mut(at).ok_or(EvtchnError::Full { end })?;
        let (offset, channel) = chunk
            .channels
            .iter_mut()
            .enumerate()
            .find(|(_, c)| c.state == State::Free)
            .ok_or(EvtchnError::Full { end })?;
        let port = Port(at as u32 * CHUNK + offset as u32);
        if port.0 >= end {
            return Err(EvtchnError::Full { end });
        }
        *channel = Channel { state, vcpu, queue: channel.queue, ..Channel::FREE };
        chunk.used += 1;
        Ok(port)
    }

    /// Closes an open port.
    pub fn free(&mut self, port: Port) {
        let (at, offset) = split(port);
        let Some(chunk) = self.chunks.get_mut(at) else { return };
        let Some(channel) = chunk.channels.get_mut(offset) else { return };
        debug_assert!(channel.is_open(), "{port} freed twice");
        if channel.is_open() {
            *channel = Channel { queue: channel.queue, ..Channel::FREE };
            chunk.used -= 1;
            self.first_free = self.first_free.min(at);
        }
    }

    fn grow(&mut self, end: u32) -> Result<(), EvtchnError> {
        if self.end() >= end {
            return Err(EvtchnError::Full { end });
        }
        let channels = fallible::filled(CHUNK as usize, || Channel::FREE)?;
        let mut chunk = Chunk { channels, used: 0 };
        if self.chunks.is_empty()
            && let Some(zero) = chunk.channels.first_mut()
        {
            zero.state = State::Reserved;
            chunk.used = 1;
        }
        fallible::push(&mut self.chunks, chunk)?;
        Ok(())
    }
}
