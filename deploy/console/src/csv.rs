//! Lists for other programs.

use axum::body::Body;
use axum::http::{HeaderValue, header};
use axum::response::Response;

/// A spreadsheet takes what begins so for a formula.
const FORMULA: [char; 6] = ['=', '+', '-', '@', '\t', '\r'];

fn cell(text: &str) -> String {
    let guarded = if text.starts_with(FORMULA) { format!("'{text}") } else { text.to_owned() };
    if guarded.contains([',', '"', '\n', '\r']) { format!("\"{}\"", guarded.replace('"', "\"\"")) } else { guarded }
}

fn line(cells: &[String]) -> String {
    let mut line = cells.iter().map(|text| cell(text)).collect::<Vec<_>>().join(",");
    line.push_str("\r\n");
    line
}

/// A file of a heading and rows. The mark at its beginning tells spreadsheets that it is UTF-8.
pub fn file(name: &str, heading: &[&str], rows: &[Vec<String>]) -> Response {
    let heading: Vec<String> = heading.iter().map(|name| (*name).to_owned()).collect();
    let text: String = std::iter::once(line(&heading)).chain(rows.iter().map(|row| line(row))).collect();
    let mut response = Response::new(Body::from(format!("\u{feff}{text}")));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/csv; charset=utf-8"));
    if let Ok(value) = HeaderValue::from_str(&format!("attachment; filename=\"{name}.csv\"")) {
        headers.insert(header::CONTENT_DISPOSITION, value);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_is_what_it_says_and_never_a_formula() {
        for (text, written) in [
            ("Город", "Город"),
            ("a, b", "\"a, b\""),
            ("«a» \"b\"", "\"«a» \"\"b\"\"\""),
            ("two\nlines", "\"two\nlines\""),
            ("=HYPERLINK(1)", "'=HYPERLINK(1)"),
            ("+7", "'+7"),
            ("-", "'-"),
        ] {
            assert_eq!(cell(text), written);
        }
        assert_eq!(line(&["1".to_owned(), String::new()]), "1,\r\n");
    }
}
