//! The platform itself, without HTTP and without XML: accounts, orders, statuses, cursors, limits.

use jiff::civil::{Date, DateTime};
use jiff::tz::Offset;
use jiff::{SignedDuration, Timestamp};
use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashMap, VecDeque};
use std::net::IpAddr;
use std::str::FromStr;
use std::sync::Arc;

use super::faults::{FaultAction, Plan};
use super::limits::LimitTracker;
use super::model::*;
use crate::faults::FaultTable;

/// Codes the vendor's lists do not name; see the table in the module's documentation.
pub(crate) mod invented {
    pub(crate) const OPTION_OFF: i64 = 80;
    pub(crate) const TOO_LATE: i64 = 81;
    pub(crate) const ALREADY_CANCELLED: i64 = 82;
    pub(crate) const BARCODE_IN_EDIT: i64 = 83;
    pub(crate) const MARKING_QUANTITY: i64 = 84;
    pub(crate) const ITEM_QUANTITY: i64 = 85;
    pub(crate) const TOO_MANY_PACKAGES: i64 = 86;
    pub(crate) const PAYTYPE: i64 = 87;
    pub(crate) const VAT: i64 = 88;
    pub(crate) const UNKNOWN_LINE: i64 = 89;
}

/// Requests kept; older ones are only counted.
const KEPT_REQUESTS: usize = 200_000;
/// Most places of one order (protocols/measoft.md#packages).
const MAX_PACKAGES: usize = 1000;
const CANCELLED_BY_CLIENT: &str = "Отменено заказчиком";
const MOSCOW: Offset = Offset::constant(3);

fn later(at: Timestamp, by: SignedDuration) -> Timestamp {
    at.saturating_add(by).expect("adding a duration cannot be ambiguous")
}

fn after_ms(at: Timestamp, ms: u64) -> Timestamp {
    later(at, SignedDuration::from_millis(i64::try_from(ms).unwrap_or(i64::MAX)))
}

/// Moscow's wall clock at a moment.
pub(crate) fn moscow(at: Timestamp) -> DateTime {
    MOSCOW.to_datetime(at)
}

/// GMT wall clock at a moment.
pub(crate) fn gmt(at: Timestamp) -> DateTime {
    Offset::UTC.to_datetime(at)
}

/// An error of a row or of a whole request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) code: i64,
    pub(crate) en: String,
    pub(crate) ru: String,
}

impl Refusal {
    pub(crate) fn new(code: i64, en: impl Into<String>, ru: impl Into<String>) -> Self {
        Self { code, en: en.into(), ru: ru.into() }
    }

    pub(crate) fn not_found() -> Self {
        Self::new(52, "order not found", "Заказ не найден")
    }
}

/// A line as it stands in the request.
#[derive(Default, Clone)]
pub(crate) struct ItemInput {
    pub(crate) code: String,
    pub(crate) extcode: String,
    pub(crate) name: String,
    pub(crate) quantity: String,
    pub(crate) mass: String,
    pub(crate) retprice: String,
    pub(crate) inshprice: String,
    pub(crate) vat_rate: String,
    pub(crate) barcode: String,
    pub(crate) article: String,
    pub(crate) text_article: String,
    pub(crate) kind: String,
    pub(crate) government_code: String,
}

/// An order as it stands in the request; everything is still text.
#[derive(Default, Clone)]
pub(crate) struct OrderInput {
    pub(crate) orderno: String,
    pub(crate) barcode: String,
    pub(crate) sender: Party,
    pub(crate) receiver: Party,
    pub(crate) weight: String,
    pub(crate) quantity: String,
    pub(crate) paytype: String,
    pub(crate) service: String,
    pub(crate) kind: String,
    pub(crate) price: String,
    pub(crate) deliveryprice: String,
    pub(crate) delivery_vat: String,
    pub(crate) inshprice: String,
    pub(crate) enclosure: String,
    pub(crate) instruction: String,
    pub(crate) department: String,
    pub(crate) costcode: String,
    pub(crate) returning: String,
    pub(crate) pickup: String,
    pub(crate) receiverpays: String,
    pub(crate) acceptpartially: String,
    pub(crate) items: Vec<ItemInput>,
    pub(crate) packages: Vec<Package>,
}

/// Answer to one order of `neworder` or `editorder`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CreateRow {
    pub(crate) orderno: String,
    pub(crate) barcode: String,
    /// `orderprice` in kopecks.
    pub(crate) result: Result<i64, Refusal>,
}

/// Answer to one order of `cancelorder`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CancelRow {
    pub(crate) orderno: String,
    pub(crate) ordercode: String,
    pub(crate) result: Result<(), Refusal>,
}

/// Filters of `statusreq`; empty text = not given.
#[derive(Debug, Clone, Default)]
pub(crate) struct StatusQuery {
    pub(crate) client: String,
    pub(crate) orderno: String,
    pub(crate) ordercode: String,
    pub(crate) orderno2: String,
    pub(crate) givencode: String,
    pub(crate) datefrom: String,
    pub(crate) dateto: String,
    pub(crate) target: String,
    pub(crate) done: String,
    pub(crate) only_last: bool,
    pub(crate) streamid: String,
    pub(crate) namecontains: String,
    pub(crate) namestarts: String,
}

#[derive(Default)]
struct Cursor {
    position: u64,
    /// Last change that the latest answer held, and whether the row limit cut it.
    returned: Option<(u64, bool)>,
}

#[derive(Default)]
struct AccountState {
    account: Arc<Account>,
    key: String,
    orders: Vec<usize>,
    /// Orders by the number of their latest change: a log in which every order stands once.
    changed: BTreeMap<u64, usize>,
    cursors: HashMap<(String, String), Cursor>,
}

/// What the platform keeps beside the order itself.
struct Slot {
    account: usize,
    change: u64,
    visible_from: Timestamp,
    explicit_barcode: bool,
}

