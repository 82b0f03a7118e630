//! The server over real sockets, by hand-written clients. Ports are the system's choice, and the
//! store's time is the test's.

mod peer;
mod requests;
mod running;
