//! Random numbers that the seed fixes, whatever order things happen in.

use rand::{Rng, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

/// What numbers are drawn for. Each purpose and intent has a stream of its own, so that one
/// drawing more does not shift another.
#[derive(Clone, Copy, Debug)]
pub(super) enum Purpose {
    Schedule,
    Work,
    Kind,
    Key,
    Payload,
    Answer,
    Pause,
}

pub(super) fn random(seed: u64, purpose: Purpose, intent: u32) -> impl Rng {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    random.set_stream(u64::from(intent) << 8 | purpose as u64);
    random
}
