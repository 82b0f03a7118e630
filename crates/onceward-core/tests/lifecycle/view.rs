//! What a store asks of an entry between decisions: S6, S7, S8, S21.

use onceward_core::StateName;

use crate::scene::{DOUBTS, LEASE_END, RETENTION_END, SCENES, Standing, Written, at, ms, scenes};

#[test]
fn every_cell_s6_s7_s8_s21() {
    let mut cells = 0;
    for scene in scenes() {
        cells += 1;
        let Some(view) = scene.view() else { continue };
        let now = scene.now();
        let standing = scene.standing();
        let stood = view.at(now);
        if standing == Standing::Absent {
            assert_eq!(stood, None, "{scene:?}: S7, absent from the end of retention on");
            assert_eq!(view.retention_left(now), ms(0), "{scene:?}");
            continue;
        }
        assert_eq!(stood, Some(scene.as_it_stands()), "{scene:?}: what is due is done");
        assert_eq!(view.retention_left(now), ms(10_000 - scene.now_ms), "{scene:?}");

        let leased = matches!(standing, Standing::Leased(_));
        assert_eq!(view.lease_runs(now), leased, "{scene:?}: S6");
        let next = if leased { LEASE_END } else { RETENTION_END };
        assert_eq!(view.next_change(now), at(next), "{scene:?}: S21, the next deadline");

        let (number, name) = match standing {
            Standing::Leased(_) => (DOUBTS, StateName::Reserved),
            Standing::Lapsed => (DOUBTS + 1, StateName::Reserved),
            Standing::InDoubt { number, .. } => (number, StateName::InDoubt),
            Standing::Done(_) => (DOUBTS, StateName::Completed),
            Standing::Absent => unreachable!("left above"),
        };
        assert_eq!(view.doubt_number_at(now), number, "{scene:?}: S8, every lapse is a doubt");
        assert_eq!(stood.map(|view| view.state_name()), Some(name), "{scene:?}");

        let since = match scene.written {
            Written::Kept | Written::NotKept => 1_500,
            _ => 1_000,
        };
        assert_eq!(
            view.age(now),
            ms(scene.now_ms - since),
            "{scene:?}: from completion, or from the acquisition"
        );
    }
    assert_eq!(cells, SCENES);
}
