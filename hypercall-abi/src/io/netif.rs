//! Network devices (`public/io/netif.h`). A packet is one or more slots of a ring.

use crate::layout::{constants, flags, structs};
use crate::plain::Union;

constants! {
    /// Slots that every backend takes for one packet.
    NR_SLOTS_MIN: usize = 18, "XEN_NETIF_NR_SLOTS_MIN";
    /// Bytes of a packet.
    MAX_TX_SIZE: usize = 0xffff, "XEN_NETIF_MAX_TX_SIZE";

    /// Nothing.
    EXTRA_TYPE_NONE: u8 = 0, "XEN_NETIF_EXTRA_TYPE_NONE";
    /// [`ExtraGso`].
    EXTRA_TYPE_GSO: u8 = 1, "XEN_NETIF_EXTRA_TYPE_GSO";
    /// A multicast address to be received.
    EXTRA_TYPE_MCAST_ADD: u8 = 2, "XEN_NETIF_EXTRA_TYPE_MCAST_ADD";
    /// A multicast address to be received no longer.
    EXTRA_TYPE_MCAST_DEL: u8 = 3, "XEN_NETIF_EXTRA_TYPE_MCAST_DEL";
    /// A hash.
    EXTRA_TYPE_HASH: u8 = 4, "XEN_NETIF_EXTRA_TYPE_HASH";
    /// How many types there are.
    EXTRA_TYPE_MAX: u8 = 5, "XEN_NETIF_EXTRA_TYPE_MAX";
    /// No segmentation.
    GSO_TYPE_NONE: u8 = 0, "XEN_NETIF_GSO_TYPE_NONE";
    /// TCP over IPv4.
    GSO_TYPE_TCPV4: u8 = 1, "XEN_NETIF_GSO_TYPE_TCPV4";
    /// TCP over IPv6.
    GSO_TYPE_TCPV6: u8 = 2, "XEN_NETIF_GSO_TYPE_TCPV6";

    /// The packet was dropped.
    RSP_DROPPED: i16 = -2, "NETIF_RSP_DROPPED";
    /// Failed.
    RSP_ERROR: i16 = -1, "NETIF_RSP_ERROR";
    /// Done.
    RSP_OKAY: i16 = 0, "NETIF_RSP_OKAY";
    /// Nothing: answers the slot of an [`ExtraInfo`].
    RSP_NULL: i16 = 1, "NETIF_RSP_NULL";
}

flags! {
    /// [`TxRequest::flags`].
    struct TxFlags: u16 {
        /// The checksum is still to be filled in.
        const CSUM_BLANK = 1 << 0, "NETTXF_csum_blank";
        /// The data is known to be right.
        const DATA_VALIDATED = 1 << 1, "NETTXF_data_validated";
        /// The packet goes on in the next slot.
        const MORE_DATA = 1 << 2, "NETTXF_more_data";
        /// An [`ExtraInfo`] follows.
        const EXTRA_INFO = 1 << 3, "NETTXF_extra_info";
    }

    /// [`RxResponse::flags`].
    struct RxFlags: u16 {
        /// The data is known to be right.
        const DATA_VALIDATED = 1 << 0, "NETRXF_data_validated";
        /// The checksum is still to be filled in.
        const CSUM_BLANK = 1 << 1, "NETRXF_csum_blank";
        /// The packet goes on in the next slot.
        const MORE_DATA = 1 << 2, "NETRXF_more_data";
        /// An [`ExtraInfo`] follows.
        const EXTRA_INFO = 1 << 3, "NETRXF_extra_info";
        /// The segment size comes before the packet.
        const GSO_PREFIX = 1 << 4, "NETRXF_gso_prefix";
    }

    /// [`ExtraInfo::flags`].
    struct ExtraFlags: u8 {
        /// Another one follows.
        const MORE = 1 << 0, "XEN_NETIF_EXTRA_FLAG_MORE";
    }
}

structs! {
    /// Data to be sent.
    struct TxRequest = "struct netif_tx_request" {
        /// The page's grant.
        gref: u32,
        /// Where in the page, in bytes.
        offset: u16,
        flags: TxFlags,
        /// The frontend's; the response repeats it.
        id: u16,
        /// Bytes: of the packet in its first slot, of the slot in the others.
        size: u16,
    }

    /// More about a packet; takes a slot.
    struct ExtraInfo = "struct netif_extra_info" {
        /// `EXTRA_TYPE_*`.
        kind: u8 = "type",
        flags: ExtraFlags,
        /// As `kind` says.
        u: Union<[u16; 3]>,
    }

    /// How to cut a packet into segments.
    struct ExtraGso = "typeof(((struct netif_extra_info *)0)->u.gso)" {
        /// Bytes of data in a segment.
        size: u16,
        /// `GSO_TYPE_*`.
        kind: u8 = "type",
        /// Zero.
        pad: u8,
        /// Zero.
        features: u16,
    }

    /// What became of a request to send.
    struct TxResponse = "struct netif_tx_response" {
        /// The request's.
        id: u16,
        /// `RSP_*`.
        status: i16,
    }

    /// A page to receive into.
    struct RxRequest = "struct netif_rx_request" {
        /// The frontend's; the response repeats it.
        id: u16,
        /// Zero.
        pad: u16,
        /// The page's grant.
        gref: u32,
    }

    /// What was received.
    struct RxResponse = "struct netif_rx_response" {
        /// The request's.
        id: u16,
        /// Where in the page, in bytes.
        offset: u16,
        flags: RxFlags,
        /// Bytes, or a negative `RSP_*`.
        status: i16,
    }
}
