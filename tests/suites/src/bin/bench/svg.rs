//! Line charts over the number of connections, as small SVG files that need nothing else.

use std::fmt::Write as _;

/// One line of a chart.
pub struct Series {
    pub name: &'static str,
    pub points: Vec<(f64, f64)>,
}

/// Both axes are logarithmic.
pub struct Chart {
    pub title: &'static str,
    pub unit: &'static str,
    pub series: Vec<Series>,
}

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 400.0;
const LEFT: f64 = 72.0;
const RIGHT: f64 = 24.0;
const TOP: f64 = 72.0;
const BOTTOM: f64 = 48.0;
/// Told apart by people who do not see all colours, with different strokes as well.
const STROKES: [(&str, &str); 4] = [("#0072b2", ""), ("#d55e00", "7 4"), ("#009e73", "2 3"), ("#7f7f7f", "10 4 2 4")];

impl Chart {
    pub fn svg(&self) -> String {
        let points = || self.series.iter().flat_map(|series| &series.points);
        let (left, right) = bounds(points().map(|(x, _)| *x));
        let (low, high) = bounds(points().map(|(_, y)| *y).filter(|y| *y > 0.0));
        let (low, high) = (10f64.powf(low.log10().floor()), 10f64.powf(high.log10().ceil()));
        let x = |value: f64| LEFT + share(value, left, right) * (WIDTH - LEFT - RIGHT);
        let y = |value: f64| HEIGHT - BOTTOM - share(value.max(low), low, high) * (HEIGHT - TOP - BOTTOM);
        let mut out = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"sans-serif\" \
             font-size=\"12\">\n<rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n\
             <text x=\"{LEFT}\" y=\"22\" font-size=\"15\">{} ({}) against connections</text>\n",
            self.title, self.unit
        );
        let mut mark = low;
        while mark <= high * 1.001 {
            let at = y(mark);
            let _ = writeln!(
                out,
                "<line x1=\"{LEFT}\" x2=\"{}\" y1=\"{at:.1}\" y2=\"{at:.1}\" stroke=\"#dddddd\"/>\
                 <text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{mark}</text>",
                WIDTH - RIGHT,
                LEFT - 8.0,
                at + 4.0
            );
            mark *= 10.0;
        }
        if let Some(first) = self.series.first() {
            for (value, _) in &first.points {
                let (at, bottom) = (x(*value), HEIGHT - BOTTOM + 18.0);
                let _ = writeln!(out, "<text x=\"{at:.1}\" y=\"{bottom}\" text-anchor=\"middle\">{value}</text>");
            }
        }
        for (n, (series, (colour, dashes))) in self.series.iter().zip(STROKES).enumerate() {
            let path: Vec<String> = series.points.iter().map(|(a, b)| format!("{:.1},{:.1}", x(*a), y(*b))).collect();
            let style = format!("fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\" stroke-dasharray=\"{dashes}\"");
            let _ = writeln!(out, "<polyline points=\"{}\" {style}/>", path.join(" "));
            for (a, b) in &series.points {
                let _ = writeln!(out, "<circle cx=\"{:.1}\" cy=\"{:.1}\" r=\"3\" fill=\"{colour}\"/>", x(*a), y(*b));
            }
            let (column, row) = ((n % 2) as f64, (n / 2) as f64);
            let (from, at) = (LEFT + column * 300.0, 42.0 + row * 18.0);
            let _ = writeln!(
                out,
                "<line x1=\"{from}\" x2=\"{}\" y1=\"{at}\" y2=\"{at}\" {style}/><text x=\"{}\" y=\"{}\">{}</text>",
                from + 28.0,
                from + 34.0,
                at + 4.0,
                series.name
            );
        }
        out.push_str("</svg>\n");
        out
    }
}

fn bounds(values: impl Iterator<Item = f64>) -> (f64, f64) {
    values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), v| (low.min(v), high.max(v)))
}

/// Where a value lies between two others, logarithmically.
fn share(value: f64, low: f64, high: f64) -> f64 {
    if high <= low { 0.5 } else { (value.ln() - low.ln()) / (high.ln() - low.ln()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chart_is_well_formed_and_holds_every_point() {
        let line = |name| Series { name, points: vec![(1.0, 12.0), (16.0, 900.0), (256.0, 4000.0)] };
        let svg = Chart { title: "Rate", unit: "/s", series: vec![line("a"), line("b")] }.svg();
        let mut reader = quick_xml::Reader::from_str(&svg);
        while !matches!(reader.read_event().unwrap(), quick_xml::events::Event::Eof) {}
        assert_eq!(svg.matches("<circle").count(), 6);
        assert!(!svg.contains("NaN"), "{svg}");
    }
}
