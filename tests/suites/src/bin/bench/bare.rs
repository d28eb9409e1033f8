//! The baseline of the ingress part: an axum handler that reads the form and answers, and
//! keeps nothing.

use std::io::Write as _;

use axum::Form;
use axum::http::header::CONTENT_TYPE;
use axum::routing::post;

#[derive(serde::Deserialize)]
struct Trigger {
    id: String,
    #[expect(dead_code, reason = "read as a trigger's form is")]
    sum: String,
    #[expect(dead_code, reason = "read as a trigger's form is")]
    key: String,
}

/// Prints its address on one line and serves until it is killed.
pub async fn serve() -> anyhow::Result<()> {
    let handler = |Form(trigger): Form<Trigger>| async move {
        let body = format!(r#"{{"success":true,"id":"{}"}}"#, trigger.id);
        ([(CONTENT_TYPE, "application/json; charset=utf-8")], body)
    };
    let app = axum::Router::new().route("/reintegrations/requests/trigger/retailcrm", post(handler));
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await?;
    let mut stdout = std::io::stdout();
    writeln!(stdout, "{}", listener.local_addr()?)?;
    stdout.flush()?;
    Ok(axum::serve(listener, app).await?)
}
