//! Keys for calls downstream, one per step and one per compensation.

use onceward_core::Identity;

use onceward_keys::Key;
use onceward_keys::derived_key;

/// Name of a compensation's key among the children of its step's key.
const COMPENSATION: &str = "onceward compensation";

/// The key for calls downstream in one step: the same for every try and every attempt, and for no
/// other step or identity. It is the child [`Key::child`] of [`derived_key`] that has the step's
/// name. A test vector, for other languages:
///
/// | namespace | scope | key | step | step key |
/// |---|---|---|---|---|
/// | `orders` | `tenant-9` | `order-1` | `book-truck` | `a7a283189486e6e2827c926b2b30ec26df245cf345f041480dc20dbad43886ca` |
#[must_use]
pub fn step_key(identity: Identity<'_>, step: &str) -> String {
    text(&of_step(identity, step))
}

/// The same for a step's compensation: another key, for cancelling is another call. It is the
/// child named `onceward compensation` of the step's key.
///
/// | namespace | scope | key | step | compensation key |
/// |---|---|---|---|---|
/// | `orders` | `tenant-9` | `order-1` | `book-truck` | `13f207dd490d805ee2e2774e096e0cc984ed30bb2289cfbccceebbea2809240d` |
#[must_use]
pub fn compensation_key(identity: Identity<'_>, step: &str) -> String {
    text(&of_step(identity, step).child(COMPENSATION))
}

fn of_step(identity: Identity<'_>, step: &str) -> Key {
    Key::new(derived_key(identity)).expect("64 bytes").child(step)
}

fn text(key: &Key) -> String {
    key.as_str().expect("a child is hexadecimal digits").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_follow_their_document() {
        let identity = Identity::new("orders", b"tenant-9", b"order-1").unwrap();
        let want = "a7a283189486e6e2827c926b2b30ec26df245cf345f041480dc20dbad43886ca";
        assert_eq!(step_key(identity, "book-truck"), want);
        let want = "13f207dd490d805ee2e2774e096e0cc984ed30bb2289cfbccceebbea2809240d";
        assert_eq!(compensation_key(identity, "book-truck"), want);
    }
}