/// Everything behind the one lock.
#[derive(Default)]
pub(crate) struct State {
    pub(crate) options: Options,
    clock_offset: SignedDuration,
    /// Where the clock stands still, if it does.
    standing: Option<Timestamp>,
    accounts: Vec<AccountState>,
    by_login: HashMap<(String, String), usize>,
    orders: Vec<Arc<Order>>,
    slots: Vec<Slot>,
    by_number: HashMap<String, Vec<usize>>,
    by_code: HashMap<String, usize>,
    by_barcode: HashMap<(usize, String), Vec<usize>>,
    awaiting_sync: BinaryHeap<Reverse<(Timestamp, usize)>>,
    next_ordercode: u64,
    next_itemcode: u64,
    last_change: u64,
    effects: BTreeMap<String, Effects>,
    requests: VecDeque<RequestRecord>,
    request_seq: u64,
    request_counts: BTreeMap<String, usize>,
    lost_answers: usize,
    pub(crate) faults: FaultTable<FaultAction>,
    pub(crate) limits: LimitTracker,
}

impl State {
    pub(crate) fn new(options: Options) -> Self {
        let accounts = options.accounts.clone();
        let mut state = Self {
            limits: LimitTracker::new(options.time_scale),
            options,
            next_ordercode: 3_401_770,
            next_itemcode: 9_000_500,
            ..Self::default()
        };
        for account in accounts {
            state.add_account(account);
        }
        state
    }

    // ---- clock

    pub(crate) fn now(&self) -> Timestamp {
        self.standing.unwrap_or_else(|| later(Timestamp::now(), self.clock_offset))
    }

    pub(crate) fn set_now(&mut self, now: Timestamp) {
        match &mut self.standing {
            Some(standing) => *standing = now,
            None => self.clock_offset = now.duration_since(Timestamp::now()),
        }
    }

    /// From now on the clock moves only when it is set.
    pub(crate) fn stand_at(&mut self, now: Timestamp) {
        self.standing = Some(now);
    }

    pub(crate) fn advance(&mut self, by: SignedDuration) {
        self.set_now(later(self.now(), by));
    }

    /// Moves the clock to the same time of the next year.
    pub(crate) fn advance_year(&mut self) {
        let now = self.now();
        let local = moscow(now).saturating_add(jiff::Span::new().years(1));
        if let Ok(then) = MOSCOW.to_timestamp(local) {
            self.set_now(then);
        }
    }

    pub(crate) fn today(&self) -> Date {
        moscow(self.now()).date()
    }

    // ---- accounts

    pub(crate) fn add_account(&mut self, account: Account) {
        let login = (account.extra.clone(), account.login.clone());
        if let Some(&known) = self.by_login.get(&login) {
            self.accounts[known].account = Arc::new(account);
            return;
        }
        self.by_login.insert(login, self.accounts.len());
        let (key, account) = (account.key(), Arc::new(account));
        self.accounts.push(AccountState { key, account, ..AccountState::default() });
    }

    pub(crate) fn update_account(&mut self, key: &str, change: impl FnOnce(&mut Account)) -> bool {
        let Some(known) = self.accounts.iter_mut().find(|known| known.key == key) else {
            return false;
        };
        change(Arc::make_mut(&mut known.account));
        true
    }

    pub(crate) fn accounts(&self) -> Vec<Account> {
        self.accounts.iter().map(|known| (*known.account).clone()).collect()
    }

    /// The account with these credentials.
    pub(crate) fn login(&self, extra: &str, login: &str, pass: &str) -> Option<usize> {
        let account = *self.by_login.get(&(extra.to_owned(), login.to_owned()))?;
        (self.accounts[account].account.pass == pass).then_some(account)
    }

    pub(crate) fn is_courier(&self, extra: &str) -> bool {
        self.accounts.iter().any(|known| known.account.extra == extra)
    }

    pub(crate) fn account(&self, account: usize) -> Arc<Account> {
        Arc::clone(&self.accounts[account].account)
    }

    pub(crate) fn account_key(&self, account: usize) -> &str {
        &self.accounts[account].key
    }

    // ---- orders, read

    pub(crate) fn orders(&self) -> Vec<Order> {
        self.orders.iter().map(|order| (**order).clone()).collect()
    }

    pub(crate) fn newest_that(&self, wanted: impl Fn(&Order) -> bool) -> Option<Order> {
        self.orders.iter().rev().find(|order| wanted(order)).map(|order| (**order).clone())
    }

    /// The newest order with this number of any account, deleted ones last.
    pub(crate) fn order(&self, orderno: &str) -> Option<&Arc<Order>> {
        self.newest(orderno, None).map(|index| &self.orders[index])
    }

    pub(crate) fn latest_orders(&self, count: usize) -> impl Iterator<Item = &Arc<Order>> {
        self.orders.iter().rev().take(count)
    }

    fn newest(&self, orderno: &str, account: Option<usize>) -> Option<usize> {
        let all = self.by_number.get(orderno)?;
        let mine = |index: &&usize| account.is_none_or(|account| self.slots[**index].account == account);
        let living = all.iter().rev().filter(mine).find(|index| !self.orders[**index].deleted);
        match account {
            Some(_) => living.copied(),
            None => living.or_else(|| all.last()).copied(),
        }
    }

    /// The order an API request means: by internal code when given, else the newest with the number.
    pub(crate) fn find(&self, account: usize, orderno: &str, ordercode: &str) -> Option<usize> {
        if ordercode.is_empty() {
            return self.newest(orderno, Some(account));
        }
        let index = *self.by_code.get(ordercode)?;
        let fits = self.slots[index].account == account
            && !self.orders[index].deleted
            && (orderno.is_empty() || self.orders[index].orderno == orderno);
        fits.then_some(index)
    }

    /// The same once it shows.
    fn visible(&self, account: usize, orderno: &str, ordercode: &str) -> Option<usize> {
        self.find(account, orderno, ordercode).filter(|index| self.slots[*index].visible_from <= self.now())
    }

    pub(crate) fn at(&self, index: usize) -> Arc<Order> {
        Arc::clone(&self.orders[index])
    }

