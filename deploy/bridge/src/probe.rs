//! `bridge probe`: asks a MeaSoft account what its documentation leaves open
//! (protocols/measoft.md#open-questions), and keeps requests and answers, masked, as fixtures. Of
//! RetailCRM it asks one thing, where it is told to.

use std::io::{IsTerminal as _, Write as _};
use std::path::Path;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bridge_worker::manage::register;
use serde_json::json;
use shared::config::Config;
use shared::domain::{Grams, Kopecks, OrderNo};
use shared::measoft::{
    Account, CalcRequest, Courier as _, CreateRow, Exchange, ExchangeObserver, Item, Limit, MeasoftClient,
    MeasoftError, NewOrder, PayType, PickupFilter, Receiver, StatusRow, Timeouts, http_client,
};
use shared::store::Store;

use crate::args::Probe;
use crate::filters::live_integration;
use crate::output::{Failure, Output, Progress, dim};
use crate::stdout::say;

/// Cursors of our own: fetching on the account's own one would move what the sync commits.
const STREAMS: [u32; 2] = [9917, 9918];
/// Nobody's number (the range 900 000-00-xx is not given out).
const PHONE: &str = "+7 900 000-00-01";

/// Keeps what went over the wire, masked.
#[derive(Default)]
struct Recorded(Mutex<Vec<Exchange>>);

impl ExchangeObserver<Exchange> for Recorded {
    fn exchange(&self, exchange: Exchange) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(exchange);
    }
}

impl Recorded {
    fn take(&self) -> Vec<Exchange> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// One question and what came.
struct Answer {
    probe: &'static str,
    asks: &'static str,
    settles: &'static str,
    found: String,
    /// MeaSoft answered, whatever it said.
    answered: bool,
    files: Vec<String>,
}

impl Answer {
    fn of_widget(found: anyhow::Result<String>) -> Self {
        Self {
            probe: "12",
            asks: "RetailCRM: a module with a widget",
            settles: "protocols/retailcrm.md#widget: whether a private module may use embedJs",
            answered: found.is_ok(),
            found: found.unwrap_or_else(|error| format!("{error:#}")),
            files: Vec::new(),
        }
    }
}

struct Session<'a> {
    http: reqwest::Client,
    client: MeasoftClient,
    kept: Arc<Recorded>,
    folder: &'a Path,
    pause: Duration,
    progress: Progress,
    answers: Vec<Answer>,
}

type Observed = Result<String, MeasoftError>;

