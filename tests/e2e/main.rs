//! End to end, in one process with a server on a port of its own: what only shows at the wire and
//! with many connections. The rules themselves are proven by the conformance suite.

mod bad_frames;
mod many_connections;
mod one_owner;
mod proxy;
mod push;
mod server;
mod wire;
