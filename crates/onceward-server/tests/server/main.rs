//! The server over real sockets, by hand-written clients. Ports are the system's choice, and the
//! store's time is the test's.

mod durable;
mod hand_log;
mod hostile;
mod limits;
mod listening;
mod logs;
mod peer;
mod requests;
mod running;
mod shutdown;
mod threads;
mod waiting;
