//! Faults of the test binary itself, so that a sanitizer which reports nothing is known to look.

use std::cell::UnsafeCell;
use std::hint::black_box;
use std::thread;

struct Shared(UnsafeCell<u64>);

// SAFETY: it is not, which is the point: two threads write to it at once.
unsafe impl Sync for Shared {}

static SHARED: Shared = Shared(UnsafeCell::new(0));

fn write() {
    for number in 0..1_000 {
        // SAFETY: none: a data race, for ThreadSanitizer to report.
        unsafe { SHARED.0.get().write_volatile(number) };
    }
}

/// Commits the fault of this name; nothing for no name.
pub(crate) fn run(fault: &str) {
    match fault {
        "" => {}
        "race" => {
            let other = thread::spawn(write);
            write();
            let _ = other.join();
        }
        "overflow" => {
            let bytes = black_box(vec![1_u8; 64]);
            // SAFETY: none: a read past the end, for AddressSanitizer to report.
            let beyond = unsafe { bytes.as_ptr().add(bytes.len()).read_volatile() };
            println!("read {beyond} past the end");
        }
        other => panic!("ONCEWARD_STORM_PLANT={other}: there are race and overflow"),
    }
}
