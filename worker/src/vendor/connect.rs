//! The vendors' real clients, with every exchange going to the journal and the metrics.

use std::sync::Arc;
use std::time::Duration;

use shared::config::Config;
use shared::domain::{Integration, IntegrationId};
use shared::store::Store;
use shared::store::journal::{Entry, Journal, What};
use shared::story::Event;
use shared::telemetry::Metrics;
use shared::telemetry::metrics::{CallResult, CrmOp, MeasoftOp};
use shared::vendor::{Exchange, ExchangeObserver};
use shared::{measoft, retailcrm};

use crate::vendor::crm_rate::Rates;
use crate::vendor::{Connect, Vendors};

/// How much of a masked body a journal row keeps.
const KEPT: usize = 16 * 1024;

/// Makes clients that share their connections.
pub struct Clients {
    courier: reqwest::Client,
    crm: retailcrm::CrmHttp,
    /// How long an answer is waited for, where it is not the clients' own.
    patience: Option<Duration>,
    allowed: retailcrm::AllowedHosts,
    journal: Journal,
    metrics: Arc<Metrics>,
    rates: Rates,
    hold_back: Option<HoldBack>,
}

/// What would change something at either vendor, kept instead of sent.
#[derive(Clone, Default)]
pub struct HoldBack {
    pub measoft: Arc<measoft::HoldBack>,
    pub crm: Arc<retailcrm::HoldBack>,
}

impl Clients {
    /// `Err`: when the system's TLS roots cannot be read, or `CRM_ALLOWED_HOSTS` cannot.
    pub fn new(config: &Config, store: Store, journal: Journal, metrics: Arc<Metrics>) -> anyhow::Result<Self> {
        let allowed = retailcrm::AllowedHosts::parse(&config.crm_allowed_hosts)?;
        Ok(Self {
            courier: measoft::http_client(&measoft::Timeouts::default(), &config.tls)?,
            crm: retailcrm::CrmHttp::new(&config.tls)?,
            patience: None,
            allowed,
            journal,
            metrics,
            rates: Rates::new(store, config.budgets.crm_rps, config.timing.breaker_open),
            hold_back: None,
        })
    }

    /// Clients that send nothing that would change something.
    pub fn holding_back(self, hold_back: HoldBack) -> Self {
        Self { hold_back: Some(hold_back), ..self }
    }

    /// Clients that wait no longer than this for an answer, for who only wants to know whether
    /// one comes.
    pub fn within(self, patience: Duration) -> Self {
        Self { crm: self.crm.with_timeout(patience), patience: Some(patience), ..self }
    }
}

impl Connect for Clients {
    fn connect(&self, integration: &Integration) -> Result<Vendors, String> {
        let url = integration.measoft_url.parse().map_err(|_| "the MeaSoft URL cannot be read".to_owned())?;
        let account = measoft::Account {
            url,
            extra: integration.extra.clone(),
            login: integration.login.clone(),
            password: integration.secrets.password.expose().to_owned(),
        };
        if !account.is_safe_to_call() {
            return Err("the MeaSoft URL must be https (plain http only on this machine)".to_owned());
        }
        let tap = Arc::new(JournalObserver {
            integration: integration.id,
            journal: self.journal.clone(),
            metrics: self.metrics.clone(),
        });
        let mut courier = measoft::MeasoftClient::new(self.courier.clone(), account, tap.clone());
        if let Some(patience) = self.patience {
            let timeouts = measoft::Timeouts { call: patience, long: patience, ..measoft::Timeouts::default() };
            courier = courier.with_timeouts(timeouts);
        }
        let url = retailcrm::check(&integration.crm_url, &self.allowed).map_err(|bad| bad.to_string())?;
        let limiter = self.rates.limiter(url.as_str(), integration.secrets.crm_api_key.expose());
        let mut crm =
            retailcrm::CrmClient::new(self.crm.clone(), url, integration.secrets.crm_api_key.clone(), tap, limiter);
        if let Some(hold_back) = &self.hold_back {
            courier = courier.holding_back(hold_back.measoft.clone());
            crm = crm.holding_back(hold_back.crm.clone());
        }
        Ok(Vendors { courier: Arc::new(courier), crm: Arc::new(crm) })
    }
}

/// Writes what passes by.
struct JournalObserver {
    integration: IntegrationId,
    journal: Journal,
    metrics: Arc<Metrics>,
}

impl JournalObserver {
    /// An entry of the journal, but for whom it is about and its bodies.
    fn entry<Op: std::fmt::Display, About>(&self, e: &Exchange<Op, About>, what: What, vendor: &'static str) -> Entry {
        let mut entry = Entry::of(e.started, what, Vec::new());
        entry.integration = Some(self.integration);
        entry.vendor = Some(vendor);
        entry.op = Some(e.op.to_string());
        entry.outcome = Some(e.outcome.to_owned());
        entry.duration = Some(e.duration);
        entry.http_status = e.http_status;
        entry
    }
}