    // ---- orders, write

    /// Records that tracked fields of an order changed, so that every stream shows it again.
    fn touch(&mut self, index: usize) {
        self.last_change += 1;
        let slot = &mut self.slots[index];
        let changed = &mut self.accounts[slot.account].changed;
        changed.remove(&slot.change);
        changed.insert(self.last_change, index);
        slot.change = self.last_change;
    }

    fn push_status(&mut self, index: usize, record: StatusRecord) {
        let order = Arc::make_mut(&mut self.orders[index]);
        order.status.clone_from(&record.code);
        let place = order.history.partition_point(|known| known.at <= record.at);
        order.history.insert(place, record);
        self.touch(index);
    }

    /// Lets the orders whose time has come appear in the courier's system.
    pub(crate) fn settle(&mut self) {
        let now = self.now();
        while let Some(&Reverse((due, index))) = self.awaiting_sync.peek() {
            if due > now {
                break;
            }
            self.awaiting_sync.pop();
            if self.orders[index].status == "AWAITING_SYNC" && !self.orders[index].deleted {
                let record = StatusRecord {
                    code: "NEW".to_owned(),
                    at: due,
                    eventstore: "Москва".to_owned(),
                    message: String::new(),
                };
                self.push_status(index, record);
            }
        }
    }

    pub(crate) fn new_orders(&mut self, account: usize, inputs: Vec<OrderInput>, plan: &Plan) -> Vec<CreateRow> {
        inputs.into_iter().map(|input| self.new_order(account, input, plan)).collect()
    }

    fn new_order(&mut self, account: usize, mut input: OrderInput, plan: &Plan) -> CreateRow {
        let refused = |input: &OrderInput, barcode: &str, refusal: Refusal| CreateRow {
            orderno: input.orderno.clone(),
            barcode: barcode.to_owned(),
            result: Err(refusal),
        };
        if let Some((code, text)) = plan.refusal(&input.orderno) {
            return refused(&input, "", Refusal::new(code, text, text));
        }
        let settings = self.account(account);
        let now = self.now();
        if let Some((refusal, barcode)) = self.duplicate(account, &input, now) {
            return refused(&input, &barcode, refusal);
        }
        let checked = match self.check(&settings, &input) {
            Ok(checked) => checked,
            Err(refusal) => return refused(&input, "", refusal),
        };
        let lines = match self.lines(&settings, &[], &input, false) {
            Ok(lines) => lines,
            Err(refusal) => return refused(&input, "", refusal),
        };
        let (items, price) = match priced(lines, &input, &checked, &mut self.next_itemcode) {
            Ok(priced) => priced,
            Err(refusal) => return refused(&input, "", refusal),
        };

        self.next_ordercode += 1;
        let ordercode = format!("{:07}", self.next_ordercode);
        if input.orderno.is_empty() {
            input.orderno = format!("{}-{}", settings.client_code, self.next_ordercode);
        }
        let index = self.orders.len();
        let creates = 1 + self
            .by_number
            .get(&input.orderno)
            .map_or(0, |all| all.iter().filter(|known| self.slots[**known].account == account).count());
        let explicit_barcode = !input.barcode.is_empty();
        let mut order = Order {
            orderno: input.orderno.clone(),
            ordercode: ordercode.clone(),
            account: self.accounts[account].key.clone(),
            barcode: if explicit_barcode { input.barcode.clone() } else { input.orderno.clone() },
            created_at: now,
            creates: u32::try_from(creates).unwrap_or(u32::MAX),
            ..Order::default()
        };
        fill(&mut order, input, &checked, items, price);
        let row = CreateRow { orderno: order.orderno.clone(), barcode: order.barcode.clone(), result: Ok(price) };

        self.by_number.entry(order.orderno.clone()).or_default().push(index);
        self.by_code.insert(ordercode, index);
        if explicit_barcode {
            self.by_barcode.entry((account, order.barcode.clone())).or_default().push(index);
        }
        self.effects.entry(order.orderno.clone()).or_default().creates += 1;
        self.orders.push(Arc::new(order));
        self.slots.push(Slot {
            account,
            change: 0,
            visible_from: after_ms(now, settings.visible_after_ms),
            explicit_barcode,
        });
        self.accounts[account].orders.push(index);
        let record = StatusRecord {
            code: "AWAITING_SYNC".to_owned(),
            at: now,
            eventstore: String::new(),
            message: String::new(),
        };
        self.push_status(index, record);
        if let Some(delay) = settings.sync_after_ms {
            self.awaiting_sync.push(Reverse((after_ms(now, delay), index)));
        }
        row
    }

    /// Creates plain orders, `<prefix>1` to `<prefix><count>`, for tests that need many.
    pub(crate) fn seed(&mut self, account: &str, count: usize, prefix: &str) -> bool {
        let Some(account) = self.accounts.iter().position(|known| known.key == account) else {
            return false;
        };
        let template = OrderInput {
            receiver: Party {
                person: "Получатель Тестовый".to_owned(),
                phone: "+79161234567".to_owned(),
                town: "Москва город".to_owned(),
                address: "ул. Лесная, д. 5".to_owned(),
                ..Party::default()
            },
            weight: "0.5".to_owned(),
            items: vec![ItemInput {
                extcode: "line-1".to_owned(),
                name: "Товар".to_owned(),
                quantity: "1".to_owned(),
                retprice: "1000.00".to_owned(),
                vat_rate: "22".to_owned(),
                ..ItemInput::default()
            }],
            ..OrderInput::default()
        };
        let plan = Plan::default();
        for number in 1..=count {
            let input = OrderInput { orderno: format!("{prefix}{number}"), ..template.clone() };
            self.new_order(account, input, &plan);
        }
        true
    }

