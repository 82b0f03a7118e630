//! The page of HTML.

use std::path::Path;

use onceward_bench::load::report;

use crate::sample;

/// The drawings of a page, each as text.
fn drawings(page: &str) -> Vec<&str> {
    let starts = page.match_indices("<svg").map(|(at, _)| at);
    let end = |from: usize| page[from..].find("</svg>").map(|to| from + to + "</svg>".len());
    starts.map(|from| &page[from..end(from).expect("an end")]).collect()
}

#[test]
fn every_drawing_is_well_formed_and_has_a_title() {
    let page = report::html(&sample::full(), None);
    // To be looked at: in the folder `tmp` of the target folder.
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join("report.html");
    std::fs::write(file, &page).expect("written");
    let mut plots = 0;
    for drawing in drawings(&page) {
        let parsed = roxmltree::Document::parse(drawing);
        let parsed = parsed.unwrap_or_else(|error| panic!("{error}: {drawing}"));
        let root = parsed.root_element();
        if root.attribute("role") == Some("img") {
            plots += 1;
            let title = root.children().find(|child| child.has_tag_name("title"));
            assert!(title.and_then(|title| title.text()).is_some_and(|text| text.len() > 10));
            assert!(root.attribute("aria-label").is_some());
        } else {
            assert_eq!(root.attribute("aria-hidden"), Some("true"));
        }
        for value in root.descendants().flat_map(|node| node.attributes()) {
            let text = value.value();
            assert!(!text.contains("NaN") && !text.contains("inf"), "{} {text}", value.name());
        }
    }
    // Three figures for each closed loop, and percentiles and three times against the rate.
    assert_eq!(plots, 4 * 3 + 4);
}

#[test]
fn the_page_needs_nothing_from_outside() {
    let page = report::html(&sample::full(), None);
    for outside in ["://", "url(", "@import", "src=", "<script", "<link", "srcset"] {
        assert!(!page.contains(outside), "{outside}");
    }
    let links = page.match_indices("href=").map(|(at, _)| &page[at..at + 7]);
    assert!(links.clone().count() > 3);
    links.for_each(|link| assert_eq!(link, "href=\"#"));
}

#[test]
fn whatever_a_document_says_is_text() {
    let mut document = sample::small();
    let bad = "</title><script>alert(1)</script>&\"'<b>";
    document.command_line.push(bad.to_owned());
    document.notes.push(bad.to_owned());
    document.machine.cpu = bad.to_owned();
    document.versions.insert(bad.to_owned(), bad.to_owned());
    for series in &mut document.series {
        series.target.name += bad;
        series.target.lacks += bad;
        series.target.settings.insert(bad.to_owned(), bad.to_owned());
        series.load.mix = bad.to_owned();
        series.load.values = bad.to_owned();
        series.runs[0].invalid = Some(bad.to_owned());
        let all = series.runs[1].latency["all"].clone();
        series.runs[1].latency.insert(bad.to_owned(), all);
    }
    let page = report::html(&document, None);
    assert!(page.contains("&lt;/title&gt;&lt;script&gt;"));
    assert!(!page.contains("<script") && !page.contains("<b>"));
    assert_eq!(page.matches("</title>").count(), page.matches("<title>").count());
    for drawing in drawings(&page) {
        roxmltree::Document::parse(drawing).expect(drawing);
    }
}

#[test]
fn a_document_without_figures_has_no_plots() {
    let mut document = sample::small();
    document.series.iter_mut().for_each(|series| series.runs.clear());
    let page = report::html(&document, None);
    assert!(page.contains("0") && !page.contains("<figure"));
    document.series.clear();
    assert!(report::html(&document, None).contains("Onceward load report"));
}
