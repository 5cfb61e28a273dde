//! Both engines do the same.

use std::os::fd::AsFd;

use rustix::event::{EventfdFlags, eventfd};

use super::*;

/// Does `op` and waits for it.
fn one(engine: &mut Engine, file: &Arc<File>, op: Op) -> Done {
    let others = [0, 1].map(|_| eventfd(0, EventfdFlags::NONBLOCK).unwrap());
    engine.start(Work { token: 5, file: Arc::clone(file), op }).unwrap();
    loop {
        if let Some(done) = engine.wait([others[0].as_fd(), others[1].as_fd()], true).unwrap().pop() {
            assert_eq!(done.token, 5);
            return done;
        }
    }
}

fn every_operation(mut engine: Engine) {
    let file = Arc::new(tempfile::tempfile().unwrap());
    let mut all = |op| one(&mut engine, &file, op);
    assert!(all(Op::Write(4096, vec![7; 12288])).result.is_ok());
    assert!(all(Op::Sync).result.is_ok());
    assert!(all(Op::Punch(8192, 4096)).result.is_ok());
    // Beyond the end of the file, too.
    let read = all(Op::Read(4096, vec![1; 16384]));
    assert!(read.result.is_ok());
    let right: Vec<u8> = [7, 0, 7, 0].iter().flat_map(|byte| [*byte; 4096]).collect();
    assert!(read.buffer == right);
    let unwritable = Arc::new(File::open("/dev/null").unwrap());
    let refused = one(&mut engine, &unwritable, Op::Write(0, vec![1; 512]));
    assert!(refused.result.is_err());
}

#[test]
fn threads_do_every_operation() {
    every_operation(Engine::Threads(Threads::new().unwrap()));
}

#[test]
fn the_kernels_queue_does_every_operation() {
    // A host may have none.
    if let Ok(uring) = Uring::new() {
        every_operation(Engine::Uring(Box::new(uring)));
    }
}

#[test]
fn waiting_ends_when_another_file_can_be_read() {
    for mut engine in
        [Some(Engine::Threads(Threads::new().unwrap())), Uring::new().ok().map(Box::new).map(Engine::Uring)]
            .into_iter()
            .flatten()
    {
        let others = [0, 1].map(|count| eventfd(count, EventfdFlags::NONBLOCK).unwrap());
        for _ in 0..2 {
            assert!(engine.wait([others[0].as_fd(), others[1].as_fd()], true).unwrap().is_empty());
        }
    }
}
