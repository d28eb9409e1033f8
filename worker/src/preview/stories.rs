//! Preview equals the truth: of made-up orders and their changes, what a preview says would leave is
//! byte for byte what then leaves, as a wire between bridge and MeaSoft's simulator has it. 60 on every
//! run, `PREVIEWED=1000 cargo nextest run --profile long -p bridge-worker previewed` for more.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use futures_util::future::try_join;
use shared::domain::OrderNumber;
use shared::store::intents::RequestKind;
use simulators::retailcrm::{OrderBuilder, OrderDraft, an_order};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::preview::preview;
use crate::testing::World;

/// Hands everything on, and remembers what went to the server: of each connection, all bytes.
#[derive(Clone)]
struct Wire(Arc<Mutex<Vec<Vec<u8>>>>);

impl Wire {
    async fn to(server: SocketAddr) -> (Self, SocketAddr) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let wire = Self(Arc::default());
        let kept = wire.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let Ok(upstream) = TcpStream::connect(server).await else { continue };
                let nth = {
                    let mut all = kept.0.lock().expect("never poisoned");
                    all.push(Vec::new());
                    all.len() - 1
                };
                let kept = kept.clone();
                tokio::spawn(async move {
                    let ((mut from_client, mut to_client), (mut from_server, mut to_server)) =
                        (client.into_split(), upstream.into_split());
                    let there = async {
                        let mut buffer = vec![0; 64 * 1024];
                        loop {
                            let n = from_client.read(&mut buffer).await?;
                            if n == 0 {
                                return to_server.shutdown().await;
                            }
                            kept.0.lock().expect("never poisoned")[nth].extend_from_slice(&buffer[..n]);
                            to_server.write_all(&buffer[..n]).await?;
                        }
                    };
                    let back = async {
                        tokio::io::copy(&mut from_server, &mut to_client).await?;
                        to_client.shutdown().await
                    };
                    let _ = try_join(there, back).await;
                });
            }
        });
        (wire, address)
    }

    /// Bodies of requests that change something, since the last look, without credentials.
    fn writes(&self) -> Vec<String> {
        let mut writes = Vec::new();
        for bytes in self.0.lock().expect("never poisoned").iter_mut() {
            let bytes = std::mem::take(bytes);
            let mut rest = &bytes[..];
            while let Some(end) = rest.windows(4).position(|four| four == b"\r\n\r\n") {
                let head = String::from_utf8_lossy(&rest[..end]).to_ascii_lowercase();
                let length = head.split("content-length: ").nth(1).and_then(|text| text.lines().next()).unwrap_or("0");
                let body = end + 4..end + 4 + length.trim().parse::<usize>().expect("a length");
                let text = String::from_utf8(rest[body.clone()].to_vec()).expect("UTF-8");
                rest = &rest[body.end..];
                if ["<neworder", "<editorder", "<cancelorder"].iter().any(|op| text.contains(op)) {
                    writes.push(hidden(&text));
                }
            }
        }
        writes
    }
}

/// Login and password as a preview has them.
fn hidden(text: &str) -> String {
    assert!(text.contains("login=\"shop-demo\" pass=\"pass-demo\""), "{text}");
    text.replace("login=\"shop-demo\" pass=\"pass-demo\"", "login=\"[hidden]\" pass=\"[hidden]\"")
}

/// A sequence that is a function of its seed (SplitMix64).
struct Dice(u64);

impl Dice {
    fn throw(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % sides
    }

    fn once_in(&mut self, times: u64) -> bool {
        self.throw(times) == 0
    }

    fn one<'a>(&mut self, all: &[&'a str]) -> &'a str {
        all[usize::try_from(self.throw(all.len() as u64)).expect("few")]
    }

    fn sum(&mut self, most: u64) -> i64 {
        i64::try_from(self.throw(most)).expect("small")
    }
}

const GOODS: [&str; 6] =
    ["Стул «Венский»", "Lamp 40W & Co", "Чашка <белая>", "Книга \"Война и мир\"", "Чай\tчёрный\u{7}", "🎁 подарок"];
const NAMES: [&str; 4] = ["Петрова Анна", "O'Neil", "Ёлкин Пётр & сын", ""];
const PHONES: [&str; 9] = [
    "+79160001122",
    "8 (903) 765 43 21",
    "+7 926 111-22-33",
    "+7 (916) 000-11-22",
    "8 903 765-43-21, доб. 5",
    "9161234567",
    "+375291234567",
    "нет",
    "+79161234567; +79037654321",
];
const TOWNS: [&str; 3] = ["Москва", "Санкт-Петербург", "Химки"];
const TEXTS: [&str; 4] = ["", "Не звонить\nдо 10 утра", "код <12#>, «домофон»", "]]> & конец"];
const STATUSES: [&str; 3] = ["not-paid", "paid", "fail"];

