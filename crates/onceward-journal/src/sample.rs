//! Facts at random, owned, for property tests.

use onceward::lifecycle::{BeginDecision, State, View, begin};
use onceward::{
    AttemptId, Begin, Body, Digest, Event, Fact, Fence, Fingerprint, Identity, Millis, NotKept,
    Policy, SetAside, StoredResult, Timestamp,
};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

/// One fact that borrows nothing.
#[derive(Clone, Debug)]
pub(crate) struct Sample {
    pub(crate) fence: u64,
    pub(crate) at: u64,
    pub(crate) expires_at: u64,
    pub(crate) event: SampleEvent,
}

#[derive(Clone, Debug)]
pub(crate) enum SampleEvent {
    Acquired {
        namespace: &'static str,
        scope: Vec<u8>,
        key: Vec<u8>,
        attempt_id: [u8; 16],
        takeover: Option<(u64, u32)>,
        fingerprint: Fingerprint,
        lease: u64,
        policy: Policy,
        set_aside: SetAside,
    },
    Completed {
        status: u16,
        metadata: Vec<u8>,
        body: Result<Vec<u8>, NotKept>,
        digest: Option<[u8; 32]>,
        bound: Option<Digest>,
    },
    Removed,
    Doubted {
        doubt_number: u32,
    },
    Extended {
        lease: u64,
        doubts_over: u32,
        bound: Option<Digest>,
    },
    Checkpointed {
        ordinal: u32,
        bytes: Vec<u8>,
    },
}

impl Sample {
    /// Lends the fact to `take`.
    pub(crate) fn with<R>(&self, take: impl FnOnce(&Fact<'_>) -> R) -> R {
        let fence = Fence::new(self.fence).expect("a sample's fence");
        let at = Timestamp::from_millis(self.at);
        let expires_at = Timestamp::from_millis(self.expires_at);
        let view;
        let event = match &self.event {
            SampleEvent::Acquired {
                namespace,
                scope,
                key,
                attempt_id,
                takeover,
                fingerprint,
                lease,
                policy,
                set_aside,
            } => {
                let asked = Begin::new(*fingerprint, AttemptId::from_bytes(*attempt_id));
                let granted = match begin(None, &asked, false, at) {
                    BeginDecision::Acquire(grant) => grant.with_fence(fence).0,
                    _ => unreachable!("absent: acquired"),
                };
                view = View {
                    state: State::Reserved {
                        lease_until: at.after(Millis::new(*lease)),
                        policy: *policy,
                    },
                    attempt_number: takeover.map_or(1, |(_, number)| number),
                    expires_at,
                    ..granted
                };
                Event::Acquired {
                    identity: Identity::new(namespace, scope, key).expect("a sample's identity"),
                    view: &view,
                    previous: takeover.and_then(|(previous, _)| Fence::new(previous)),
                    set_aside: *set_aside,
                }
            }
            SampleEvent::Completed { status, metadata, body, digest, bound } => Event::Completed {
                result: StoredResult {
                    status: *status,
                    metadata,
                    body: match body {
                        Ok(body) => Body::Kept(body),
                        Err(why) => Body::NotKept(*why),
                    },
                },
                digest: *digest,
                bound: *bound,
            },
            SampleEvent::Removed => Event::Removed,
            SampleEvent::Doubted { doubt_number } => Event::Doubted { doubt_number: *doubt_number },
            SampleEvent::Extended { lease, doubts_over, bound } => Event::Extended {
                lease: Millis::new(*lease),
                doubts_over: *doubts_over,
                bound: *bound,
            },
            SampleEvent::Checkpointed { ordinal, bytes } => {
                Event::Checkpointed { ordinal: *ordinal, bytes }
            }
        };
        take(&Fact { fence, at, expires_at, retention: expires_at.since(at), event })
    }
}

fn digest() -> impl Strategy<Value = Digest> {
    vec(any::<u8>(), 16..=32).prop_map(|bytes| Digest::new(&bytes).expect("16 to 32 bytes"))
}

fn fingerprint() -> impl Strategy<Value = Fingerprint> {
    prop_oneof![
        Just(Fingerprint::None),
        Just(Fingerprint::Later),
        digest().prop_map(Fingerprint::Digest)
    ]
}

fn not_kept() -> impl Strategy<Value = NotKept> {
    prop_oneof![Just(NotKept::TooLarge), Just(NotKept::Declined), Just(NotKept::Capacity)]
}

fn body() -> impl Strategy<Value = Result<Vec<u8>, NotKept>> {
    prop_oneof![3 => vec(any::<u8>(), 0..600).prop_map(Ok), 1 => not_kept().prop_map(Err)]
}

fn acquired() -> impl Strategy<Value = SampleEvent> {
    (
        prop_oneof![Just("orders"), Just("default"), Just("a.b_c-9")],
        vec(any::<u8>(), 0..=255),
        vec(any::<u8>(), 1..=255),
        any::<[u8; 16]>(),
        option::of((1..=Fence::MAX, any::<u32>())),
        fingerprint(),
        (0..=u64::from(u32::MAX), any::<bool>()),
        (0..=u64::from(u32::MAX), 0..1_u64 << 24),
    )
        .prop_map(
            |(namespace, scope, key, attempt_id, takeover, fingerprint, lease, set_aside)| {
                SampleEvent::Acquired {
                    namespace,
                    scope,
                    key,
                    attempt_id,
                    takeover,
                    fingerprint,
                    lease: lease.0,
                    policy: if lease.1 { Policy::InDoubt } else { Policy::Takeover },
                    set_aside: SetAside { result: set_aside.0, checkpoint: set_aside.1 },
                }
            },
        )
}

fn event() -> impl Strategy<Value = SampleEvent> {
    prop_oneof![
        acquired(),
        (
            any::<u16>(),
            vec(any::<u8>(), 0..64),
            body(),
            any::<Option<[u8; 32]>>(),
            option::of(digest())
        )
            .prop_map(|(status, metadata, body, digest, bound)| SampleEvent::Completed {
                status,
                metadata,
                body,
                digest,
                bound
            }),
        Just(SampleEvent::Removed),
        any::<u32>().prop_map(|doubt_number| SampleEvent::Doubted { doubt_number }),
        (0..=u64::from(u32::MAX), any::<u32>(), option::of(digest())).prop_map(
            |(lease, doubts_over, bound)| SampleEvent::Extended { lease, doubts_over, bound }
        ),
        (any::<u32>(), vec(any::<u8>(), 0..300))
            .prop_map(|(ordinal, bytes)| SampleEvent::Checkpointed { ordinal, bytes }),
    ]
}

/// Any fact that limits allow.
pub(crate) fn sample() -> impl Strategy<Value = Sample> {
    (1..=Fence::MAX, 0..1_u64 << 47, 0..1_u64 << 46, event()).prop_map(
        |(fence, at, retention, event)| Sample { fence, at, expires_at: at + retention, event },
    )
}