    /// 17 and 67 of protocols/measoft.md#duplicates: the number within a calendar year, a given
    /// barcode for ever.
    fn duplicate(&self, account: usize, input: &OrderInput, now: Timestamp) -> Option<(Refusal, String)> {
        let year = moscow(now).year();
        let living = |index: &&usize| self.slots[**index].account == account && !self.orders[**index].deleted;
        let number = || {
            let all = self.by_number.get(&input.orderno)?;
            let known =
                all.iter().filter(living).find(|index| moscow(self.orders[**index].created_at).year() == year)?;
            let refusal = Refusal::new(
                17,
                "Order number already exists in the database.",
                "Заказ с таким номером уже существует",
            );
            Some((refusal, self.orders[*known].barcode.clone()))
        };
        let barcode = || {
            let all = self.by_barcode.get(&(account, input.barcode.clone()))?;
            all.iter().find(living)?;
            let refusal = Refusal::new(
                67,
                "Order barcode already exists in the database.",
                "Заказ с таким штрих-кодом уже существует",
            );
            Some((refusal, input.barcode.clone()))
        };
        number().or_else(barcode)
    }

    /// Whatever the reference does not list is unknown, as it is at the real platform.
    fn unknown_town(&self, town: &str) -> bool {
        !town.is_empty() && super::reference::town(town, "").is_none()
    }

    /// Whether the calculator and the lists know a town.
    pub(crate) fn knows_town(&self, town: &str) -> bool {
        !self.unknown_town(town)
    }

    fn check(&self, settings: &Account, input: &OrderInput) -> Result<Checked, Refusal> {
        let receiver = &input.receiver;
        let sender = &input.sender;
        if receiver.town.is_empty() || self.unknown_town(&receiver.town) {
            return Err(Refusal::new(5, "receiver town not found", "Не найден город получателя"));
        }
        if self.unknown_town(&sender.town) {
            return Err(Refusal::new(6, "sender town not found", "Не найден город отправителя"));
        }
        if receiver.address.is_empty() {
            return Err(Refusal::new(7, "empty address", "Не указан адрес получателя"));
        }
        if receiver.phone.is_empty() {
            return Err(Refusal::new(8, "empty phone", "Не указан телефон получателя"));
        }
        if phones(&receiver.phone).is_empty() {
            let text = "field [receiver phone] has no valid phone number";
            return Err(Refusal::new(8, text, text));
        }
        if receiver.person.is_empty() && receiver.company.is_empty() {
            return Err(Refusal::new(9, "empty contact name", "Не указано контактное лицо получателя"));
        }
        let bad_sum = |field: &str| {
            Refusal::new(3, format!("field [{field}] has a wrong sum"), format!("Неверная сумма в поле [{field}]"))
        };
        let price = sum(&input.price).filter(|sum| *sum >= 0).ok_or_else(|| bad_sum("price"))?;
        let delivery = sum(&input.deliveryprice).filter(|sum| *sum >= 0).ok_or_else(|| bad_sum("deliveryprice"))?;
        if !is_weight(&input.weight) || input.packages.iter().any(|package| !is_weight(&package.mass)) {
            return Err(Refusal::new(4, "wrong weight", "Неверный вес"));
        }
        let insh = match sum(&input.inshprice) {
            Some(sum) if sum >= 0 && (settings.insurance || sum == 0) => sum,
            _ => return Err(Refusal::new(11, "wrong declared value", "Неверная объявленная стоимость")),
        };
        let bad_date =
            |field: &str| Refusal::new(18, format!("wrong date [{field}]"), format!("Неверная дата [{field}]"));
        for (field, value) in [("receiver date", &receiver.date), ("sender date", &sender.date)] {
            if value.is_empty() {
                continue;
            }
            if value.len() != 10 || value.parse::<Date>().is_err() {
                return Err(bad_date(field));
            }
        }
        for value in [&receiver.time_min, &receiver.time_max, &sender.time_min, &sender.time_max] {
            if !value.is_empty() && !is_time(value) {
                return Err(bad_date("time"));
            }
        }
        let paytype = if input.paytype.is_empty() { "CASH" } else { input.paytype.as_str() };
        if !["CASH", "CARD", "NO", "OTHER"].contains(&paytype) {
            return Err(Refusal::new(invented::PAYTYPE, "field [paytype] has a wrong value", "Неверный тип оплаты"));
        }
        if input.packages.len() > MAX_PACKAGES {
            return Err(Refusal::new(invented::TOO_MANY_PACKAGES, "too many packages", "Слишком много мест"));
        }
        check_vat(&input.delivery_vat)?;
        Ok(Checked {
            price,
            delivery,
            insh: (!input.inshprice.is_empty()).then_some(insh),
            paytype: paytype.to_owned(),
        })
    }

    /// The lines after the request: known ones replaced or left at quantity 0, new ones without a code yet.
    fn lines(
        &self,
        settings: &Account,
        known: &[Item],
        input: &OrderInput,
        editing: bool,
    ) -> Result<Vec<Item>, Refusal> {
        let mut lines: Vec<Item> = known.to_vec();
        for line in &mut lines {
            line.quantity = 0;
            line.returns = 0;
        }
        for given in &input.items {
            let mut line = checked_line(settings, given)?;
            if !editing || given.code.is_empty() {
                lines.push(line);
                continue;
            }
            let Some(place) = lines.iter_mut().find(|known| known.code == given.code) else {
                let text = format!("item code {} not found in the order", given.code);
                return Err(Refusal::new(invented::UNKNOWN_LINE, text, "Строка заказа не найдена"));
            };
            line.code.clone_from(&place.code);
            line.automatic = place.automatic;
            if place.automatic {
                line.kind = place.kind;
            }
            *place = line;
        }
        Ok(lines)
    }

    pub(crate) fn edit_orders(&mut self, account: usize, inputs: Vec<OrderInput>, plan: &Plan) -> Vec<CreateRow> {
        inputs.into_iter().map(|input| self.edit_order(account, input, plan)).collect()
    }

