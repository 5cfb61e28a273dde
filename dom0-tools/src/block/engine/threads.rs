//! Operations done by threads that wait for them.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use rustix::fs::{FallocateFlags, fallocate, fdatasync};

use super::{Done, Op, Work};

/// How many operations are under way at once.
const COUNT: usize = 4;

/// The threads. They end when this is dropped.
#[derive(Debug)]
pub struct Threads {
    work: Sender<Work>,
    done: Receiver<Done>,
    wake: Arc<OwnedFd>,
}

impl Threads {
    /// Starts them.
    ///
    /// # Errors
    /// As the system says.
    pub fn new() -> io::Result<Self> {
        let wake = Arc::new(eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC)?);
        let (work, queue) = channel::<Work>();
        let (ready, done) = channel();
        let queue = Arc::new(Mutex::new(queue));
        for _ in 0..COUNT {
            let (queue, ready, wake) = (Arc::clone(&queue), ready.clone(), Arc::clone(&wake));
            thread::Builder::new().name("io".into()).spawn(move || serve(&queue, &ready, &wake))?;
        }
        Ok(Self { work, done, wake })
    }

    pub(super) fn start(&mut self, work: Work) -> io::Result<()> {
        self.work.send(work).map_err(|_| io::Error::other("the threads for I/O are gone"))
    }

    pub(super) fn wait(&mut self, others: [BorrowedFd<'_>; 2], patient: bool) -> io::Result<Vec<Done>> {
        let fds = [self.wake.as_fd(), others[0], others[1]];
        let mut fds = fds.map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN));
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        match poll(&mut fds, (!patient).then_some(&now)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(e) => return Err(e.into()),
        }
        // Read before the list is: what comes later makes it readable again. There may be nothing to read.
        let _ = rustix::io::read(&self.wake, &mut [0; 8]);
        Ok(self.done.try_iter().collect())
    }
}

fn serve(queue: &Mutex<Receiver<Work>>, ready: &Sender<Done>, wake: &OwnedFd) {
    loop {
        let next = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(Work { token, file, op }) = next else { return };
        let (result, buffer) = perform(&file, op);
        if ready.send(Done { token, result, buffer }).is_err() {
            return;
        }
        // It fails only if it is readable for 2^64 reasons already.
        let _ = rustix::io::write(wake, &1u64.to_ne_bytes());
    }
}

fn perform(file: &File, op: Op) -> (io::Result<()>, Vec<u8>) {
    match op {
        Op::Read(offset, mut buffer) => (read(file, offset, &mut buffer), buffer),
        Op::Write(offset, buffer) => (file.write_all_at(&buffer, offset), buffer),
        Op::Sync => (fdatasync(file).map_err(Into::into), Vec::new()),
        Op::Punch(offset, len) => {
            let how = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
            (fallocate(file, how, offset, len).map_err(Into::into), Vec::new())
        }
    }
}

/// Fills `to` from `offset` on; what is after the file's end is zeros.
pub fn read(file: &File, offset: u64, to: &mut [u8]) -> io::Result<()> {
    let mut done = 0;
    while done < to.len() {
        match file.read_at(&mut to[done..], offset + done as u64) {
            Ok(0) => {
                to[done..].fill(0);
                break;
            }
            Ok(count) => done += count,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(())
}
