//! What the run came to: a table for people, an object for programs, a verdict for both.

use std::fmt::Write as _;

use comfy_table::presets::UTF8_FULL_CONDENSED;
use comfy_table::{CellAlignment, ContentArrangement, Table};
use hdrhistogram::Histogram;
use serde::Serialize;

use super::LEASE;
use super::pass::Figures;
use super::schedule::{Planned, Schedule};
use crate::render::SCHEMA;

/// Everything `--json` prints. Names without a suffix speak of the pass with Onceward.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Report {
    pub(super) schema: &'static str,
    pub(super) seed: u64,
    pub(super) traffic: &'static str,
    pub(super) intents: u32,
    pub(super) disturbed_intents: u32,
    /// Faults planned, by kind.
    pub(super) faults: Planned,
    pub(super) attempts_without: u64,
    pub(super) attempts: u64,
    pub(super) executions_without: u64,
    pub(super) executions: u64,
    pub(super) ledger_rows_without: u64,
    pub(super) ledger_rows: u64,
    pub(super) duplicates_without: u64,
    pub(super) duplicates_with: u64,
    pub(super) duplicates_prevented: u64,
    /// Intents without a single row.
    pub(super) missing_without: u64,
    pub(super) missing: u64,
    pub(super) crashes_without: u64,
    pub(super) crashes: u64,
    pub(super) takeovers: u64,
    /// Takeovers that no caused crash explains.
    pub(super) takeovers_unexplained: u64,
    pub(super) in_doubt_resolved: u64,
    pub(super) in_doubt_completed: u64,
    pub(super) in_doubt_never_done: u64,
    pub(super) waits_answered: u64,
    pub(super) mismatches: u64,
    /// Other payloads under a used key that were executed or answered with its result.
    pub(super) misuses_answered_without: u64,
    pub(super) misuses_answered: u64,
    pub(super) replays: u64,
    pub(super) replays_differing: u64,
    pub(super) answers_differing_without: u64,
    /// Intents whose callers gave up.
    pub(super) unanswered_without: u64,
    pub(super) unanswered: u64,
    pub(super) latency: Latency,
    pub(super) lease_ms: u64,
    pub(super) seconds_without: f64,
    pub(super) seconds: f64,
}

/// Around the client's calls, in the services.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(super) struct Latency {
    pub(super) begin: Quantiles,
    pub(super) complete: Quantiles,
    pub(super) replay: Quantiles,
}

#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(super) struct Quantiles {
    pub(super) count: u64,
    pub(super) p50_us: u64,
    pub(super) p99_us: u64,
}

impl Quantiles {
    fn of(histogram: &Histogram<u64>) -> Self {
        Self {
            count: histogram.len(),
            p50_us: histogram.value_at_quantile(0.5),
            p99_us: histogram.value_at_quantile(0.99),
        }
    }
}

impl Report {
    pub(super) fn new(
        seed: u64,
        traffic: &'static str,
        schedule: &Schedule,
        without: &Figures,
        with: &Figures,
    ) -> Self {
        let intents = schedule.intents();
        let missing = |figures: &Figures| u64::from(intents) - figures.tally.references;
        let duplicates_without = without.tally.duplicates();
        let duplicates_with = with.tally.duplicates();
        let latencies = &with.testimony.latencies;
        Self {
            schema: SCHEMA,
            seed,
            traffic,
            intents,
            disturbed_intents: schedule.disturbed(),
            faults: schedule.planned(),
            attempts_without: without.attempts,
            attempts: with.attempts,
            executions_without: without.testimony.executions,
            executions: with.testimony.executions,
            ledger_rows_without: without.tally.rows,
            ledger_rows: with.tally.rows,
            duplicates_without,
            duplicates_with,
            duplicates_prevented: duplicates_without.saturating_sub(duplicates_with),
            missing_without: missing(without),
            missing: missing(with),
            crashes_without: without.testimony.crashes,
            crashes: with.testimony.crashes,
            takeovers: with.testimony.takeovers,
            takeovers_unexplained: with.testimony.takeovers_unexplained,
            in_doubt_resolved: with.resolved_completed + with.resolved_never_done,
            in_doubt_completed: with.resolved_completed,
            in_doubt_never_done: with.resolved_never_done,
            waits_answered: with.waits_answered,
            mismatches: with.mismatches,
            misuses_answered_without: without.misuses_answered,
            misuses_answered: with.misuses_answered,
            replays: with.replays,
            // An answer may differ where no caller could compare: from what an execution gave
            // whose reply was lost.
            replays_differing: with.replies_differing.max(with.testimony.intents_differing),
            answers_differing_without: without.replies_differing,
            unanswered_without: without.unanswered,
            unanswered: with.unanswered,
            latency: Latency {
                begin: Quantiles::of(&latencies.begin),
                complete: Quantiles::of(&latencies.complete),
                replay: Quantiles::of(&latencies.replay),
            },
            lease_ms: LEASE.as_millis() as u64,
            seconds_without: without.elapsed.as_secs_f64(),
            seconds: with.elapsed.as_secs_f64(),
        }
    }

