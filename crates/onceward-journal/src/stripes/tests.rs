use super::*;
use crate::sample::{Sample, SampleEvent};

fn removed(fence: u64, body: u64) -> Sample {
    Sample { fence, at: 5, expires_at: 5 + body, event: SampleEvent::Removed }
}

#[test]
fn a_fact_stays_only_if_its_commit_came_about_s4() {
    let stripes = Stripes::new(1);
    let mut told = Vec::new();
    for came_about in [true, false, true] {
        let recorded = removed(7, 100).with(|fact| {
            stripes.record(fact, &mut |position| {
                told.push(position.0);
                came_about
            })
        });
        assert_eq!(recorded.kept, came_about);
    }
    assert_eq!(told, [1, 1, 1]);
    let round = stripes.take(&mut Vec::new());
    assert_eq!((round.number, round.facts, round.largest_fence), (1, 2, 7));
    assert_eq!(round.oldest, Some(Timestamp::from_millis(5)));
    assert_eq!(stripes.oldest(), None);
    let [(level, buffer)] = &round.buffers[..] else { panic!("one level") };
    assert_eq!((level.number(), buffer.end.as_millis()), (14, 105));
    assert_eq!(stripes.take(&mut Vec::new()).number, 2, "an empty round counts, too");
}