    fn edit_order(&mut self, account: usize, mut input: OrderInput, plan: &Plan) -> CreateRow {
        let orderno = input.orderno.clone();
        let refused = |barcode: &str, refusal| CreateRow {
            orderno: orderno.clone(),
            barcode: barcode.to_owned(),
            result: Err(refusal),
        };
        if let Some((code, text)) = plan.refusal(&orderno) {
            return refused("", Refusal::new(code, text, text));
        }
        let Some(index) = self.visible(account, &orderno, "") else {
            return refused("", Refusal::not_found());
        };
        let settings = self.account(account);
        let known = self.at(index);
        if let Err(refusal) = changeable(&settings, &known.status) {
            return refused(&known.barcode, refusal);
        }
        if !input.barcode.is_empty() {
            let text = "field [barcode] can not be changed";
            return refused(&known.barcode, Refusal::new(invented::BARCODE_IN_EDIT, text, "Штрих-код изменить нельзя"));
        }
        let outcome = self.check(&settings, &input).and_then(|checked| {
            let lines = self.lines(&settings, &known.items, &input, true)?;
            let (items, price) = priced(lines, &input, &checked, &mut self.next_itemcode)?;
            Ok((checked, items, price))
        });
        let (checked, items, price) = match outcome {
            Ok(outcome) => outcome,
            Err(refusal) => return refused(&known.barcode, refusal),
        };
        let row = CreateRow { orderno: orderno.clone(), barcode: known.barcode.clone(), result: Ok(price) };
        drop(known);
        let order = Arc::make_mut(&mut self.orders[index]);
        input.orderno.clone_from(&order.orderno);
        fill(order, input, &checked, items, price);
        order.edits += 1;
        self.effects.entry(orderno).or_default().edits += 1;
        if self.options.edits_are_changes {
            self.touch(index);
        }
        row
    }

    pub(crate) fn cancel_orders(
        &mut self,
        account: usize,
        numbers: Vec<(String, String)>,
        plan: &Plan,
    ) -> Vec<CancelRow> {
        numbers.into_iter().map(|(orderno, ordercode)| self.cancel_order(account, orderno, ordercode, plan)).collect()
    }

    fn cancel_order(&mut self, account: usize, orderno: String, ordercode: String, plan: &Plan) -> CancelRow {
        if let Some((code, text)) = plan.refusal(&orderno) {
            return CancelRow { orderno, ordercode, result: Err(Refusal::new(code, text, text)) };
        }
        let Some(index) = self.visible(account, &orderno, &ordercode) else {
            return CancelRow { orderno, ordercode, result: Err(Refusal::not_found()) };
        };
        let settings = self.account(account);
        let today = self.today().to_string();
        let now = self.now();
        let order = Arc::make_mut(&mut self.orders[index]);
        let mut row = CancelRow { orderno: order.orderno.clone(), ordercode: order.ordercode.clone(), result: Ok(()) };
        if order.status == "CANCELED" && order.deliveredto == CANCELLED_BY_CLIENT {
            let refusal = Refusal::new(invented::ALREADY_CANCELLED, "order already canceled", "Заказ уже отменён");
            row.result = Err(refusal);
            return row;
        }
        if let Err(refusal) = changeable(&settings, &order.status) {
            row.result = Err(refusal);
            return row;
        }
        order.deliveredto = CANCELLED_BY_CLIENT.to_owned();
        order.delivereddate = today;
        order.deliveredtime = String::new();
        order.courier = ("CANCEL".to_owned(), "Отмена".to_owned());
        order.cancels += 1;
        self.effects.entry(row.orderno.clone()).or_default().cancels += 1;
        let record = StatusRecord {
            code: "CANCELED".to_owned(),
            at: now,
            eventstore: "Москва".to_owned(),
            message: String::new(),
        };
        self.push_status(index, record);
        row
    }

    // ---- reading by the API

    pub(crate) fn status_request(&mut self, account: usize, query: &StatusQuery) -> Vec<Arc<Order>> {
        if query.client == "AGENT" {
            return Vec::new();
        }
        if query.only_last {
            return self.changes(account, query);
        }
        let now = self.now();
        let candidates: Vec<usize> = if !query.ordercode.is_empty() {
            self.by_code.get(&query.ordercode).copied().into_iter().collect()
        } else if !query.orderno.is_empty() {
            self.by_number.get(&query.orderno).cloned().unwrap_or_default()
        } else {
            self.accounts[account].orders.clone()
        };
        let range = (query.datefrom.parse::<Date>().ok(), query.dateto.parse::<Date>().ok());
        let found: Vec<Arc<Order>> = candidates
            .into_iter()
            .filter(|index| {
                let slot = &self.slots[*index];
                let order = &self.orders[*index];
                slot.account == account && slot.visible_from <= now && !order.deleted && matches(order, query, range)
            })
            .map(|index| self.at(index))
            .collect();
        if !query.orderno.is_empty() || !query.ordercode.is_empty() {
            let key = self.accounts[account].key.clone();
            self.limits.lookup(&key, !found.is_empty());
        }
        found
    }

    fn changes(&mut self, account: usize, query: &StatusQuery) -> Vec<Arc<Order>> {
        let now = self.now();
        let limit = self.options.only_last_limit.unwrap_or(usize::MAX);
        let known = &mut self.accounts[account];
        let cursor = known.cursors.entry(cursor_key(&query.client, &query.streamid)).or_default();
        let mut rows = Vec::new();
        let mut last = cursor.position;
        let mut cut = false;
        for (&change, &index) in known.changed.range(cursor.position + 1..) {
            // A row that nobody may see yet must not be confirmed with the others.
            if rows.len() >= limit || self.slots[index].visible_from > now {
                cut = true;
                break;
            }
            last = change;
            if !self.orders[index].deleted {
                rows.push(Arc::clone(&self.orders[index]));
            }
        }
        cursor.returned = Some((last, cut));
        rows
    }

    /// `commitlaststatus`. Confirming a cursor that never fetched changes nothing.
    pub(crate) fn commit(&mut self, account: usize, client: &str, streamid: &str) {
        let Some(cursor) = self.accounts[account].cursors.get_mut(&cursor_key(client, streamid)) else {
            return;
        };
        let Some((last, cut)) = cursor.returned.take() else {
            return;
        };
        cursor.position = match self.options.commit {
            CommitMode::StampNow if !cut => self.last_change,
            _ => cursor.position.max(last),
        };
    }

