//! What RetailCRM loads: a page that names script and stylesheet, and both. RetailCRM's pages are
//! of another origin and ask with credentials, so that origin is named and never `*`.

use std::path::Path;

use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::Response;
use shared::digest::sha256_hex;
use shared::retailcrm::{self, AllowedHosts};
use shared::widget::{FILES, SCRIPT, STYLESHEET};

use crate::State;

/// One of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum File {
    Page,
    Script,
    Stylesheet,
}

impl File {
    /// By what follows `/retailcrm/extension` ([`shared::widget::ENTRYPOINT`]).
    pub(super) fn of(rest: &[&str]) -> Option<Self> {
        match rest {
            ["measoft"] => Some(Self::Page),
            ["measoft", name] if *name == SCRIPT => Some(Self::Script),
            ["measoft", name] if *name == STYLESHEET => Some(Self::Stylesheet),
            _ => None,
        }
    }
}

/// What the folder held when the process began: a new build needs a new start.
pub(super) struct Files([Kept; 2]);

struct Kept {
    kind: &'static str,
    plain: Vec<u8>,
    packed: Vec<u8>,
    mark: HeaderValue,
}

/// Relative to where it lies, whatever proxy stands before it.
const PAGE: &str = "<!doctype html>\n<html>\n<head>\n<meta charset=\"utf-8\">\n\
    <link rel=\"stylesheet\" href=\"measoft/stylesheet\">\n\
    <script type=\"module\" src=\"measoft/script\"></script>\n</head>\n<body></body>\n</html>\n";

impl Files {
    /// `None` without a built widget; `bridge doctor` tells.
    pub(super) fn read(folder: &Path) -> Option<Self> {
        let kept = FILES.map(|(name, kind)| -> std::io::Result<Kept> {
            let (plain, packed) =
                (std::fs::read(folder.join(name))?, std::fs::read(folder.join(format!("{name}.gz")))?);
            let mark = format!("\"{}\"", &sha256_hex(&plain)[..16]);
            Ok(Kept { kind, plain, packed, mark: HeaderValue::from_str(&mark).expect("hex") })
        });
        let [script, style] = kept;
        match (script, style) {
            (Ok(script), Ok(style)) => Some(Self([script, style])),
            (Err(error), _) | (_, Err(error)) => {
                tracing::warn!(folder = %folder.display(), %error, "WIDGET_DIR holds no built widget");
                None
            }
        }
    }
}

/// Answers `GET`, `HEAD` and what browsers ask before either.
pub(super) fn answer(state: &State, file: File, request: &Request) -> Response {
    let mut response = match (&state.0.widget.files, request.method()) {
        (_, &Method::OPTIONS) => plain(StatusCode::NO_CONTENT),
        (None, _) => plain(StatusCode::NOT_FOUND),
        (Some(files), &Method::GET | &Method::HEAD) => match file {
            File::Page => with(PAGE.as_bytes().to_vec(), "text/html; charset=utf-8"),
            File::Script => kept(&files.0[0], request.headers()),
            File::Stylesheet => kept(&files.0[1], request.headers()),
        },
        (Some(_), _) => plain(StatusCode::METHOD_NOT_ALLOWED),
    };
    let headers = response.headers_mut();
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert(header::VARY, HeaderValue::from_static("Origin, Accept-Encoding"));
    if let Some(origin) = request.headers().get(header::ORIGIN).filter(|origin| is_crm(state, origin)) {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
        headers.insert(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
        headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET, HEAD, OPTIONS"));
    }
    response
}

/// An origin that may be an account's address.
fn is_crm(state: &State, origin: &HeaderValue) -> bool {
    let allowed = AllowedHosts::parse(&state.0.config.crm_allowed_hosts).unwrap_or_default();
    origin.to_str().is_ok_and(|origin| retailcrm::check(origin, &allowed).is_ok())
}

fn plain(status: StatusCode) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}

fn with(bytes: Vec<u8>, kind: &'static str) -> Response {
    let mut response = Response::new(Body::from(bytes));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

fn kept(file: &Kept, asked: &HeaderMap) -> Response {
    let says = |name, what: &str| asked.get(name).and_then(|v| v.to_str().ok()).is_some_and(|v| v.contains(what));
    if asked.get(header::IF_NONE_MATCH) == Some(&file.mark) {
        return plain(StatusCode::NOT_MODIFIED);
    }
    let packs = says(header::ACCEPT_ENCODING, "gzip");
    let mut response = with(if packs { file.packed.clone() } else { file.plain.clone() }, file.kind);
    let headers = response.headers_mut();
    headers.insert(header::ETAG, file.mark.clone());
    if packs {
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    response
}