    /// What must not happen and did, one sentence each. Empty if the promise was kept.
    pub(super) fn broken(&self) -> Vec<String> {
        let rules = [
            (self.duplicates_with, "side effects happened again with Onceward in place"),
            (self.replays_differing, "answers to a used key differ from the first answer"),
            (self.takeovers_unexplained, "takeovers match no crash that was caused"),
            (self.misuses_answered, "other payloads under a used key were not refused"),
            (self.missing, "intents never reached the ledger"),
            (self.unanswered, "intents never got an answer"),
        ];
        let broken = rules.into_iter().filter(|(count, _)| *count > 0);
        broken.map(|(count, what)| format!("{count} {what}")).collect()
    }

    pub(super) fn json(&self) -> String {
        let mut text = serde_json::to_string(self).expect("numbers and text are JSON");
        text.push('\n');
        text
    }

    /// The table, and what it comes to in a sentence.
    pub(super) fn table(&self) -> String {
        let mut table = Table::new();
        table
            .load_preset(UTF8_FULL_CONDENSED)
            .set_content_arrangement(ContentArrangement::Disabled);
        table.set_header(["", "without Onceward", "with Onceward"]);
        let none = String::new;
        let both = |without: u64, with: u64| (number(without), number(with));
        let with = |count: u64| (none(), number(count));
        let intents = u64::from(self.intents);
        let rows = [
            ("intents (orders, shipments, adjustments)", both(intents, intents)),
            (
                "  of these disturbed by a fault",
                both(self.disturbed_intents.into(), self.disturbed_intents.into()),
            ),
            ("attempts by callers", both(self.attempts_without, self.attempts)),
            ("processes killed", both(self.crashes_without, self.crashes)),
            ("executions begun", both(self.executions_without, self.executions)),
            ("ledger rows (side effects)", both(self.ledger_rows_without, self.ledger_rows)),
            ("DUPLICATES", both(self.duplicates_without, self.duplicates_with)),
            (
                "  of these another payload, same key",
                both(self.misuses_answered_without, self.misuses_answered),
            ),
            ("duplicates prevented", with(self.duplicates_prevented)),
            ("retries answered by replay", with(self.replays)),
            (
                "retries answered differently",
                both(self.answers_differing_without, self.replays_differing),
            ),
            ("waits answered by push", with(self.waits_answered)),
            ("mismatches refused", with(self.mismatches)),
            ("takeovers after a crash", with(self.takeovers)),
            ("in doubt, resolved", with(self.in_doubt_resolved)),
            ("  found done", with(self.in_doubt_completed)),
            ("  found never done", with(self.in_doubt_never_done)),
            ("begin, p50 / p99", (none(), self.latency.begin.shown())),
            ("complete, p50 / p99", (none(), self.latency.complete.shown())),
            ("replay, p50 / p99", (none(), self.latency.replay.shown())),
            ("took", (seconds(self.seconds_without), seconds(self.seconds))),
        ];
        for (name, (without, with)) in rows {
            table.add_row([name, &without, &with]);
        }
        for column in 1..3 {
            if let Some(column) = table.column_mut(column) {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        let mut text = format!("{table}\n\n");
        let broken = self.broken();
        let verdict = if broken.is_empty() {
            format!(
                "Without Onceward {} side effects happened again. With it none did, and every retry got the first answer.",
                number(self.duplicates_without)
            )
        } else {
            format!("The promise was broken: {}.", broken.join("; "))
        };
        let again = format!(
            "The same traffic and faults again: --requests {} --seed {}",
            self.intents, self.seed
        );
        let _ = writeln!(text, "{verdict}\n{again}"); // A string takes every write.
        text
    }
}

impl Quantiles {
    fn shown(self) -> String {
        format!("{} / {}", milliseconds(self.p50_us), milliseconds(self.p99_us))
    }
}

fn milliseconds(us: u64) -> String {
    format!("{:.2} ms", us as f64 / 1_000.0)
}

fn seconds(seconds: f64) -> String {
    format!("{seconds:.1} s")
}

/// With a separator for each thousand.
fn number(value: u64) -> String {
    let digits = value.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::super::ledger::Tally;
    use super::super::traffic::Traffic;
    use super::super::witness::Testimony;
    use super::*;

    fn figures(rows: u64) -> Figures {
        Figures { tally: Tally { rows, references: 100 }, ..Figures::default() }
    }

    fn report(with: &Figures) -> Report {
        let schedule = Schedule::draw(7, 100, 30, &Traffic::generated(7));
        Report::new(7, "generated", &schedule, &figures(131), with)
    }

    #[test]
    fn the_run_fails_exactly_where_the_promise_is_broken() {
        let good = figures(100);
        let testimony = Testimony::default();
        #[rustfmt::skip]
        let cases = [
            ("all is well", good.clone(), None),
            ("a duplicate", figures(101), Some("1 side effects happened again")),
            ("a reply differed, as a caller saw", Figures { replies_differing: 2, ..good.clone() }, Some("2 answers to a used key differ")),
            ("an answer differed, as nobody could see", Figures { testimony: Testimony { intents_differing: 3, ..testimony.clone() }, ..good.clone() }, Some("3 answers to a used key differ")),
            ("a takeover without a crash", Figures { testimony: Testimony { takeovers: 4, takeovers_unexplained: 1, ..testimony.clone() }, ..good.clone() }, Some("1 takeovers match no crash")),
            ("takeovers with their crashes", Figures { testimony: Testimony { takeovers: 4, ..testimony }, ..good.clone() }, None),
            ("another payload was answered", Figures { misuses_answered: 1, ..good.clone() }, Some("1 other payloads under a used key")),
            ("an intent was lost", Figures { tally: Tally { rows: 99, references: 99 }, ..good.clone() }, Some("1 intents never reached the ledger")),
            ("a caller gave up", Figures { unanswered: 1, ..good.clone() }, Some("1 intents never got an answer")),
        ];
        for (why, with, want) in cases {
            let report = report(&with);
            let broken = report.broken();
            match want {
                None => assert!(broken.is_empty(), "{why}: {broken:?}"),
                Some(want) => {
                    assert_eq!(broken.len(), 1, "{why}: {broken:?}");
                    assert!(broken[0].contains(want), "{why}: {broken:?}");
                    assert!(report.table().contains("promise was broken"), "{why}");
                }
            }
        }
    }

    #[test]
    fn faults_of_the_pass_without_onceward_break_no_promise() {
        let report = report(&figures(100));
        assert_eq!(report.duplicates_without, 31);
        assert_eq!(report.duplicates_prevented, 31);
        let table = report.table();
        assert!(table.contains("31 side effects happened again. With it none did"), "{table}");
    }

    #[test]
    fn figures_are_read_by_people() {
        let cases = [
            (0, "0"),
            (999, "999"),
            (1_000, "1,000"),
            (20_000, "20,000"),
            (1_234_567, "1,234,567"),
        ];
        for (value, want) in cases {
            assert_eq!(number(value), want);
        }
    }
}
