//! A small course of churn. A process of its own: it looks at the memory of the whole process, in which
//! nobody else may take any.

use onceward_bench::engine::churn::{Churn, run};

#[test]
fn a_small_course_is_right_s7() {
    let findings = run(Churn { begins: 300_000, alive: 20_000 }, |_| {}).unwrap();
    assert!(findings.faults.is_empty(), "{:?}", findings.faults);
    assert!(run(Churn { begins: 10, alive: 30_000 }, |_| {}).is_err());
}