fn an_order_of(dice: &mut Dice, number: &str) -> OrderBuilder {
    let mut order = an_order().number(number).delivery_type("incity").status("new");
    for _ in 0..dice.throw(4) {
        let quantity = u32::try_from(1 + dice.throw(3)).expect("small");
        order = order.item(dice.one(&GOODS), dice.sum(500_000), quantity, dice.sum(5_000));
        if dice.once_in(2) {
            order = order.vat(dice.one(&["none", "10", "20", "22"]));
        }
    }
    if dice.once_in(3) {
        order = order.discount(dice.sum(20_000));
    }
    match dice.throw(4) {
        0 => order = order.no_payments(),
        1 => order = order.payment_of_the_rest(dice.one(&["cash", "bank-card"]), dice.one(&STATUSES)),
        2 => {
            order = order.payment("bank-card", dice.sum(50_000), dice.one(&STATUSES));
            order = order.payment_of_the_rest("cash", "not-paid");
        }
        _ => {}
    }
    order = order.receiver(dice.one(&NAMES), dice.one(&PHONES)).address(dice.one(&TOWNS), dice.one(&TEXTS));
    order = order.text("customerComment", dice.one(&TEXTS)).text("managerComment", dice.one(&TEXTS));
    if dice.once_in(2) {
        order = order.delivery_cost(dice.sum(60_000));
    }
    if dice.once_in(3) {
        order = order.delivery_at("2026-12-24", dice.one(&["09:00", "10:30"]), dice.one(&["18:00", "21:00"]));
    }
    order
}

fn change(dice: &mut Dice, order: &mut OrderDraft) {
    match dice.throw(8) {
        0 => order.set_quantity(0, u32::try_from(1 + dice.throw(5)).expect("small")),
        1 => order.set_phone(dice.one(&PHONES)),
        2 => order.set_text("customerComment", dice.one(&TEXTS)),
        3 => order.set_address(dice.one(&TOWNS), dice.one(&TEXTS)),
        4 => order.set_delivery_date("2026-12-25"),
        5 => order.set_delivery_cost(dice.sum(60_000)),
        6 => order.set_payment_status(dice.one(&STATUSES)),
        // It leaves for another carrier, and is cancelled here.
        _ => order.set_delivery_type("russian-post"),
    }
    if dice.once_in(2) {
        order.adjust_payment();
    }
}

/// Previews, and what then leaves.
async fn equal(world: &World, wire: &Wire, number: &str, want: RequestKind) -> usize {
    let of = OrderNumber::parse(number).expect("a number");
    let integration = world.first().integration;
    let seen = preview(&world.ctx.config, world.store(), &integration, &of, Some(want)).await.expect("a preview");
    assert_eq!(wire.writes(), Vec::<String>::new(), "{number}: looking sends nothing");
    let would_leave: Vec<String> = seen.to_measoft.iter().map(|held| held.plain().to_owned()).collect();
    world.request(world.id, number, want).await;
    // What an outcome asks for a moment later belongs to it.
    let idle = async || {
        world.work(world.id).await;
        world.store().backlog_of(world.id).await.expect("read").0 == 0
    };
    world.until("nothing is wanted any more", idle).await;
    let left = wire.writes();
    assert_eq!(left, would_leave, "{number}: what left is not what was shown");
    left.len()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_previewed_of_made_up_orders_and_changes_is_what_then_leaves() {
    let steps = std::env::var("PREVIEWED").ok().and_then(|text| text.parse().ok()).unwrap_or(60);
    let world = World::new().await;
    let at = world.courier.url();
    let server = at.trim_start_matches("http://").split('/').next().and_then(|text| text.parse().ok());
    let (wire, address) = Wire::to(server.expect("an address")).await;
    let moved = |i: &mut shared::domain::Integration| -> shared::store::Result<()> {
        i.measoft_url = format!("http://{address}/api/");
        Ok(())
    };
    world.store().change_integration(world.id, moved).await.expect("moved");
    world.integrations.refresh().await.expect("read");
    // Among the first from here on are parcels that MeaSoft has and that leave for another carrier.
    let (mut done, mut left, mut seed) = (0, [0; 3], 62);
    while done < steps {
        seed += 1;
        let (mut dice, number) =
            (Dice(seed), format!("{seed}{}", ["", "A", "-Б"][usize::try_from(seed % 3).expect("few")]));
        let order = world.crm.add_order(world.account, an_order_of(&mut dice, &number));
        let requests = equal(&world, &wire, &number, RequestKind::Send).await;
        (done, left[requests.min(2)]) = (done + 1, left[requests.min(2)] + 1);
        for _ in 0..dice.throw(3) {
            world.crm.edit(world.account, order, |order| change(&mut dice, order));
            let requests = equal(&world, &wire, &number, RequestKind::Update).await;
            (done, left[requests.min(2)]) = (done + 1, left[requests.min(2)] + 1);
        }
    }
    // What nothing ever leaves of proves nothing.
    assert!(left[1] * 3 > steps && left[0] > 0, "requests by their number: {left:?}");
}
