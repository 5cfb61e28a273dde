//! The list of domains.

use hypercall_abi::abi::Word;
use hypercall_abi::sysctl::GetDomainInfoList;

use crate::hypercall::domctl::describe;
use crate::hypercall::{Call, Result};
use crate::ids::DomId;
use crate::machine::Machine;

pub(super) fn list<M: Machine>(call: &Call<'_, M>, op: &mut GetDomainInfoList) -> Result<()> {
    call.hv.bury_the_dead();
    op.num_domains = 0;
    let mut from = DomId(op.first_domain);
    while op.num_domains < op.max_domains
        && let Some(domain) = call.hv.domain_from(from)
    {
        let info = describe(call.hv, &domain);
        call.write_element(op.buffer.get(), op.num_domains.into(), &info)?;
        op.num_domains += 1;
        from = DomId(domain.id.0 + 1);
    }
    Ok(())
}
