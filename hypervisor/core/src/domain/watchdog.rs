//! A domain's watchdogs (`SCHEDOP_watchdog`): timers that shut it down unless it feeds them.

use crate::sync::{Class, Lock};
use crate::time::Nanos;

const COUNT: usize = 2;

/// The watchdogs of a domain.
#[derive(Debug)]
pub struct Watchdogs(Lock<[Option<Nanos>; COUNT]>);

impl Watchdogs {
    /// None is on.
    pub fn none() -> Self {
        Self(Lock::new(Class::Watchdog, [None; COUNT]))
    }

    /// Starts one (`id` 0), or changes number `id`; [`Nanos::NEVER`] stops it. Returns its number; `None` if there is no
    /// such watchdog or none is free.
    pub fn set(&self, id: u32, deadline: Nanos) -> Option<u32> {
        let mut all = self.0.lock();
        let index = match id {
            0 if deadline == Nanos::NEVER => return None,
            0 => all.iter().position(Option::is_none)?,
            id => (id as usize).checked_sub(1)?,
        };
        let slot = all.get_mut(index)?;
        if id != 0 && slot.is_none() {
            return None;
        }
        *slot = Some(deadline).filter(|deadline| *deadline != Nanos::NEVER);
        Some(index as u32 + 1)
    }

    /// Whether one has run out.
    pub fn expired(&self, now: Nanos) -> bool {
        self.0.lock().iter().flatten().any(|deadline| *deadline <= now)
    }

    /// When the first runs out.
    pub fn first(&self) -> Nanos {
        self.0.lock().iter().flatten().copied().min().unwrap_or(Nanos::NEVER)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_and_no_more() {
        let dogs = Watchdogs::none();
        assert_eq!(dogs.set(0, Nanos::NEVER), None);
        assert_eq!(dogs.set(0, Nanos(50)), Some(1));
        assert_eq!(dogs.set(0, Nanos(20)), Some(2));
        assert_eq!(dogs.set(0, Nanos(20)), None);
        assert_eq!(dogs.first(), Nanos(20));
        assert_eq!(dogs.set(2, Nanos(80)), Some(2));
        assert!(!dogs.expired(Nanos(49)) && dogs.expired(Nanos(50)));
        assert_eq!(dogs.set(1, Nanos::NEVER), Some(1));
        assert_eq!(dogs.set(1, Nanos(1)), None);
        assert_eq!(dogs.set(3, Nanos(1)), None);
        assert!(!dogs.expired(Nanos(79)));
    }
}
