//! The journal of an installation with several machines: an etcd cluster that all of them reach.
//!
//! `keys` says what stands where, `rows` what it looks like. `wire` is how etcd is spoken to, `answer` what it says, and
//! `gateway` finds a member that does. `append` puts events there (`page` is what it knows of a run), `lease` keeps who
//! may change a cluster, `reader` looks on; all of it runs on the thread of `worker`.
//!
//! etcd because it is what sites with Patroni or Kubernetes have already, answers only what a majority has agreed on, and
//! takes a key away by itself when its owner stops saying that it lives. It is asked over its JSON gateway: a client of
//! gRPC would need the compiler of its protocol to be built, and a second HTTP library, for four kinds of requests.
//!
//! Every request may reach etcd twice, or after it was given up, because a member that did not answer may have passed it
//! on. So all that changes something is a transaction that compares what it stands on first, and what it finds instead
//! tells whether an earlier try has done it already.

mod answer;
mod append;
mod gateway;
mod keys;
mod lease;
mod messages;
mod notes;
mod page;
mod reader;
mod rows;
mod shared;
mod store;
mod wire;
mod worker;

pub use store::EtcdStore;

#[cfg(test)]
mod tests;
