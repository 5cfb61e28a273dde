//! What a command changes of its terminal and has to change back: when the value is dropped, and also when the program
//! panics, which drops nothing, for a panic ends the process here. The newest change is undone first, and before the
//! panic is reported, so that the report is seen.

use std::panic;
use std::sync::{Mutex, MutexGuard, Once, PoisonError};

/// A change that is not yet undone.
struct Step {
    id: u64,
    back: Box<dyn FnOnce() + Send>,
}

/// The changes in the order in which they were made, and the next one's number.
struct Steps {
    next: u64,
    list: Vec<Step>,
}

static STEPS: Mutex<Steps> = Mutex::new(Steps { next: 0, list: Vec::new() });
static HOOK: Once = Once::new();

/// Undoes a change when it is dropped, or at a panic.
#[must_use = "dropping it undoes the change"]
pub struct Undo(u64);

impl Undo {
    /// `back` undoes the change that the caller has made, or is about to make. It must not panic.
    pub fn by(back: impl FnOnce() + Send + 'static) -> Self {
        HOOK.call_once(|| {
            let report = panic::take_hook();
            panic::set_hook(Box::new(move |panic| {
                while let Some(step) = pop() {
                    (step.back)();
                }
                report(panic);
            }));
        });
        let mut steps = steps();
        let id = steps.next;
        steps.next += 1;
        steps.list.push(Step { id, back: Box::new(back) });
        Self(id)
    }
}

impl Drop for Undo {
    fn drop(&mut self) {
        let mut steps = steps();
        let at = steps.list.iter().position(|step| step.id == self.0);
        let step = at.map(|at| steps.list.remove(at));
        drop(steps);
        // A panic in another thread may have been first.
        if let Some(step) = step {
            (step.back)();
        }
    }
}

fn pop() -> Option<Step> {
    steps().list.pop()
}

/// No step runs while the list is locked, so it is whole whatever happened to a holder.
fn steps() -> MutexGuard<'static, Steps> {
    STEPS.lock().unwrap_or_else(PoisonError::into_inner)
}
