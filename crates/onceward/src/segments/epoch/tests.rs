use super::*;

const fn at(millis: u64) -> Timestamp {
    Timestamp::from_millis(millis)
}

#[test]
fn a_stamp_is_past_two_epochs_later() {
    let epochs = Epochs::new(4, at(0));
    let stamp = epochs.stamp();
    for (advanced, past) in [(1, false), (2, true), (3, true)] {
        assert_eq!(epochs.try_advance(at(0)), Some(advanced));
        assert_eq!(epochs.is_past(stamp), past, "{advanced}");
    }
    assert!(!epochs.is_past(epochs.stamp()));
}

#[test]
fn a_pin_lets_one_epoch_begin_and_no_more_s16() {
    let epochs = Epochs::new(4, at(0));
    let outer = epochs.pin(1);
    assert_eq!(epochs.try_advance(at(0)), Some(1), "it is pinned at 0, the epoch that ends");
    let inner = epochs.pin(1);
    assert_eq!(epochs.try_advance(at(0)), None, "the outer one");
    drop(outer);
    assert_eq!(epochs.try_advance(at(0)), Some(2));
    assert_eq!(epochs.try_advance(at(0)), None, "the inner one");
    drop(inner);
    assert_eq!(epochs.try_advance(at(0)), Some(3));
}

#[test]
fn the_age_of_the_oldest_pin_is_that_of_its_epoch() {
    let epochs = Epochs::new(4, at(100));
    assert_eq!(epochs.oldest_pin_age(at(150)), None);
    let old = epochs.pin(0);
    assert_eq!(epochs.oldest_pin_age(at(150)), Some(Millis::new(50)));
    epochs.try_advance(at(160));
    let young = epochs.pin(3);
    assert_eq!(epochs.oldest_pin_age(at(200)), Some(Millis::new(100)), "of the older one");
    drop(old);
    assert_eq!(epochs.oldest_pin_age(at(200)), Some(Millis::new(40)));
    drop(young);
    for advance in 0..20 {
        epochs.try_advance(at(1_000 + advance));
    }
    let _pin = epochs.pin(0);
    assert_eq!(epochs.oldest_pin_age(at(1_020)), Some(Millis::new(1)), "instants are reused");
}

#[test]
fn more_pins_than_slots_wait_for_each_other() {
    let epochs = Epochs::new(2, at(0));
    std::thread::scope(|scope| {
        for hint in 0..4 {
            let epochs = &epochs;
            scope.spawn(move || {
                for _ in 0..2_000 {
                    drop(epochs.pin(hint));
                    epochs.try_advance(at(0));
                }
            });
        }
    });
    assert!(epochs.try_advance(at(0)).is_some(), "no slot was left pinned");
    assert_eq!(epochs.oldest_pin_age(at(0)), None);
}
