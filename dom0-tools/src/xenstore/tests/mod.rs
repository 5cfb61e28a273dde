//! The store's behaviour as clients see it, by requests and replies.

mod domains;
mod model;
mod nodes;
mod quotas;
mod transactions;
mod watches;
mod world;
