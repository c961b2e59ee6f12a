//! Pictures of results.

use std::fmt::Write;

const WIDTH: f64 = 420.0;
const HEIGHT: f64 = 240.0;
/// Room for the axis' numbers, the heading and the legend.
const LEFT: f64 = 64.0;
const TOP: f64 = 34.0;
const RIGHT: f64 = 24.0;
const BOTTOM: f64 = 40.0;
const LEGEND: f64 = 16.0;
const COLOURS: [&str; 4] = ["#0b7285", "#e8a33d", "#868e96", "#a61e4d"];

/// One panel of [`curves`]: lines over a common axis that grows by factors.
#[derive(Clone, Debug, PartialEq)]
pub struct Panel {
    /// What the height is, with its unit.
    pub title: String,
    /// What the width is.
    pub axis: String,
    /// Names and points; where the width or the height cannot be drawn, a point is left out.
    pub lines: Vec<(String, Vec<(f64, f64)>)>,
}

/// Text as it may stand in a picture.
#[must_use]
pub fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

/// Panels side by side. Both axes are logarithmic, so that what grows in proportion is a line that
/// climbs at one slope, and what stays is level.
#[must_use]
pub fn curves(title: &str, panels: &[Panel]) -> String {
    let legend = panels.iter().map(|panel| panel.lines.len()).max();
    let height = TOP + HEIGHT + BOTTOM + legend.unwrap_or(0) as f64 * LEGEND;
    let each = LEFT + WIDTH + RIGHT;
    let width = each * panels.len() as f64;
    let mut out = String::new();
    let _ = writeln!(
        out,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width:.0} {height:.0}\" \
         font-family=\"sans-serif\" font-size=\"12\">\n\
         <title>{}</title>\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>",
        escape(title)
    );
    for (number, panel) in panels.iter().enumerate() {
        draw(&mut out, panel, number as f64 * each + LEFT);
    }
    out.push_str("</svg>\n");
    out
}

/// A logarithmic axis: where values lie, and where lines are drawn.
struct Axis {
    from: f64,
    to: f64,
}

impl Axis {
    /// Around all of these values, from one power of ten to another.
    fn around(values: impl Iterator<Item = f64>) -> Self {
        let (mut least, mut most) = (f64::INFINITY, f64::NEG_INFINITY);
        for value in values {
            least = least.min(value.log10().floor());
            most = most.max(value.log10().ceil());
        }
        if !least.is_finite() {
            (least, most) = (0.0, 1.0);
        }
        Self {
            from: least,
            to: most.max(least + 1.0),
        }
    }

    /// Where a value lies, from 0 to 1.
    fn place(&self, value: f64) -> f64 {
        (value.log10() - self.from) / (self.to - self.from)
    }

    fn powers(&self) -> impl Iterator<Item = f64> {
        (self.from as i32..=self.to as i32).map(|power| 10_f64.powi(power))
    }
}

fn draw(out: &mut String, panel: &Panel, left: f64) {
    let lines: Vec<(&str, Vec<(f64, f64)>)> = panel
        .lines
        .iter()
        .map(|(name, points)| {
            let points = points.iter().filter(|(x, y)| *x > 0.0 && *y > 0.0);
            (name.as_str(), points.copied().collect())
        })
        .collect();
    let points = || lines.iter().flat_map(|(_, points)| points);
    let across = Axis::around(points().map(|(x, _)| *x));
    let up = Axis::around(points().map(|(_, y)| *y));
    let bottom = TOP + HEIGHT;
    let at = |x: f64, y: f64| {
        let x = left + across.place(x) * WIDTH;
        (x, bottom - up.place(y) * HEIGHT)
    };
    frame(out, panel, left, (&across, &up));
    for (number, (name, points)) in lines.iter().enumerate() {
        let colour = COLOURS[number % COLOURS.len()];
        let mut path = String::new();
        for (x, y) in points {
            let (x, y) = at(*x, *y);
            let _ = write!(path, "{x:.1},{y:.1} ");
            let _ = writeln!(
                out,
                "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3\" fill=\"{colour}\"/>"
            );
        }
        let y = bottom + BOTTOM + number as f64 * LEGEND;
        let _ = writeln!(
            out,
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>\n\
             <rect x=\"{left:.0}\" y=\"{y:.0}\" width=\"10\" height=\"10\" fill=\"{colour}\"/>\n\
             <text x=\"{:.0}\" y=\"{:.0}\">{}</text>",
            path.trim_end(),
            left + 16.0,
            y + 9.0,
            escape(name)
        );
    }
}

/// Heading, axes and the lines across.
fn frame(out: &mut String, panel: &Panel, left: f64, (across, up): (&Axis, &Axis)) {
    let bottom = TOP + HEIGHT;
    let _ = writeln!(
        out,
        "<text x=\"{left:.0}\" y=\"18\" font-weight=\"bold\">{}</text>\n\
         <text x=\"{:.0}\" y=\"{:.0}\" text-anchor=\"end\" fill=\"#555\">{}</text>",
        escape(&panel.title),
        left + WIDTH,
        bottom + 32.0,
        escape(&panel.axis)
    );
    for power in across.powers() {
        let x = left + across.place(power) * WIDTH;
        let _ = writeln!(
            out,
            "<line x1=\"{x:.1}\" y1=\"{TOP}\" x2=\"{x:.1}\" y2=\"{bottom}\" stroke=\"#ddd\"/>\n\
             <text x=\"{x:.1}\" y=\"{:.0}\" text-anchor=\"middle\">{}</text>",
            bottom + 16.0,
            short(power)
        );
    }
    for power in up.powers() {
        let y = bottom - up.place(power) * HEIGHT;
        let _ = writeln!(
            out,
            "<line x1=\"{left:.0}\" y1=\"{y:.1}\" x2=\"{:.0}\" y2=\"{y:.1}\" stroke=\"#ddd\"/>\n\
             <text x=\"{:.0}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
            left + WIDTH,
            left - 6.0,
            y + 4.0,
            short(power)
        );
    }
}

/// A power of ten in few letters.
fn short(power: f64) -> String {
    if power >= 1e6 {
        format!("{} M", power / 1e6)
    } else if power >= 1.0 {
        crate::number::grouped(power)
    } else {
        format!("{power}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture() {
        let line = |factor: f64| [1.0, 10.0, 300.0].map(|x| (x, x * factor)).to_vec();
        let panel = Panel {
            title: "seconds < 1".into(),
            axis: "consumers".into(),
            lines: vec![("one".into(), line(0.01)), ("a & b".into(), line(20.0))],
        };
        insta::assert_snapshot!(curves("costs", &[panel.clone(), panel]));
    }

    #[test]
    fn what_cannot_be_drawn_is_left_out() {
        let panel = Panel {
            title: String::new(),
            axis: String::new(),
            lines: vec![("x".into(), vec![(0.0, 1.0), (1.0, 0.0), (1.0, -1.0)])],
        };
        let picture = curves("", &[panel]);
        assert!(!picture.contains("circle") && !picture.contains("NaN"));
        assert!(!curves("", &[]).contains("NaN"));
    }
}