impl ExchangeObserver<measoft::Exchange> for JournalObserver {
    fn exchange(&self, e: measoft::Exchange) {
        if let Some(op) = measoft_op(&e) {
            self.metrics.measoft_request(op, call_result(e.outcome), e.duration);
        }
        let several = e.about.len() > 1;
        let about: Vec<Option<String>> =
            if e.about.is_empty() { vec![None] } else { e.about.iter().map(|o| Some(o.to_string())).collect() };
        for orderno in about {
            let mut entry = self.entry(&e, What::Call, "measoft");
            if several {
                let others = u32::try_from(e.about.len() - 1).unwrap_or(u32::MAX);
                entry.story.push(Event::Together { others });
            }
            let piece = |body: &str| match &orderno {
                Some(orderno) if several => excerpt(body, orderno),
                _ => cut(body),
            };
            entry.request = Some(piece(&e.request_masked));
            entry.response = Some(piece(&e.response_masked));
            entry.orderno = orderno;
            self.journal.write(entry);
        }
    }
}

impl ExchangeObserver<retailcrm::Exchange> for JournalObserver {
    fn exchange(&self, e: retailcrm::Exchange) {
        if let Some(op) = CrmOp::parse(e.op.as_str()) {
            self.metrics.crm_request(op, call_result(e.outcome));
        }
        let mut entry = self.entry(&e, What::Crm, "retailcrm");
        entry.request = Some(cut(&e.request_masked));
        entry.response = Some(cut(&e.response_masked));
        entry.number = e.about;
        self.journal.write(entry);
    }
}

fn measoft_op(e: &measoft::Exchange) -> Option<MeasoftOp> {
    // One operation to MeaSoft, two different things to whoever watches.
    if e.op == measoft::Op::StatusReq && e.request_masked.contains("<changes>ONLY_LAST</changes>") {
        return Some(MeasoftOp::OnlyLast);
    }
    MeasoftOp::parse(&e.op.to_string())
}

/// The vendors' own words for an exchange's end as the metric's closed set.
fn call_result(outcome: &str) -> CallResult {
    CallResult::parse(outcome).unwrap_or(match outcome {
        "wrong_key" | "access_denied" | "account_gone" => CallResult::Config,
        "rate_limited" => CallResult::Blocked,
        "unavailable" | "unreachable" => CallResult::Transient,
        "bad_answer" | "unreadable" | "too_large" => CallResult::BadFormat,
        "abandoned" => CallResult::Unknown,
        _ => CallResult::Refused,
    })
}

fn cut(body: &str) -> String {
    if body.len() <= KEPT {
        return body.to_owned();
    }
    let end = body.floor_char_boundary(KEPT);
    format!("{}… [{} bytes more]", &body[..end], body.len() - end)
}

/// The part of a batch's body that is about one order.
fn excerpt(body: &str, orderno: &str) -> String {
    let mark = format!("orderno=\"{orderno}\"");
    let Some(at) = body.find(&mark) else { return cut(body) };
    let from = body[..at].rfind('<').unwrap_or(at);
    let rest = &body[from..];
    let name: String = rest.chars().skip(1).take_while(|c| c.is_ascii_alphanumeric()).collect();
    let element_end = rest.find(&format!("</{name}>")).map(|i| i + name.len() + 3);
    let tag_end = rest.find("/>").map(|i| i + 2);
    let nested = rest[1..].find('<').map(|i| i + 1);
    let end = match (tag_end, nested, element_end) {
        (Some(tag), Some(next), _) if tag <= next => tag,
        (Some(tag), None, _) => tag,
        (_, _, Some(element)) => element,
        _ => rest.len(),
    };
    cut(&rest[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_orders_part_is_found_in_a_batch() {
        let body = r#"<neworder><auth/><order orderno="A-1"><receiver><town>x</town></receiver></order><order orderno="A-2"/></neworder>"#;
        assert_eq!(excerpt(body, "A-1"), r#"<order orderno="A-1"><receiver><town>x</town></receiver></order>"#);
        assert_eq!(excerpt(body, "A-2"), r#"<order orderno="A-2"/>"#);
        assert_eq!(excerpt(body, "A-9"), body);
    }

    #[test]
    fn the_status_stream_is_counted_apart_from_a_look_at_one_order() {
        let exchange = |request: &str| measoft::Exchange {
            op: measoft::Op::StatusReq,
            about: Vec::new(),
            started: jiff::Timestamp::UNIX_EPOCH,
            duration: std::time::Duration::ZERO,
            outcome: "ok",
            http_status: Some(200),
            request_masked: request.to_owned(),
            response_masked: String::new(),
        };
        let stream = exchange("<statusreq><changes>ONLY_LAST</changes></statusreq>");
        assert_eq!(measoft_op(&stream), Some(MeasoftOp::OnlyLast));
        let one = exchange("<statusreq><orderno>ONLY_LAST</orderno2></statusreq>");
        assert_eq!(measoft_op(&one), Some(MeasoftOp::StatusReq));
    }
}