impl Session<'_> {
    /// Waits its turn, asks, and keeps what came.
    async fn ask(
        &mut self,
        probe: &'static str,
        asks: &'static str,
        settles: &'static str,
        question: impl Future<Output = Observed>,
    ) -> Result<(), Failure> {
        if !self.answers.is_empty() {
            tokio::time::sleep(self.pause).await;
        }
        self.progress.say(&format!("{probe}: {asks}"));
        let found = question.await;
        let mut files = Vec::new();
        let mut answered = found.is_ok();
        for (n, exchange) in self.kept.take().iter().enumerate() {
            answered |= exchange.http_status.is_some();
            for (side, body) in [("request", &exchange.request_masked), ("response", &exchange.response_masked)] {
                let name = format!("{probe}{}-{}.{side}.xml", if n == 0 { "" } else { "+" }, exchange.op);
                std::fs::write(self.folder.join(&name), body).map_err(|error| {
                    Failure::sentence(format!("{} cannot be written: {error}", self.folder.join(&name).display()))
                })?;
                files.push(name);
            }
        }
        let found = found.unwrap_or_else(|error| error.to_string());
        self.answers.push(Answer { probe, asks, settles, found, answered, files });
        Ok(())
    }

    async fn read_only(&mut self, account: &Account, own_stream: u32, town: &str) -> Result<(), Failure> {
        let client = self.client.clone();
        let code = async { client.probe().await.map(|code| format!("client {code}")) };
        self.ask("01a", "the right password", "protocols/measoft.md#client: the cheap check of credentials", code)
            .await?;
        let kept = self.kept.clone();
        let stranger = Account { password: format!("{}-wrong", account.password), ..account.clone() };
        let stranger = MeasoftClient::new(self.http.clone(), stranger, kept);
        let wrong = async { stranger.probe().await.map(|code| format!("accepted all the same: client {code}")) };
        self.ask(
            "01b",
            "a wrong password",
            "protocols/measoft.md#envelope: shapes 2 and 3, the code of refused credentials",
            wrong,
        )
        .await?;
        let broken = async { client.send_as_is("<client><auth").await.map(|()| "no error".to_owned()) };
        self.ask("02a", "broken XML", "protocols/measoft.md#envelope: shape 4", broken).await?;
        let unknown = async { client.send_as_is("<nosuchrequest/>").await.map(|()| "no error".to_owned()) };
        self.ask("02b", "an unknown request", "protocols/measoft.md#envelope: shape 4, code 14", unknown).await?;
        let nobody = number("NONE");
        let status = async { client.status_by_orderno(&nobody).await.map(|rows| statuses(&rows)) };
        self.ask(
            "05",
            "the status of an unknown number",
            "protocols/measoft.md#statusreq: nothing found is `count` 0",
            status,
        )
        .await?;
        let stream = if own_stream == STREAMS[0] { STREAMS[1] } else { STREAMS[0] };
        for probe in ["09a", "09b"] {
            let changes = count_changes(&client, stream);
            self.ask(
                probe,
                "changes on a new cursor, not committed",
                "protocols/measoft.md#changes: same set twice?",
                changes,
            )
            .await?;
        }
        for (probe, from) in [("10a", None), ("10b", Some(town.to_owned()))] {
            let request =
                CalcRequest { town: town.to_owned(), town_from: from, weight: Some(Grams(1000)), ..Default::default() };
            let tariffs = async { client.calculate(&request).await.map(|rows| format!("{} tariffs", rows.len())) };
            self.ask(
                probe,
                "tariffs, one of two forms",
                "protocols/measoft.md#calculator: both forms are accepted",
                tariffs,
            )
            .await?;
        }
        let services = async { client.services().await.map(|rows| format!("{} services", rows.len())) };
        self.ask("10c", "the delivery modes", "protocols/measoft.md#lists: the list for this client", services).await?;
        let one = PickupFilter { limit: Some(Limit { from: 0, count: 1 }), ..PickupFilter::default() };
        let points = async { client.pickup_points(&one).await.map(|rows| format!("{} of the first 1", rows.len())) };
        self.ask("10d", "one pick-up point", "protocols/measoft.md#lists: the limit is kept to", points).await?;
        Ok(())
    }

    /// One order from its making to its end. What was made is cancelled whatever comes.
    async fn writing(&mut self, town: &str) -> Result<(), Failure> {
        let order = test_order(number("A"), town);
        let mut barred = test_order(number("B"), town);
        barred.barcode = Some(order.orderno.as_str().to_owned());
        let mut mute = test_order(number("C"), town);
        mute.receiver.phone = Some("нет".to_owned());
        self.making(&order, &barred).await?;
        self.changing(&order).await?;
        self.ending(&order).await?;
        let client = self.client.clone();
        let phone = async { client.new_orders(std::slice::from_ref(&mute)).await.map(|rows| created(&rows)) };
        self.ask(
            "11",
            "an order with a bad phone",
            "protocols/measoft.md#error-texts: code and words of a bad field",
            phone,
        )
        .await?;
        // What a probe was expected not to make may have been made.
        for left in [order.orderno, barred.orderno, mute.orderno] {
            let _ = client.cancel_order(&left, None).await;
        }
        self.kept.take();
        Ok(())
    }

    /// An order, the same again, another with its barcode.
    async fn making(&mut self, order: &NewOrder, barred: &NewOrder) -> Result<(), Failure> {
        let (client, no) = (self.client.clone(), &order.orderno);
        let once = std::slice::from_ref(order);
        let create = async { client.new_orders(once).await.map(|rows| created(&rows)) };
        self.ask("03a", "a minimal order", "protocols/measoft.md#rows: the row of a success", create).await?;
        let again = async { client.new_orders(once).await.map(|rows| created(&rows)) };
        self.ask("03b", "the same order again", "protocols/measoft.md#duplicates: code 17 and its words", again)
            .await?;
        let barcode = async { client.new_orders(std::slice::from_ref(barred)).await.map(|rows| created(&rows)) };
        self.ask("03c", "another order with its barcode", "protocols/measoft.md#duplicates: code 67 or none", barcode)
            .await?;
        let status = async { client.status_by_orderno(no).await.map(|rows| statuses(&rows)) };
        self.ask(
            "04",
            "its status",
            "protocols/measoft.md#statusreq: first status, line codes, `extcode` echoed",
            status,
        )
        .await?;
        Ok(())
    }

    /// Edits of a placed order, and its printed form.
    async fn changing(&mut self, order: &NewOrder) -> Result<(), Failure> {
        let (client, no) = (self.client.clone(), &order.orderno);
        let mut edited = order.clone();
        edited.items[0].quantity = 2;
        edited.receiver.address = Some("Проверочная улица, 2".to_owned());
        let edit = async { client.edit_order(&edited).await.map(|row| created(&[row])) };
        self.ask("06a", "a complete edit", "protocols/measoft.md#editorder: rows and codes of an edit", edit).await?;
        edited.items.truncate(1);
        let fewer = async { client.edit_order(&edited).await.map(|row| created(&[row])) };
        self.ask("06b", "an edit without a line", "protocols/measoft.md#editorder: how a line is deleted", fewer)
            .await?;
        let back = async { client.status_by_orderno(no).await.map(|rows| statuses(&rows)) };
        self.ask("06c", "the edit read back", "protocols/measoft.md#editorder: what the edit left", back).await?;
        let forms = [no.clone()];
        let print = async { client.waybill(&forms, "1").await.map(|pdf| format!("a PDF of {} bytes", pdf.len())) };
        self.ask(
            "10e",
            "printing form 1",
            "protocols/measoft.md#waybill: form codes and the error\u{2019}s shape",
            print,
        )
        .await?;
        Ok(())
    }

    /// Its cancellation, its number after that, and the end of the stream.
    async fn ending(&mut self, order: &NewOrder) -> Result<(), Failure> {
        let (client, no) = (self.client.clone(), &order.orderno);
        let once = std::slice::from_ref(order);
        for (probe, asks) in [("07a", "its cancellation"), ("07b", "its cancellation again")] {
            let cancel = async {
                let row = client.cancel_order(no, None).await?;
                Ok(format!("code {}{}", row.code, row.text_ru.map(|text| format!(": {text}")).unwrap_or_default()))
            };
            self.ask(probe, asks, "protocols/measoft.md#cancelorder: the codes of cancelling", cancel).await?;
        }
        let gone = async { client.status_by_orderno(no).await.map(|rows| statuses(&rows)) };
        self.ask(
            "07c",
            "the cancelled order read back",
            "protocols/measoft.md#cancelorder: status and `deliveredto`",
            gone,
        )
        .await?;
        let reuse = async { client.new_orders(once).await.map(|rows| created(&rows)) };
        self.ask(
            "08",
            "an order with the cancelled number",
            "protocols/measoft.md#duplicates: reuse after a cancellation",
            reuse,
        )
        .await?;
        let commit = async { client.commit_last_status(STREAMS[0]).await.map(|()| "committed".to_owned()) };
        self.ask(
            "09c",
            "a commit on the probes\u{2019} cursor",
            "protocols/measoft.md#changes: the body of a commit",
            commit,
        )
        .await?;
        let after = count_changes(&client, STREAMS[0]);
        self.ask("09d", "changes after the commit", "protocols/measoft.md#changes: empty after a commit?", after)
            .await?;
        Ok(())
    }
}

