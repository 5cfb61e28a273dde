//! The xenstore protocol (`public/io/xs_wire.h`): messages, on a socket or through a guest's xenstore page.

use crate::errno::Errno;
use crate::layout::{constants, flags, structs};

constants! {
    /// Control of the daemon.
    CONTROL: u32 = 0, "XS_CONTROL";
    /// Lists children.
    DIRECTORY: u32 = 1, "XS_DIRECTORY";
    /// Reads a value.
    READ: u32 = 2, "XS_READ";
    /// Reads permissions.
    GET_PERMS: u32 = 3, "XS_GET_PERMS";
    /// Sets a watch: path and token.
    WATCH: u32 = 4, "XS_WATCH";
    /// Removes a watch.
    UNWATCH: u32 = 5, "XS_UNWATCH";
    /// Starts a transaction.
    TRANSACTION_START: u32 = 6, "XS_TRANSACTION_START";
    /// Ends a transaction: "T" commits, "F" aborts.
    TRANSACTION_END: u32 = 7, "XS_TRANSACTION_END";
    /// Introduces a domain: id, frame, port.
    INTRODUCE: u32 = 8, "XS_INTRODUCE";
    /// Forgets a domain.
    RELEASE: u32 = 9, "XS_RELEASE";
    /// Asks for a domain's home.
    GET_DOMAIN_PATH: u32 = 10, "XS_GET_DOMAIN_PATH";
    /// Writes a value.
    WRITE: u32 = 11, "XS_WRITE";
    /// Creates a node.
    MKDIR: u32 = 12, "XS_MKDIR";
    /// Removes a node and what is below.
    RM: u32 = 13, "XS_RM";
    /// Writes permissions.
    SET_PERMS: u32 = 14, "XS_SET_PERMS";
    /// From the daemon: a watch fired.
    WATCH_EVENT: u32 = 15, "XS_WATCH_EVENT";
    /// From the daemon: an error's name.
    ERROR: u32 = 16, "XS_ERROR";
    /// Asks whether a domain was introduced.
    IS_DOMAIN_INTRODUCED: u32 = 17, "XS_IS_DOMAIN_INTRODUCED";
    /// A domain goes on after a suspend.
    RESUME: u32 = 18, "XS_RESUME";
    /// Gives a domain another one's permissions.
    SET_TARGET: u32 = 19, "XS_SET_TARGET";
    /// Removes all of the caller's watches.
    RESET_WATCHES: u32 = 21, "XS_RESET_WATCHES";
    /// Lists children from an offset.
    DIRECTORY_PART: u32 = 22, "XS_DIRECTORY_PART";
    /// How many types there are.
    TYPE_COUNT: u32 = 23, "XS_TYPE_COUNT";
    /// No type.
    INVALID: u32 = 0xffff, "XS_INVALID";

    /// First string of a watch event.
    WATCH_PATH: usize = 0, "XS_WATCH_PATH";
    /// Second string of a watch event.
    WATCH_TOKEN: usize = 1, "XS_WATCH_TOKEN";

    /// Bytes of each ring.
    RING_SIZE: usize = 1024, "XENSTORE_RING_SIZE";
    /// Bytes that may follow a [`SockMsg`].
    PAYLOAD_MAX: usize = 4096, "XENSTORE_PAYLOAD_MAX";
    /// Bytes of an absolute path.
    ABS_PATH_MAX: usize = 3072, "XENSTORE_ABS_PATH_MAX";
    /// Bytes of a relative path.
    REL_PATH_MAX: usize = 2048, "XENSTORE_REL_PATH_MAX";

    /// [`Interface::connection`]: at work.
    CONNECTED: u32 = 0, "XENSTORE_CONNECTED";
    /// [`Interface::connection`]: the guest wants to start over.
    RECONNECT: u32 = 1, "XENSTORE_RECONNECT";
    /// [`Interface::error`]: none.
    ERROR_NONE: u32 = 0, "XENSTORE_ERROR_NONE";
    /// [`Interface::error`]: communication failed.
    ERROR_COMM: u32 = 1, "XENSTORE_ERROR_COMM";
    /// [`Interface::error`]: an index is out of range.
    ERROR_RINGIDX: u32 = 2, "XENSTORE_ERROR_RINGIDX";
    /// [`Interface::error`]: a message is malformed.
    ERROR_PROTO: u32 = 3, "XENSTORE_ERROR_PROTO";
}

/// The errors that the protocol can name; an [`ERROR`] message holds the name.
pub const ERRORS: [Errno; 16] = [
    Errno::EINVAL,
    Errno::EACCES,
    Errno::EEXIST,
    Errno::EISDIR,
    Errno::ENOENT,
    Errno::ENOMEM,
    Errno::ENOSPC,
    Errno::EIO,
    Errno::ENOTEMPTY,
    Errno::ENOSYS,
    Errno::EROFS,
    Errno::EBUSY,
    Errno::EAGAIN,
    Errno::EISCONN,
    Errno::E2BIG,
    Errno::EPERM,
];

flags! {
    /// [`Interface::server_features`].
    struct ServerFeatures: u32 {
        /// The guest may start over.
        const RECONNECTION = 1, "XENSTORE_SERVER_FEATURE_RECONNECTION";
        /// Errors are reported.
        const ERROR = 2, "XENSTORE_SERVER_FEATURE_ERROR";
    }
}

structs! {
    /// The head of a message.
    struct SockMsg = "struct xsd_sockmsg" {
        /// One of the types; a reply has the request's.
        kind: u32 = "type",
        /// The sender's choice; a reply repeats it.
        req_id: u32,
        /// The transaction, or 0.
        tx_id: u32,
        /// Bytes that follow.
        len: u32,
    }

    /// A guest's xenstore page. Indices run freely; the byte is at the index modulo [`RING_SIZE`].
    struct Interface = "struct xenstore_domain_interface" {
        /// From the guest.
        req: [u8; 1024],
        /// To the guest.
        rsp: [u8; 1024],
        req_cons: u32,
        req_prod: u32,
        rsp_cons: u32,
        rsp_prod: u32,
        /// What the daemon can do.
        server_features: ServerFeatures,
        /// [`CONNECTED`] or [`RECONNECT`].
        connection: u32,
        /// `ERROR_*`.
        error: u32,
    }
}