    /// Whether a stream of the account has been confirmed to its end.
    pub(crate) fn is_read_out(&self, account: usize) -> bool {
        let known = &self.accounts[account];
        let last = known.changed.keys().next_back();
        last.is_none_or(|last| known.cursors.values().any(|cursor| cursor.position >= *last))
    }

    // ---- the courier's side

    /// The order a driver means: newest with the number, else by internal code.
    fn driven(&self, orderno: &str) -> Option<usize> {
        self.newest(orderno, None).or_else(|| self.by_code.get(orderno).copied())
    }

    pub(crate) fn change_status(&mut self, orderno: &str, change: &StatusChange) -> bool {
        let Some(index) = self.driven(orderno) else {
            return false;
        };
        let now = self.now();
        let at = change.at.unwrap_or(now);
        let order = Arc::make_mut(&mut self.orders[index]);
        for line in &mut order.items {
            let returned = change.returns.get(&line.extcode).or_else(|| change.returns.get(&line.code));
            if let Some(returned) = returned {
                line.returns = (*returned).clamp(0, line.quantity);
            }
        }
        if let Some(paytype) = &change.paytype {
            order.paytype.clone_from(paytype);
        }
        if let Some(price) = change.price_kopecks {
            order.price_kopecks = price;
        } else if !change.returns.is_empty() && order.paytype != "NO" {
            order.price_kopecks = order.items.iter().map(Item::total_kopecks).sum::<i64>().max(0);
        }
        let local = moscow(at);
        let closing = |order: &mut Order, to: &str| {
            order.deliveredto = change.deliveredto.clone().unwrap_or_else(|| to.to_owned());
            order.delivereddate = local.date().to_string();
        };
        match change.code.as_deref() {
            Some("COMPLETE" | "PARTIALLY") => {
                let person = order.receiver.person.clone();
                closing(order, &person);
                order.deliveredtime = local.strftime("%H:%M").to_string();
            }
            Some("CANCELED" | "LOST") => closing(order, "Отказ получателя"),
            _ => {
                if let Some(to) = &change.deliveredto {
                    order.deliveredto.clone_from(to);
                }
            }
        }
        if order.courier.0.is_empty() && change.code.as_deref() == Some("DELIVERY") {
            order.courier = ("31".to_owned(), "Петров Сергей".to_owned());
        }
        match &change.code {
            Some(code) => {
                let record = StatusRecord {
                    code: code.clone(),
                    at,
                    eventstore: change.eventstore.clone().unwrap_or_else(|| "Москва".to_owned()),
                    message: change.message.clone(),
                };
                self.push_status(index, record);
            }
            None => self.touch(index),
        }
        true
    }

    pub(crate) fn delete(&mut self, orderno: &str) -> bool {
        let Some(index) = self.driven(orderno) else {
            return false;
        };
        Arc::make_mut(&mut self.orders[index]).deleted = true;
        let slot = &self.slots[index];
        if slot.explicit_barcode
            && let Some(all) = self.by_barcode.get_mut(&(slot.account, self.orders[index].barcode.clone()))
        {
            all.retain(|known| *known != index);
        }
        true
    }

    // ---- requests

    pub(crate) fn record(&mut self, ip: IpAddr, op: &str, account: String, ordernos: Vec<String>) -> u64 {
        self.request_seq += 1;
        *self.request_counts.entry(op.to_owned()).or_default() += 1;
        while self.requests.len() >= KEPT_REQUESTS {
            self.requests.pop_front();
        }
        self.requests.push_back(RequestRecord {
            seq: self.request_seq,
            at: self.now(),
            ip: ip.to_string(),
            op: op.to_owned(),
            account,
            ordernos,
            ..RequestRecord::default()
        });
        self.request_seq
    }

    /// Changes a record that is still kept.
    pub(crate) fn amend(&mut self, seq: u64, change: impl FnOnce(&mut RequestRecord)) {
        let Some(first) = self.requests.front().map(|record| record.seq) else {
            return;
        };
        let place = seq.checked_sub(first).and_then(|place| usize::try_from(place).ok());
        if let Some(record) = place.and_then(|place| self.requests.get_mut(place)) {
            let lost_before = record.lost;
            change(record);
            self.lost_answers += usize::from(record.lost && !lost_before);
        }
    }

    pub(crate) fn requests(&self) -> impl DoubleEndedIterator<Item = &RequestRecord> {
        self.requests.iter()
    }

    pub(crate) fn count(&self, op: &str) -> usize {
        self.request_counts.get(op).copied().unwrap_or(0)
    }

    pub(crate) fn effects(&self) -> BTreeMap<String, Effects> {
        self.effects.clone()
    }

    pub(crate) fn stats(&self) -> Stats {
        let mut effects = Effects::default();
        for of_number in self.effects.values() {
            effects.creates += of_number.creates;
            effects.edits += of_number.edits;
            effects.cancels += of_number.cancels;
        }
        let mut statuses = BTreeMap::new();
        for order in self.orders.iter().filter(|order| !order.deleted) {
            *statuses.entry(order.status.clone()).or_default() += 1;
        }
        Stats {
            requests: self.request_counts.clone(),
            total_requests: self.request_counts.values().sum(),
            lost_answers: self.lost_answers,
            orders: self.orders.len(),
            effects,
            statuses,
            faults_fired: self.faults.fired(),
            limits: self.limits.report(&self.options.limits),
        }
    }

    /// Forgets requests, counters and limit windows, but no order.
    pub(crate) fn reset_counters(&mut self) {
        self.requests.clear();
        self.request_counts.clear();
        self.lost_answers = 0;
        self.limits = LimitTracker::new(self.options.time_scale);
    }
}

fn cursor_key(client: &str, streamid: &str) -> (String, String) {
    let client = if client.is_empty() { "CLIENT" } else { client };
    (client.to_owned(), streamid.to_owned())
}