async fn count_changes(client: &MeasoftClient, stream: u32) -> Observed {
    let mut changes = client.only_last(stream).await?;
    let mut rows = 0_u64;
    while changes.next().await?.is_some() {
        rows += 1;
    }
    Ok(format!("{rows} rows"))
}

/// A number nobody mistakes for a shop's.
fn number(what: &str) -> OrderNo {
    OrderNo::known(format!("RCW-{}-{what}", shared::crypto::random_hex::<4>()))
}

fn test_order(orderno: OrderNo, town: &str) -> NewOrder {
    let receiver = Receiver {
        person: Some("Проверка связи".to_owned()),
        phone: Some(PHONE.to_owned()),
        town: Some(town.to_owned()),
        address: Some("Проверочная улица, 1".to_owned()),
        ..Receiver::default()
    };
    let mut order = NewOrder::new(orderno, receiver, PayType::Cash);
    order.weight = Some(Grams(1000));
    order.items = vec![
        Item::goods("probe-1", "Проверка, не отправлять", 1, Kopecks(100)),
        Item::goods("probe-2", "Проверка, не отправлять", 1, Kopecks(100)),
    ];
    order
}

fn created(rows: &[CreateRow]) -> String {
    let row = |row: &CreateRow| {
        let words = row.text_ru.as_deref().or(row.text_en.as_deref()).unwrap_or_default();
        format!("code {}{}{words}", row.code, if words.is_empty() { "" } else { ": " })
    };
    rows.iter().map(row).collect::<Vec<_>>().join("; ")
}

