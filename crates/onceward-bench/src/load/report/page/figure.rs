//! A figure's frame: axes, grid, title, legend.

use maud::{Markup, html};

use super::axis::Axis;

const WIDTH: f64 = 460.0;
const HEIGHT: f64 = 300.0;
const LEFT: f64 = 62.0;
const RIGHT: f64 = 22.0;
const TOP: f64 = 12.0;
const BOTTOM: f64 = 46.0;

/// Two axes.
#[derive(Debug)]
pub(super) struct Frame {
    pub(super) x: Axis,
    pub(super) y: Axis,
}

impl Frame {
    /// Where a point lies in the drawing.
    pub(super) fn at(&self, x: f64, y: f64) -> (f64, f64) {
        let across = WIDTH - LEFT - RIGHT;
        let up = HEIGHT - TOP - BOTTOM;
        (LEFT + across * self.x.part(x), TOP + up * (1.0 - self.y.part(y)))
    }

    /// The path through these points.
    pub(super) fn path(&self, points: impl IntoIterator<Item = (f64, f64)>) -> String {
        let mut path = String::new();
        for (x, y) in points {
            let (x, y) = self.at(x, y);
            let letter = if path.is_empty() { 'M' } else { 'L' };
            path += &format!("{letter}{x:.1} {y:.1}");
        }
        path
    }

    /// The drawing: grid and axes below, `content` above them.
    pub(super) fn draw(&self, title: &str, content: &Markup) -> Markup {
        let bottom = HEIGHT - BOTTOM;
        drawing(
            HEIGHT,
            title,
            &html! {
                @for (value, name) in &self.y.ticks {
                    @let y = self.at(0.0, *value).1;
                    path.grid d={ "M" (LEFT) " " (px(y)) "H" (WIDTH - RIGHT) } {}
                    text.soft x=(LEFT - 6.0) y=(px(y + 4.0)) text-anchor="end" { (name) }
                }
                @for (value, name) in &self.x.ticks {
                    @let x = LEFT + (WIDTH - LEFT - RIGHT) * self.x.part(*value);
                    path.grid d={ "M" (px(x)) " " (TOP) "V" (bottom) } {}
                    text.soft x=(px(x)) y=(bottom + 17.0) text-anchor="middle" { (name) }
                }
                path.axis d={ "M" (LEFT) " " (TOP) "V" (bottom) "H" (WIDTH - RIGHT) } fill="none" {}
                text.soft x=(LEFT + (WIDTH - LEFT - RIGHT) / 2.0) y=(HEIGHT - 8.0) text-anchor="middle" {
                    (self.x.label)
                }
                (content)
            },
        )
    }
}

/// A drawing of this height, as wide as all of them.
pub(super) fn drawing(height: f64, title: &str, content: &Markup) -> Markup {
    html! {
        svg.plot viewBox={ "0 0 " (WIDTH) " " (px(height)) } role="img" aria-label=(title) {
            title { (title) }
            (content)
        }
    }
}

/// Width of a drawing.
pub(super) const fn width() -> f64 {
    WIDTH
}

/// A tenth of a unit is less than anybody sees.
pub(super) fn px(value: f64) -> String {
    format!("{value:.1}")
}

/// A figure with its heading, explanation and legend.
pub(super) fn figure(heading: &str, about: &str, drawing: &Markup, legend: &Markup) -> Markup {
    html! {
        figure {
            figcaption {
                h3 { (heading) }
                p { (about) }
            }
            (drawing)
            (legend)
        }
    }
}
