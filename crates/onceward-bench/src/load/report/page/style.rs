//! How a target is drawn: the same in every figure, and told apart without colour, too.

use maud::{Markup, html};

use crate::load::record::Document;
use crate::load::report::block::{FLOOR, OWN};
use crate::load::report::table::targets;

/// Classes of the style sheet for targets that are neither ours nor the floor.
const OTHERS: [&str; 6] = ["s0", "s1", "s2", "s3", "s4", "s5"];

/// One target's.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Style {
    /// Colour, dash and width, by class.
    pub(super) class: &'static str,
    mark: usize,
}

/// All targets', by name.
#[derive(Debug)]
pub(super) struct Styles(Vec<(String, Style)>);

impl Styles {
    pub(super) fn of(document: &Document) -> Self {
        let targets = targets(document);
        let exact = targets.iter().any(|target| target.name == OWN);
        let mut others = 0;
        let mut own_seen = false;
        let style = |name: &str| {
            let ours = if exact { name == OWN } else { !own_seen && name.starts_with(OWN) };
            own_seen |= ours;
            let class = if ours {
                "own"
            } else if name == FLOOR {
                "floor"
            } else {
                others += 1;
                OTHERS[(others - 1) % OTHERS.len()]
            };
            // Beyond six, colours come again with another mark.
            let mark =
                if class.starts_with('s') { others + (others - 1) / OTHERS.len() } else { 0 };
            Style { class, mark }
        };
        let names: Vec<_> = targets.iter().map(|target| target.name.clone()).collect();
        let styles: Vec<_> = names.iter().map(String::as_str).map(style).collect();
        Self(names.into_iter().zip(styles).collect())
    }

    pub(super) fn get(&self, target: &str) -> Style {
        let found = self.0.iter().find(|(name, _)| name == target);
        found.map_or(Style { class: "floor", mark: 0 }, |(_, style)| *style)
    }
}

impl Style {
    /// A mark at a point; `hollow` for what is not to be relied on.
    pub(super) fn mark(self, (x, y): (f64, f64), hollow: bool, says: &str) -> Markup {
        let corners: &[(f64, f64)] = match self.mark % 5 {
            0 => &[],
            1 => &[(-4.0, -4.0), (4.0, -4.0), (4.0, 4.0), (-4.0, 4.0)],
            2 => &[(0.0, -5.0), (5.0, 4.0), (-5.0, 4.0)],
            3 => &[(0.0, -5.5), (5.5, 0.0), (0.0, 5.5), (-5.5, 0.0)],
            _ => &[(0.0, 5.0), (5.0, -4.0), (-5.0, -4.0)],
        };
        let points: Vec<_> =
            corners.iter().map(|(dx, dy)| format!("{:.1},{:.1}", x + dx, y + dy)).collect();
        let class = format!("{} {}", self.class, if hollow { "hollow" } else { "dot" });
        html! {
            @if points.is_empty() {
                circle class=(class) cx={ (format!("{x:.1}")) } cy={ (format!("{y:.1}")) } r="4" {
                    title { (says) }
                }
            } @else {
                polygon class=(class) points=(points.join(" ")) { title { (says) } }
            }
        }
    }
}

/// What the lines and marks of a figure are.
pub(super) fn legend(entries: &[(String, Style)]) -> Markup {
    html! {
        ul.legend {
            @for (label, style) in entries {
                li {
                    svg viewBox="0 0 38 12" aria-hidden="true" {
                        path class={ "trace " (style.class) } d="M1 6H37" {}
                        (style.mark((19.0, 6.0), false, label))
                    }
                    (label)
                }
            }
        }
    }
}