fn statuses(rows: &[StatusRow]) -> String {
    let row = |row: &StatusRow| {
        let status = row.status.as_ref().map_or_else(|| "no status".to_owned(), |status| format!("{:?}", status.code));
        let echoed = row.items.iter().filter(|item| item.extcode.as_deref().is_some_and(|c| !c.is_empty())).count();
        format!("{status}, {} lines, {echoed} with our id", row.items.len())
    };
    if rows.is_empty() { "nothing found".to_owned() } else { rows.iter().map(row).collect::<Vec<_>>().join("; ") }
}

fn consent(args: &Probe, title: &str) -> Result<(), Failure> {
    if args.yes {
        return Ok(());
    }
    if !std::io::stdin().is_terminal() {
        return Err(Failure::Usage("--write makes a test order: without a terminal to ask on, add --yes".to_owned()));
    }
    let mut err = std::io::stderr();
    let _ = write!(err, "Make, change and cancel a test order (RCW-…) in the MeaSoft account of «{title}»? [y/N] ");
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).map_err(anyhow::Error::from)?;
    match line.trim().to_lowercase().as_str() {
        "y" | "yes" | "д" | "да" => Ok(()),
        _ => Err(Failure::sentence("nothing was written")),
    }
}

pub async fn run(args: &Probe, config: &Config, store: &Store, out: &Output) -> Result<ExitCode, Failure> {
    let integration = live_integration(args.id, store).await?;
    if args.write {
        consent(args, &integration.title)?;
    }
    let folder = args.save.clone().unwrap_or_else(|| config.data_dir.join(format!("probe-{}", args.id)));
    shared::files::make_folder(&folder)
        .map_err(|error| Failure::sentence(format!("the folder {} cannot be created: {error}", folder.display())))?;
    let account = Account {
        url: integration.measoft_url.parse().map_err(|_| Failure::sentence("the MeaSoft URL cannot be read"))?,
        extra: integration.extra.clone(),
        login: integration.login.clone(),
        password: integration.secrets.password.expose().to_owned(),
    };
    let kept = Arc::new(Recorded::default());
    let http = http_client(&Timeouts::default(), &config.tls).map_err(anyhow::Error::from)?;
    let client = MeasoftClient::new(http.clone(), account.clone(), kept.clone());
    let mut session = Session {
        http,
        client,
        kept,
        folder: &folder,
        pause: Duration::from_secs(args.pause),
        progress: Progress::new(out),
        answers: Vec::new(),
    };
    session.read_only(&account, integration.settings.stream_id, &args.town).await?;
    if args.write {
        session.writing(&args.town).await?;
    }
    if args.widget {
        let found = register::may_have_widget(config, store, &integration).await;
        session.answers.push(Answer::of_widget(found));
    }
    session.progress.clear();
    let answers = session.answers;
    let all = answers.iter().all(|answer| answer.answered);
    let rows: Vec<_> = answers
        .iter()
        .map(|a| {
            json!({ "probe": a.probe, "asks": a.asks, "found": a.found, "answered": a.answered,
                    "settles": a.settles, "files": a.files })
        })
        .collect();
    let document = json!({ "id": args.id, "folder": folder, "probes": rows });
    out.answer(&document, || {
        let cells: Vec<Vec<String>> = answers
            .iter()
            .map(|a| vec![a.probe.to_owned(), a.asks.to_owned(), a.found.clone(), a.settles.to_owned()])
            .collect();
        out.table(&["probe", "asked", "found", "settles"], &cells);
        say!("{}", dim(&format!("requests and answers, masked: {}", folder.display())));
    });
    Ok(if all { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
