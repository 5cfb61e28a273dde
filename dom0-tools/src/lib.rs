//! What the tools of domain 0 share.