/// Values that passed the checks.
struct Checked {
    price: i64,
    delivery: i64,
    insh: Option<i64>,
    paytype: String,
}

/// Only an untouched order may be changed, and only with the paid option
/// (protocols/measoft.md#editorder).
fn changeable(settings: &Account, status: &str) -> Result<(), Refusal> {
    if !settings.allow_edit_cancel {
        return Err(Refusal::new(
            invented::OPTION_OFF,
            "order editing is disabled by the delivery service",
            "Изменение и отмена заказов отключены курьерской службой",
        ));
    }
    if !["NEW", "AWAITING_SYNC"].contains(&status) {
        return Err(Refusal::new(
            invented::TOO_LATE,
            "order is already in work and can not be changed",
            "Заказ уже в работе, изменение невозможно",
        ));
    }
    Ok(())
}

fn check_vat(text: &str) -> Result<(), Refusal> {
    let fine = text.is_empty() || text.parse::<u8>().is_ok_and(|percent| percent <= 100);
    fine.then_some(())
        .ok_or_else(|| Refusal::new(invented::VAT, "field [VATrate] has a wrong value", "Неверная ставка НДС"))
}

fn checked_line(settings: &Account, given: &ItemInput) -> Result<Item, Refusal> {
    let kind: u8 = match given.kind.as_str() {
        "" => 1,
        text => text.parse().unwrap_or(0),
    };
    let wrong_sum = || Refusal::new(3, "field [item retprice] has a wrong sum", "Неверная цена товара");
    let retprice = sum(&given.retprice).ok_or_else(wrong_sum)?;
    if !(1..=7).contains(&kind) {
        return Err(Refusal::new(3, "field [item type] has a wrong value", "Неверный тип строки"));
    }
    let inshprice = match given.inshprice.as_str() {
        "" => retprice.max(0),
        text => sum(text)
            .filter(|sum| *sum >= 0)
            .ok_or_else(|| Refusal::new(11, "wrong declared value", "Неверная объявленная стоимость"))?,
    };
    let quantity: i64 = match given.quantity.as_str() {
        "" => 1,
        _ if kind == 4 => 1,
        text => number(text)
            .filter(|number| number.fract().is_zero() && !number.is_sign_negative())
            .and_then(|number| number.to_i64())
            .ok_or_else(|| {
                let text = "field [item quantity] is not a whole number";
                Refusal::new(invented::ITEM_QUANTITY, text, "Количество товара должно быть целым числом")
            })?,
    };
    quantity.checked_mul(retprice).ok_or_else(wrong_sum)?;
    if !given.mass.is_empty() && !is_weight(&given.mass) {
        return Err(Refusal::new(4, "wrong weight", "Неверный вес"));
    }
    if !given.article.is_empty() && !settings.articles.contains(&given.article) {
        let text = format!("article {} not found", given.article);
        return Err(Refusal::new(12, text, format!("Артикул {} не найден", given.article)));
    }
    if !given.government_code.is_empty() && quantity != 1 {
        let text = "field [item governmentCode] needs quantity 1";
        return Err(Refusal::new(invented::MARKING_QUANTITY, text, "Количество маркированного товара должно быть 1"));
    }
    check_vat(&given.vat_rate)?;
    Ok(Item {
        extcode: given.extcode.clone(),
        name: given.name.clone(),
        quantity,
        mass: given.mass.clone(),
        retprice_kopecks: if kind == 4 { -retprice.saturating_abs() } else { retprice },
        inshprice_kopecks: inshprice,
        vat_rate: given.vat_rate.clone(),
        barcode: given.barcode.clone(),
        article: given.article.clone(),
        text_article: given.text_article.clone(),
        kind,
        government_code: given.government_code.clone(),
        ..Item::default()
    })
}

/// The price rules of protocols/measoft.md#neworder: with lines the platform computes the sum
/// itself, adds the fee as a line and, when nothing is to be collected, a prepayment line that
/// brings the sum to zero. Also hands out codes.
fn priced(
    mut lines: Vec<Item>,
    input: &OrderInput,
    checked: &Checked,
    next_code: &mut u64,
) -> Result<(Vec<Item>, i64), Refusal> {
    let free = checked.paytype == "NO";
    let price = if input.items.is_empty() {
        if free { 0 } else { checked.price }
    } else {
        let delivery = (checked.delivery > 0).then_some(checked.delivery);
        automatic_line(&mut lines, 2, "Доставка", delivery, &input.delivery_vat);
        automatic_line(&mut lines, 4, "Предоплата", None, "0");
        let total: i64 = lines.iter().map(Item::total_kopecks).fold(0, i64::saturating_add);
        if total < 0 {
            return Err(Refusal::new(3, "order sum is negative", "Отрицательная сумма заказа"));
        }
        if free && total > 0 {
            automatic_line(&mut lines, 4, "Предоплата", Some(-total), "0");
        }
        if free { 0 } else { total }
    };
    for line in &mut lines {
        if line.code.is_empty() {
            *next_code += 1;
            line.code = next_code.to_string();
        }
    }
    Ok((lines, price))
}

/// Sets, adds or empties the platform's own line of a kind.
fn automatic_line(lines: &mut Vec<Item>, kind: u8, name: &str, price: Option<i64>, vat: &str) {
    let known = lines.iter_mut().find(|line| line.automatic && line.kind == kind);
    match (known, price) {
        (Some(line), price) => {
            line.quantity = i64::from(price.is_some());
            line.retprice_kopecks = price.unwrap_or(line.retprice_kopecks);
            line.vat_rate = vat.to_owned();
        }
        (None, Some(price)) => lines.push(Item {
            name: name.to_owned(),
            quantity: 1,
            mass: "0".to_owned(),
            retprice_kopecks: price,
            vat_rate: vat.to_owned(),
            kind,
            automatic: true,
            ..Item::default()
        }),
        (None, None) => {}
    }
}

