//! A store that has been in use for long, on PostgreSQL: what ended lies over 90 days and the journal
//! over 30, as they are kept; little of it waits or is broken.

use anyhow::Context as _;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

/// How much is in it.
#[derive(Debug, Clone, Copy)]
pub struct Full {
    /// Deliveries; of everything that goes with them there is as much.
    pub deliveries: usize,
    /// Rows of the journal.
    pub journal: usize,
}

/// Tables that grow with use: nobody reads one of them through to show a page.
pub const GROWING: [&str; 9] = [
    "deliveries",
    "journal",
    "intents",
    "order_intents",
    "dead_letters",
    "past_deliveries",
    "status_rows",
    "tracking_outbox",
    "payment_moves",
];

/// Orders that wait, letters that are open.
const WAITING: usize = 1_000;
const OPEN: usize = 300;

impl Full {
    /// Number of an order in it.
    pub fn number(self) -> String {
        format!("G{}", self.deliveries / 2)
    }

    /// Fills the database behind a URL, for the integrations that are there.
    ///
    /// # Errors
    /// Of the database.
    pub async fn fill(self, url: &str) -> anyhow::Result<()> {
        let mut connection = PgConnection::connect(url).await?;
        for sql in self.statements() {
            let done = sqlx::query(AssertSqlSafe(sql.clone())).execute(&mut connection).await;
            done.with_context(|| sql)?;
        }
        Ok(connection.close().await?)
    }

    fn statements(self) -> Vec<String> {
        let Self { deliveries, journal } = self;
        let now = "(EXTRACT(EPOCH FROM now()) * 1000)::BIGINT";
        let whose = "(SELECT array_agg(id ORDER BY id) AS ids, COUNT(*)::INT AS n FROM integrations) AS i";
        let id = "i.ids[1 + g % i.n]";
        // So many milliseconds ago: the first is the oldest.
        let ago =
            |count: usize, days: u64| format!("({count} - g)::BIGINT * {}", days * 86_400_000 / count.max(1) as u64);
        let ended = ago(deliveries, 90);
        let of_deliveries = |columns: &str| format!("SELECT {columns} FROM deliveries WHERE number LIKE 'G%'");
        let words = "<order>masked text of an exchange with a vendor</order>".repeat(6);
        vec![
            format!(
                "INSERT INTO deliveries (integration_id, crm_order_id, number, delivery_type, orderno, ordercode, state, \
                 status, status_at, sent_hash, sent_at, price, crm_written, created_at, updated_at, finished_at) \
                 SELECT {id}, 5000000 + g, 'G' || g, 'incity', 'G' || g, g::text, 'delivered', 'COMPLETE', at, \
                 md5(g::text), at, 100000, '{{\"track_number\":\"G\",\"status\":\"COMPLETE\"}}', at, at, at \
                 FROM (SELECT g, {now} - {ended} AS at FROM generate_series(1, {deliveries}) g) AS one, {whose}"
            ),
            "INSERT INTO intents (integration_id, number, delivery_id, requested, served, send_seq, due_at, wanted_at, \
             command_id, created_at, updated_at) "
                .to_owned()
                + &of_deliveries(
                    "integration_id, number, id, 1, 1, 1, created_at, created_at, md5(number), created_at, created_at",
                ),
            "INSERT INTO order_intents (integration_id, crm_order_id, number, requested, served, send_seq, due_at, \
             wanted_at, created_at, updated_at) "
                .to_owned()
                + &of_deliveries(
                    "integration_id, crm_order_id, number, 1, 1, 1, created_at, created_at, created_at, created_at",
                ),
            format!(
                "INSERT INTO order_intents (integration_id, crm_order_id, number, requested, send_seq, attempt, due_at, \
                 wanted_at, waits_for, waits_until, created_at, updated_at) \
                 SELECT {id}, 9000000 + g, 'W' || g, 1, 1, 1, {now} + 600000, {now} - g * 1000, 'budget', \
                 {now} + 600000, {now}, {now} FROM generate_series(1, {WAITING}) g, {whose}"
            ),
            "INSERT INTO past_deliveries (integration_id, orderno, crm_order_id, number, generation, state, ended_at) "
                .to_owned()
                + &of_deliveries("integration_id, 'P' || orderno, crm_order_id, number, 1, 'cancelled', finished_at"),
            format!(
                "INSERT INTO journal (at, integration_id, number, orderno, what, vendor, op, outcome, duration_ms, \
                 http_status, text, request, response) SELECT {now} - {}, {id}, 'G' || (1 + g % {deliveries}), \
                 'G' || (1 + g % {deliveries}), 'call', CASE WHEN g % 2 = 0 THEN 'measoft' ELSE 'retailcrm' END, \
                 CASE WHEN g % 2 = 0 THEN 'neworder' ELSE 'orders' END, 'ok', 40, 200, 'neworder', '{words}', '{words}' \
                 FROM generate_series(1, {journal}) g, {whose}",
                ago(journal, 30)
            ),
            format!(
                "INSERT INTO dead_letters (integration_id, number, kind, reason, fault, state, attempts, created_at, \
                 updated_at) SELECT {id}, 'G' || g, 'SendOrder', (ARRAY['bad_phone', 'town_unclear', 'auth_failed', \
                 'no_address', 'sum_differs'])[1 + g % 5], 'shop', \
                 CASE WHEN g > {deliveries} - {OPEN} THEN 'open' ELSE 'resolved' END, 1, {now} - {ended}, {now} - {ended} \
                 FROM generate_series(1, {deliveries}) g, {whose}"
            ),
            "INSERT INTO status_rows (batch_id, account, order_key, mark, orderno, delivery_id, integration_id, state, seq, \
             due_at, created_at, updated_at) "
                .to_owned()
                + &of_deliveries(
                    "1, 'account', orderno, orderno, orderno, id, integration_id, 'applied', id, created_at, created_at, \
                     created_at",
                ),
            "INSERT INTO tracking_outbox (integration_id, delivery_id, orderno, code, made_at, state, due_at, seen_at, \
             sent_at) "
                .to_owned()
                + &of_deliveries(
                    "integration_id, id, orderno, 'COMPLETE', created_at, 'sent', created_at, created_at, created_at",
                ),
            "INSERT INTO payment_moves (integration_id, delivery_id, facts_mark, facts, state, due_at, created_at, \
             updated_at) "
                .to_owned()
                + &of_deliveries("integration_id, id, 'm', '{}', 'done', created_at, created_at, created_at"),
            format!(
                "INSERT INTO replays (who, filter, per_minute, state, next_at, created_at, started_at) \
                 VALUES ('Anna', '{{}}', 60, 'running', {now} + 3600000, {now}, {now})"
            ),
            format!(
                "INSERT INTO replay_letters (replay_id, letter_id, state) SELECT (SELECT MAX(id) FROM replays), id, 'queued' \
                 FROM dead_letters WHERE state = 'open' ORDER BY id LIMIT {}",
                OPEN / 10
            ),
            "VACUUM ANALYZE".to_owned(),
        ]
    }
}
