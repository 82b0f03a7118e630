//! The journal on disks that fail, over simulated time and over threads.

mod crashes;
mod disk;
mod lifetimes;
mod scene;
mod starts;
mod threads;
