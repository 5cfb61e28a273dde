//! Who the hypervisor is (`public/version.h`): `xen_version(op, buffer)`.

use crate::layout::{constants, structs};

constants! {
    /// Returns major version in the high half and minor in the low; no buffer.
    OP_VERSION: u32 = 0, "XENVER_version";
    /// Fills a text of [`EXTRAVERSION_LEN`] bytes.
    OP_EXTRAVERSION: u32 = 1, "XENVER_extraversion";
    /// Fills a [`CompileInfo`].
    OP_COMPILE_INFO: u32 = 2, "XENVER_compile_info";
    /// Fills a text of [`CAPABILITIES_INFO_LEN`] bytes.
    OP_CAPABILITIES: u32 = 3, "XENVER_capabilities";
    /// Fills a text of [`CHANGESET_INFO_LEN`] bytes.
    OP_CHANGESET: u32 = 4, "XENVER_changeset";
    /// Fills [`PlatformParameters`].
    OP_PLATFORM_PARAMETERS: u32 = 5, "XENVER_platform_parameters";
    /// Fills a [`FeatureInfo`].
    OP_GET_FEATURES: u32 = 6, "XENVER_get_features";
    /// Returns the page size in bytes; no buffer.
    OP_PAGESIZE: u32 = 7, "XENVER_pagesize";
    /// Fills the caller's own [`DomainHandle`](crate::xen::DomainHandle).
    OP_GUEST_HANDLE: u32 = 8, "XENVER_guest_handle";
    /// Fills a text of [`COMMANDLINE_LEN`] bytes with the hypervisor's command line.
    OP_COMMANDLINE: u32 = 9, "XENVER_commandline";
    /// Fills a [`BuildId`] and the bytes after it, or returns their number if there is no buffer.
    OP_BUILD_ID: u32 = 10, "XENVER_build_id";

    /// Bytes of the extra version.
    EXTRAVERSION_LEN: usize = 16, "XEN_EXTRAVERSION_LEN";
    /// Bytes of the capabilities.
    CAPABILITIES_INFO_LEN: usize = 1024, "XEN_CAPABILITIES_INFO_LEN";
    /// Bytes of the changeset.
    CHANGESET_INFO_LEN: usize = 64, "XEN_CHANGESET_INFO_LEN";
    /// Bytes of the command line.
    COMMANDLINE_LEN: usize = 1024, "sizeof(xen_commandline_t)";
}

structs! {
    /// How the hypervisor was built; zero-terminated texts.
    struct CompileInfo = "struct xen_compile_info" {
        compiler: [u8; 64],
        compile_by: [u8; 16],
        compile_domain: [u8; 32],
        compile_date: [u8; 32],
    }

    /// Where the hypervisor sits in the address space.
    struct PlatformParameters<A> = "struct xen_platform_parameters" {
        /// The first virtual address.
        virt_start: A::Ulong,
    }

    /// 32 feature bits (`features`).
    struct FeatureInfo = "struct xen_feature_info" {
        /// In: which 32.
        submap_idx: u32,
        /// Out: the bits.
        submap: u32,
    }

    /// The head of a build id, which follows it.
    struct BuildId = "struct xen_build_id" {
        /// In: bytes of room after this structure.
        len: u32,
    }
}
