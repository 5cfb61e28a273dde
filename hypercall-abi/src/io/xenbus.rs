//! States of a device's two halves, as they write them to `state` in xenstore (`public/io/xenbus.h`).

use crate::layout::constants;

constants! {
    /// No state was written.
    STATE_UNKNOWN: u32 = 0, "XenbusStateUnknown";
    /// Starting.
    STATE_INITIALISING: u32 = 1, "XenbusStateInitialising";
    /// Ready, waits for the other half's details.
    STATE_INIT_WAIT: u32 = 2, "XenbusStateInitWait";
    /// Wrote its details, waits for the other half.
    STATE_INITIALISED: u32 = 3, "XenbusStateInitialised";
    /// Works.
    STATE_CONNECTED: u32 = 4, "XenbusStateConnected";
    /// Wants to end.
    STATE_CLOSING: u32 = 5, "XenbusStateClosing";
    /// Ended.
    STATE_CLOSED: u32 = 6, "XenbusStateClosed";
    /// Changing.
    STATE_RECONFIGURING: u32 = 7, "XenbusStateReconfiguring";
    /// Changed.
    STATE_RECONFIGURED: u32 = 8, "XenbusStateReconfigured";
}
