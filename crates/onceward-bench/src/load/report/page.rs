//! One page of HTML with everything in it.
//!
//! Tables and drawings are written as markup whose every text is escaped by construction. A
//! drawing takes its colours from the page's style sheet, so that it follows the reader's choice of
//! light or dark, scales with the window, and carries a title and its points' values as text. A
//! plotting library writes fixed colours and sizes into each element and none of that text, and
//! would be linked into the binary for the four kinds of figure that are wanted.

mod axis;
mod bars;
mod figure;
mod percentiles;
mod rates;
mod style;

use maud::{DOCTYPE, Markup, PreEscaped, html};

use self::style::Styles;
use super::block::Block;
use super::bounds;
use super::comparison::Comparison;
use super::grid::{self, Grid};
use super::measure::Measure;
use super::table::{machine, started, targets, unused};
use crate::load::record::{Document, Target};

const STYLE: &str = include_str!("page/style.css");
/// Nothing may be fetched: what is shown is in the page.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'";

/// As many lines of runs that are not used are shown unasked.
const UNUSED_SHOWN: usize = 6;

/// The whole document as one page without any outside resource; with what changed, if it was
/// compared with another one.
#[must_use]
pub fn html(document: &Document, comparison: Option<&Comparison>) -> String {
    let styles = Styles::of(document);
    let blocks = Block::of(document);
    let bounds = bounds::grid(document);
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta http-equiv="Content-Security-Policy" content=(POLICY);
                title { "Onceward load report, " (started(document)) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                header {
                    h1 { "Onceward load report" }
                    (head(document))
                }
                @if blocks.len() > 1 {
                    nav aria-label="Loads" {
                        @if comparison.is_some() { p { a href="#changes" { "Changes" } } }
                        @if bounds.is_some() { p { a href="#bars" { "Bars" } } }
                        ol { @for (at, block) in blocks.iter().enumerate() {
                            li { a href={ "#load-" (at + 1) } { (block.title()) } }
                        } }
                        p { a href="#targets" { "Targets" } }
                    }
                }
                main {
                    @if let Some(comparison) = comparison { (changes(comparison)) }
                    @if let Some(grid) = &bounds {
                        section id="bars" {
                            h2 { "Bars" }
                            (table(bounds::CAPTION, grid))
                        }
                    }
                    @for (at, block) in blocks.iter().enumerate() {
                        (section(block, at + 1, &styles))
                    }
                    (targets_section(&targets(document)))
                }
            }
        }
    };
    page.into_string()
}

fn head(document: &Document) -> Markup {
    html! {
        dl {
            dt { "started" } dd { (started(document)) }
            dt { "machine" } dd { (machine(document)) }
            @if !document.versions.is_empty() {
                dt { "versions" }
                dd { @for (at, (name, version)) in document.versions.iter().enumerate() {
                    @if at > 0 { ", " } (name) " " (version)
                } }
            }
            dt { "command" } dd { code { (document.command_line.join(" ")) } }
        }
        p.soft {
            "Each figure is the median over the runs that can be used, with the least and the \
             greatest in brackets. Compare what stands on one page; another machine has other figures."
        }
        @for note in &document.notes { p.warning { (note) } }
    }
}

fn section(block: &Block<'_>, number: usize, styles: &Styles) -> Markup {
    let unused = unused(block);
    html! {
        section id={ "load-" (number) } {
            h2 { (block.title()) }
            p { (block.about_times()) }
            p.soft { (block.settings()) }
            @if let Some(spread) = block.cache_line() {
                p.soft { "Cache line between the cores, one way: " (spread) " ns" }
            }
            (table("median [least–greatest] of the runs", &grid::figures(block)))
            @if !unused.is_empty() {
                details.warning open[unused.len() <= UNUSED_SHOWN] {
                    summary { "Runs that are not used" }
                    @for line in &unused { p { (line) } }
                }
            }
            div.figures {
                (bars::of(block, styles, Measure::ServerCpu, "Server CPU per round trip"))
                (bars::of(block, styles, Measure::BytesBeyond, "Memory per key beyond key and value"))
                (percentiles::of(block, styles))
                @for measure in [Measure::P50, Measure::P99, Measure::P999] {
                    (rates::of(block, styles, measure))
                }
            }
            div.beside { @for (title, grid) in grid::ratios(block) {
                div { (table(&title, &grid)) }
            } }
            @if let Some(grid) = grid::operations(block) {
                details {
                    summary { "Times by operation" }
                    (table("µs, median of the runs", &grid))
                }
            }
        }
    }
}

/// A table in a box of its own, which scrolls when the window is narrow.
fn table(caption: &str, grid: &Grid) -> Markup {
    let class = |at: usize| (at < grid.words).then_some("word");
    html! {
        // Not a caption: that would scroll with the table.
        p.soft.caption { (caption) }
        div.scroll tabindex="0" role="region" aria-label=(caption) {
            table aria-label=(caption) {
                thead { tr { @for (at, (name, unit)) in grid.columns.iter().enumerate() {
                    th scope="col" class=[class(at)] {
                        (name) @if !unit.is_empty() { small { (unit) } }
                    }
                } } }
                tbody { @for row in &grid.rows { tr {
                    @for (at, cell) in row.iter().enumerate() {
                        @if at == 0 {
                            th.word scope="row" { (cell) }
                        } @else {
                            td class=[class(at)] { (spread_cell(cell)) }
                        }
                    }
                } } }
            }
        }
    }
}

/// The spread in a softer voice than the median.
fn spread_cell(cell: &str) -> Markup {
    match cell.split_once(" [") {
        Some((median, spread)) if spread.ends_with(']') => {
            html! { (median) " " span.spread { "[" (spread) } }
        }
        _ => html! { (cell) },
    }
}

fn changes(comparison: &Comparison) -> Markup {
    html! {
        section id="changes" {
            h2 { "Changes" }
            p.soft {
                "Within spread: runs before and after lie among each other, so nothing can be told."
            }
            @for warning in &comparison.warnings { p.warning { (warning) } }
            @for (title, grid) in &comparison.loads { (table(title, grid)) }
            @if comparison.loads.is_empty() { p { "No series is in both." } }
            @for line in &comparison.alone { p.soft { (line) } }
        }
    }
}

fn targets_section(targets: &[&Target]) -> Markup {
    html! {
        section id="targets" {
            h2 { "Targets" }
            div.scroll tabindex="0" role="region" aria-label="Targets" {
                table {
                    thead { tr {
                        th.word scope="col" { "target" }
                        th.word scope="col" { "version" }
                        th.word scope="col" { "address or command, settings" }
                        th.word scope="col" { "lacks, of what Onceward does" }
                    } }
                    tbody { @for target in targets { tr {
                        th.word scope="row" { (target.name) }
                        td.word { (target.version) }
                        td.word.free {
                            span.breaks { (target.address) }
                            @for (name, value) in &target.settings { br; (name) " " (value) }
                        }
                        td.word.free { (target.lacks) }
                    } } }
                }
            }
        }
    }
}
