//! Log lines: for people by default, JSON for machines, always on stderr, so that
//! stdout belongs to a command's answer.

use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt::MakeWriter;

/// How lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    Text,
    Json,
}

/// The filter that `RUST_LOG` names cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("RUST_LOG: not a filter like info or info,shared=debug")]
pub struct BadFilter;

/// Starts logging for the whole process. The first caller wins; a second call changes
/// nothing, so that tests may start several roles in one process.
pub fn start(format: LogFormat, filter: &str) -> Result<(), BadFilter> {
    let ansi = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let subscriber = subscriber(format, filter, ansi, std::io::stderr)?;
    let _ = tracing::subscriber::set_global_default(subscriber);
    Ok(())
}

/// The subscriber itself, writing where it is told.
pub fn subscriber<W>(
    format: LogFormat,
    filter: &str,
    ansi: bool,
    writer: W,
) -> Result<Box<dyn tracing::Subscriber + Send + Sync>, BadFilter>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let asked = filter;
    let mut filter = EnvFilter::try_new(asked).map_err(|_| BadFilter)?;
    // At `trace` these print what goes over the wire, logins included.
    if filter.max_level_hint().is_none_or(|level| level > LevelFilter::INFO) {
        for wire in ["lapin", "amq_protocol", "hyper", "hyper_util", "reqwest", "rustls", "sqlx"] {
            filter = filter.add_directive(format!("{wire}=info").parse().expect("a plain directive"));
        }
    }
    // It calls every closing of a channel an error; what fails is said by us who called it.
    if !asked.contains("lapin") {
        filter = filter.add_directive("lapin=off".parse().expect("a plain directive"));
    }
    // Its complaint about a line that cannot be written would go to the same broken pipe, and
    // a complaint that cannot be written panics.
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(writer)
        .with_ansi(ansi)
        .log_internal_errors(false);
    Ok(match format {
        LogFormat::Text => Box::new(lines.finish()),
        LogFormat::Json => Box::new(lines.json().flatten_event(true).with_current_span(false).finish()),
    })
}

/// Panics become log lines that name the place alone: a panic's text can hold the data it
/// stumbled over.
pub fn log_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map_or_else(|| "somewhere".to_owned(), ToString::to_string);
        let thread = std::thread::current().name().unwrap_or("unnamed").to_owned();
        tracing::error!(place, thread, "a task panicked");
    }));
}

#[cfg(test)]
pub(crate) mod tests {
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    use super::*;

    /// Collects what would be written to stderr.
    #[derive(Clone, Default)]
    pub(crate) struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Lines {
        pub(crate) fn text(&self) -> String {
            String::from_utf8(self.0.lock().expect("not poisoned").clone()).expect("utf-8")
        }
    }

    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().expect("not poisoned").extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    impl<'a> MakeWriter<'a> for Lines {
        type Writer = Self;

        fn make_writer(&'a self) -> Self {
            self.clone()
        }
    }

    fn logged(format: LogFormat, filter: &str) -> String {
        let lines = Lines::default();
        let subscriber = subscriber(format, filter, false, lines.clone()).expect("a filter");
        tracing::subscriber::with_default(subscriber, || {
            tracing::info!(integration = 7, "accepted");
            tracing::debug!("hidden by default");
        });
        lines.text()
    }

    #[test]
    fn text_is_for_people_and_json_for_machines() {
        let text = logged(LogFormat::Text, "info");
        assert!(text.contains("accepted") && text.contains("integration=7"), "{text}");
        assert!(!text.contains('\u{1b}'), "no colours unless on a terminal");
        let json: serde_json::Value =
            serde_json::from_str(logged(LogFormat::Json, "info").trim()).expect("one document");
        assert_eq!((json["message"].as_str(), json["integration"].as_i64()), (Some("accepted"), Some(7)));
    }

    #[test]
    fn the_filter_decides_and_a_bad_one_names_its_variable() {
        assert!(!logged(LogFormat::Text, "info").contains("hidden"));
        assert!(logged(LogFormat::Text, "debug").contains("hidden"));
        let bad = subscriber(LogFormat::Text, "info,[", false, std::io::sink).err().expect("refused");
        assert!(bad.to_string().starts_with("RUST_LOG:"), "{bad}");
    }
}