/// Replaces everything that a request replaces.
fn fill(order: &mut Order, input: OrderInput, checked: &Checked, items: Vec<Item>, price: i64) {
    let declared = items.iter().map(|line| line.quantity.saturating_mul(line.inshprice_kopecks)).sum();
    order.items = items;
    order.price_kopecks = price;
    order.inshprice_kopecks = checked.insh.unwrap_or(declared);
    order.deliveryprice_kopecks = checked.delivery;
    order.paytype.clone_from(&checked.paytype);
    order.packages = input.packages;
    order.sender = input.sender;
    order.receiver = input.receiver;
    order.weight = input.weight;
    order.quantity = input.quantity;
    order.service = input.service;
    order.kind = input.kind;
    order.enclosure = input.enclosure;
    order.instruction = input.instruction;
    order.department = input.department;
    order.costcode = input.costcode;
    order.returning = input.returning;
    order.pickup = input.pickup;
    order.receiverpays = input.receiverpays;
    order.acceptpartially = input.acceptpartially;
}

fn matches(order: &Order, query: &StatusQuery, range: (Option<Date>, Option<Date>)) -> bool {
    let text = |wanted: &str, have: &str| wanted.is_empty() || wanted == have;
    let created = moscow(order.created_at).date();
    let done = match query.done.as_str() {
        "ONLY_DONE" => ["COMPLETE", "PARTIALLY"].contains(&order.status.as_str()),
        "ONLY_NOT_DONE" => ["CANCELED", "LOST", "RETURNING", "RETURNED"].contains(&order.status.as_str()),
        "ONLY_NEW" => ["NEW", "AWAITING_SYNC"].contains(&order.status.as_str()),
        "ONLY_DELIVERY" => !is_final(&order.status),
        _ => true,
    };
    done && text(&query.orderno, &order.orderno)
        && text(&query.ordercode, &order.ordercode)
        && query.orderno2.is_empty()
        && query.givencode.is_empty()
        && range.0.is_none_or(|from| created >= from)
        && range.1.is_none_or(|to| created <= to)
        && (query.target.is_empty()
            || order.receiver.company.contains(&query.target)
            || order.receiver.address.contains(&query.target))
        && order.orderno.contains(&query.namecontains)
        && order.orderno.starts_with(&query.namestarts)
}

/// The statuses after which no other delivery outcome is expected
/// (protocols/measoft.md#status-codes).
fn is_final(status: &str) -> bool {
    ["COMPLETE", "PARTIALLY", "CANCELED", "RETURNING", "RETURNED", "PARTLYRETURNING", "PARTLYRETURNED", "LOST"]
        .contains(&status)
}

/// Russian name of a status code for `title`.
pub(crate) fn status_title(code: &str) -> &'static str {
    match code {
        "AWAITING_SYNC" => "Ожидает синхронизации",
        "NEW" => "Новый",
        "NEWPICKUP" => "Создан забор",
        "PICKUP" => "Забран у отправителя",
        "WMSASSEMBLED" => "Скомплектован на складе",
        "WMSDISASSEMBLED" => "Разукомплектован на складе",
        "ACCEPTED" => "Получен складом",
        "STORETAKE" => "Принят складом на хранение",
        "CUSTOMSPROCESS" => "Таможенный контроль",
        "CUSTOMSFINISHED" => "Таможенный контроль пройден",
        "CONFIRM" => "Согласована доставка",
        "UNCONFIRM" => "Не удалось согласовать доставку",
        "DEPARTURING" => "Планируется отправка",
        "DEPARTURE" => "Отправлено со склада",
        "TRANSACCEPTED" => "Прибыл на склад перевозчика",
        "PICKUPTRANS" => "Забран у перевозчика",
        "INVENTORY" => "Инвентаризация",
        "PICKUPREADY" => "Готов к выдаче",
        "DELIVERY" => "Выдан курьеру на доставку",
        "COURIERDELIVERED" => "Доставлен (предварительно)",
        "COURIERPARTIALLY" => "Доставлен частично (предварительно)",
        "COURIERCANCELED" => "Отказ (предварительно)",
        "COURIERRETURN" => "Курьер вернул на склад",
        "DATECHANGE" => "Перенос",
        "COMPLETE" => "Доставлен",
        "PARTIALLY" => "Доставлен частично",
        "CANCELED" => "Не доставлен (Возврат/Отмена)",
        "RETURNING" => "Планируется возврат",
        "RETURNED" => "Возвращен",
        "PARTLYRETURNING" => "Планируется возврат остатка",
        "PARTLYRETURNED" => "Остаток возвращен",
        "LOST" => "Утрачен",
        _ => "Новый код из будущей версии",
    }
}

/// A plain decimal number with a dot.
pub(crate) fn number(text: &str) -> Option<Decimal> {
    let plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.' || byte == b'-');
    plain.then(|| Decimal::from_str(text).ok()).flatten()
}

/// Money in kopecks, rounded to hundredths; nothing given is 0.
pub(crate) fn sum(text: &str) -> Option<i64> {
    if text.is_empty() {
        return Some(0);
    }
    number(text)?.checked_mul(Decimal::ONE_HUNDRED)?.round().to_i64()
}

/// Grams of a weight in kilograms, rounded.
pub(crate) fn grams(text: &str) -> Option<i64> {
    number(text)?.checked_mul(Decimal::ONE_THOUSAND)?.round().to_i64().filter(|grams| *grams >= 0)
}

fn is_weight(text: &str) -> bool {
    text.is_empty() || grams(text).is_some()
}

fn is_time(text: &str) -> bool {
    text.len() == 5 && text.parse::<jiff::civil::Time>().is_ok()
}

/// The valid phones of a free-text value, as digits. A phone has 10 to 15 digits
/// (protocols/measoft.md#error-texts).
pub(crate) fn phones(text: &str) -> Vec<String> {
    text.split([',', ';', '/', '\n'])
        .filter(|part| !part.contains('@'))
        .map(|part| part.chars().filter(char::is_ascii_digit).collect::<String>())
        .filter(|digits| (10..=15).contains(&digits.len()))
        .collect()
}
