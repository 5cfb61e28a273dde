//! EFI's runtime services, called for domain 0.

use crate::layout::{constants, structs};
use crate::plain::Union;

constants! {
    /// [`EfiGetTime`].
    EFI_GET_TIME: u32 = 1, "XEN_EFI_get_time";
    /// [`EfiTime`].
    EFI_SET_TIME: u32 = 2, "XEN_EFI_set_time";
    /// [`EfiTime`].
    EFI_GET_WAKEUP_TIME: u32 = 3, "XEN_EFI_get_wakeup_time";
    /// [`EfiTime`].
    EFI_SET_WAKEUP_TIME: u32 = 4, "XEN_EFI_set_wakeup_time";
    /// The count is in `misc`.
    EFI_GET_NEXT_HIGH_MONOTONIC_COUNT: u32 = 5, "XEN_EFI_get_next_high_monotonic_count";
    /// [`EfiVariable`].
    EFI_GET_VARIABLE: u32 = 6, "XEN_EFI_get_variable";
    /// [`EfiVariable`].
    EFI_SET_VARIABLE: u32 = 7, "XEN_EFI_set_variable";
    /// [`EfiNextVariableName`].
    EFI_GET_NEXT_VARIABLE_NAME: u32 = 8, "XEN_EFI_get_next_variable_name";
    /// [`EfiVariableInfo`].
    EFI_QUERY_VARIABLE_INFO: u32 = 9, "XEN_EFI_query_variable_info";
    /// Capsules.
    EFI_QUERY_CAPSULE_CAPABILITIES: u32 = 10, "XEN_EFI_query_capsule_capabilities";
    /// Capsules.
    EFI_UPDATE_CAPSULE: u32 = 11, "XEN_EFI_update_capsule";
}

structs! {
    /// A time.
    struct EfiTime = "struct xenpf_efi_time" {
        year: u16,
        month: u8,
        day: u8,
        hour: u8,
        min: u8,
        sec: u8,
        _pad0: u8,
        ns: u32,
        /// Minutes from UTC.
        tz: i16,
        daylight: u8,
        _pad1: u8,
    }

    /// A GUID.
    struct EfiGuid = "struct xenpf_efi_guid" {
        data1: u32,
        data2: u16,
        data3: u16,
        data4: [u8; 8],
    }

    /// A call.
    struct EfiRuntimeCall<A> = "struct xenpf_efi_runtime_call" {
        /// In: `EFI_*`.
        function: u32,
        /// In and out: flags or numbers, as the function has them.
        misc: u32,
        /// Out: EFI's status.
        status: A::Ulong,
        /// The argument.
        u: Union<A::Pick<[u64; 5], [u32; 7]>>,
    }

    /// The clock and its precision.
    struct EfiGetTime = "typeof(((struct xenpf_efi_runtime_call *)0)->u.get_time)" {
        time: EfiTime,
        resolution: u32,
        accuracy: u32,
    }

    /// A variable.
    struct EfiVariable<A> = "typeof(((struct xenpf_efi_runtime_call *)0)->u.get_variable)" {
        name: A::Handle,
        /// Bytes of `data`.
        size: A::Ulong,
        data: A::Handle,
        vendor_guid: EfiGuid,
    }

    /// The variable after this one.
    struct EfiNextVariableName<A> = "typeof(((struct xenpf_efi_runtime_call *)0)->u.get_next_variable_name)" {
        /// Bytes of `name`.
        size: A::Ulong,
        name: A::Handle,
        vendor_guid: EfiGuid,
    }

    /// The store of variables, in bytes.
    struct EfiVariableInfo<A> = "typeof(((struct xenpf_efi_runtime_call *)0)->u.query_variable_info)" {
        attr: u32,
        _pad: A::Pick<[u8; 4], [u8; 0]>,
        max_store_size: A::U64,
        remain_store_size: A::U64,
        max_size: A::U64,
    }
}
