"""RetailCRM's official Python client makes every call the bridge makes, and judges the answers.

Reads {"url", "key", "module", "orders": [id, id]} and writes {"complaints": [...], "planted":
{mistake: [complaints]}}: what is found, in the fixtures too, and what through a proxy that spoils
the answers in one way each.
"""

import itertools
import json
import re
import sys
from datetime import datetime
from zoneinfo import ZoneInfo

import retailcrm

import facts
from proxy import Proxy

MARKS = itertools.count(1)
SCOPES = {"order_read", "order_write", "delivery_write", "integration_read", "integration_write", "reference_read"}
BOOKS = {
    "payment_types": ("PaymentTypesAnswer", "paymentTypes"),
    "payment_statuses": ("PaymentStatusesAnswer", "paymentStatuses"),
    "product_statuses": ("ProductStatusesAnswer", "productStatuses"),
    "delivery_types": ("DeliveryTypesAnswer", "deliveryTypes"),
    "statuses": ("StatusesAnswer", "statuses"),
}


# Answers, and what RetailCRM asks, by the model that reads or writes them.
FIXTURES = {
    "orders-list": "OrdersAnswer", "orders-history": "OrdersHistoryAnswer", "order-full": "OrdersGetAnswer",
    "order-edit-response": "OrdersEditAnswer",
    "payment-create-response": "IdAnswer", "payment-edit-response": "IdAnswer",
    "payment-delete-response": "SuccessAnswer", "tracking-response": "SuccessAnswer",
    "reference-payment-types": "PaymentTypesAnswer", "reference-payment-statuses": "PaymentStatusesAnswer",
    "reference-delivery-types": "DeliveryTypesAnswer", "reference-statuses": "StatusesAnswer",
    "credentials": "CredentialsAnswer", "settings": "SettingsAnswer",
    "module-get-response": "IntegrationModulesGetAnswer", "module-edit-response": "IntegrationModulesEditAnswer",
    "error-rate-limit": "Refusal", "error-wrong-key": "Refusal", "errors-list": "Refusal", "errors-map": "Refusal",
    "callback-calculate-response": "CalculateAnswer", "callback-save-response": "SaveAnswer",
    "callback-save-async-response": "SaveAnswer", "callback-get-response": "GetAnswer",
    "callback-tarifflist-response": "TariffListAnswer", "callback-shipmentpointlist-response": "ShipmentPointListAnswer",
    "callback-delete-response": "SuccessAnswer", "callback-error-response": "Refusal",
    "callback-calculate-models-request": ("calculate", "Calculate"), "callback-save-models-request": ("save", "Save"),
    "callback-print-models-request": ("print", "Print"), "callback-delete-request": ("delete", "Delete"),
}


def fixtures():
    said = []
    for name, model in FIXTURES.items():
        sample = json.loads((facts.FOLDER / f"../../shared/fixtures/retailcrm/{name}.json").read_text())
        sample = {field: value for field, value in sample.items() if not field.startswith("_")}
        if isinstance(model, tuple):
            field, model = model
            sample = sample[field]
        said += facts.complaints(model, sample, name)
    return said


class Judge:
    def __init__(self, given):
        self.given = given
        self.said = []

    def expect(self, holds, what):
        if not holds:
            self.said.append(what)

    def call(self, what, ask, model, status=200):
        """One call by a client of its own: the client keeps parameters of a call that failed."""
        try:
            answer = ask(retailcrm.v5(self.given["url"], self.given["key"]))
        except Exception as error:  # the client found no JSON, or no answer
            self.said.append(f"{what}: the client ends with {type(error).__name__}")
            return {}
        body = answer.get_response()
        if not isinstance(body, dict):
            self.said.append(f"{what}: no object")
            return {}
        self.said += facts.complaints(model, body, what)
        self.expect(answer.get_status_code() == status, f"{what}: status {answer.get_status_code()}, not {status}")
        self.expect(body.get("success") is (status < 400), f"{what}: success is {body.get('success')!r}")
        if status >= 400:
            self.expect(body.get("errorMsg"), f"{what}: refused without a word")
        return body if status < 400 else {}

    def refused(self, what, ask, status):
        self.call(what, ask, "Refusal", status)

    # ---- orders

    def order(self, what):
        identity = self.given["orders"][0]
        return self.call(what, lambda crm: crm.order(identity, "id"), "OrdersGetAnswer").get("order") or {}

    def orders(self):
        first, second = self.given["orders"]
        one = self.order("order")
        self.expect(one.get("id") == first, "order: another one")
        by_number = self.listed("orders by number", {"numbers": [one.get("number")]}, {first})
        self.expect(by_number == [one], "orders by number: not as when read alone")
        self.listed("orders by id", {"ids": [first, second]}, {first, second})
        self.listed("orders nobody has", {"numbers": ["no such number"]}, set())
        kind = (one.get("delivery") or {}).get("code")
        typed = self.listed("orders by delivery type", {"deliveryTypes": [kind]}, None)
        self.expect(all((row.get("delivery") or {}).get("code") == kind for row in typed),
                    "orders by delivery type: others too")
        last = self.call("orders past the end", lambda crm: crm.orders({"ids": [first]}, 20, 2), "OrdersAnswer")
        self.expect(last.get("orders") == [], "orders past the end: some")
        site, external = one.get("site"), one.get("externalId")
        shop = self.call("order of the shop", lambda crm: crm.order(external, site=site), "OrdersGetAnswer")
        self.expect(shop.get("order") == one, "order of the shop: not as by id")
        self.refused("order nobody has", lambda crm: crm.order(987654321, "id"), 404)
        self.refused("a limit of 7", lambda crm: crm.orders({"ids": [first]}, 7, 1), 400)
        self.refused("a filter nobody knows", lambda crm: crm.orders({"number": "1"}, 20, 1), 400)
        stranger = retailcrm.v5(self.given["url"], "somebody else's key")
        self.refused("a wrong key", lambda _: stranger.order(first, "id"), 403)
        self.sums(one)

    def listed(self, what, filters, ids):
        body = self.call(what, lambda crm: crm.orders(filters, 100, 1), "OrdersAnswer")
        rows = body.get("orders") or []
        pages = body.get("pagination") or {}
        self.expect((pages.get("limit"), pages.get("currentPage")) == (100, 1), f"{what}: pagination {pages}")
        total = pages.get("totalCount")
        self.expect(total == len(rows), f"{what}: totalCount {total} of {len(rows)}")
        self.expect(pages.get("totalPageCount") == (1 if rows else 0), f"{what}: totalPageCount of one page")
        if ids is not None:
            self.expect({row.get("id") for row in rows} == ids, f"{what}: others than were asked for")
        for row in rows:
            payments = row.get("payments")
            if payments:
                self.expect(isinstance(payments, dict), f"{what}: payments are no map")
                by_id = payments.items() if isinstance(payments, dict) else ()
                self.expect(all(str(one.get("id")) == key for key, one in by_id), f"{what}: payments under other ids")
        return rows

    def sums(self, order):
        lines = [price["price"] * price["quantity"] for item in order.get("items") or [] if not item.get("isCanceled")
                 for price in item.get("prices") or []]
        delivery = (order.get("delivery") or {}).get("cost") or 0
        total = order.get("totalSumm")
        fits = facts.is_number(total) and abs(sum(lines) + delivery - total) < 0.01
        self.expect(fits, f"order: lines and delivery do not come to totalSumm {total}")

    # ---- edits and history

    def edit(self):
        before = self.order("order before the edit")
        mark = f"mark {next(MARKS)}"
        newest = self.history("history", {"startDate": "2020-01-01 00:00:00"}, drain=True)
        since = max((record.get("id") or 0 for record in newest), default=0)
        patch = {"id": before.get("id"), "delivery": {"data": {"extraData": {"deliveryApiKey": mark}}}}
        edited = self.call("edit", lambda crm: crm.order_edit(patch, "id", before.get("site")), "OrdersEditAnswer")
        self.expect(edited.get("id") == before.get("id"), "edit: another order")
        after = self.order("order after the edit")
        self.expect(edited.get("order") == after, "edit: the answer shows another order than reading")
        key = "deliveryApiKey"
        data = (after.get("delivery") or {}).get("data") or {}
        self.expect((data.get("extraData") or {}).get(key) == mark, "edit: not kept")
        old = (before.get("delivery") or {}).get("data") or {}
        self.expect({**data, "extraData": 0} == {**old, "extraData": 0}, "edit: other data of the delivery changed")
        rest = {"delivery": 0, "statusUpdatedAt": 0}
        self.expect({**after, **rest} == {**before, **rest}, "edit: other fields changed")
        records = self.history("history since", {"sinceId": since})
        ours = [one for one in records if (one.get("order") or {}).get("id") == before.get("id")]
        self.expect(any(one.get("field") == "integration_delivery_data.extra_data" for one in ours),
                    "history: the edit is missing")
        self.expect(all(one.get("source") == "api" and (one.get("apiKey") or {}).get("current") is True
                        for one in ours), "history: our edit is not ours")
        self.expect(all(one.get("id", 0) > since for one in records), "history: older than was asked for")
        self.refused("an order that is none", lambda crm: crm.order_edit({"id": 987654321}, "id"), 404)
        paged = {"filter": {"sinceId": since}, "limit": 20, "page": 1}
        self.refused("history by cursor and page", lambda crm: raw(crm, paged, "/orders/history"), 400)

    def history(self, what, filters, drain=False):
        """All of it by the cursor. The client always sends a page, which is refused beside one."""
        records = []
        while True:
            asked = {"filter": filters, "limit": 100}
            body = self.call(what, lambda crm, asked=asked: raw(crm, asked, "/orders/history"), "OrdersHistoryAnswer")
            part = body.get("history") or []
            records += part
            if not part or (body.get("pagination") or {}).get("totalPageCount", 0) <= 1 or not drain:
                break
            filters = {"sinceId": part[-1].get("id")}
        ids = [record.get("id") for record in records]
        self.expect(None not in ids and ids == sorted(set(ids)), f"{what}: not in the order of ids")
        return records

    # ---- payments

    def payments(self):
        before = self.order("order before its payment")
        identity, site = before.get("id"), before.get("site")
        external = f"judge-{next(MARKS)}"
        payment = {"order": {"id": identity}, "type": "cash", "status": "not-paid", "amount": 12.5,
                   "externalId": external}
        made = self.call("payment", lambda crm: crm.order_payment_create(payment, site), "IdAnswer", 201).get("id")
        self.expect(made is not None, "payment: without an id")
        row = self.payment(made, "after creating")
        self.expect(
            {**payment, "order": 0} == {**{name: row.get(name) for name in payment}, "order": 0}, "payment: another one")
        paid = {"id": made, "status": "paid", "amount": 13.75, "paidAt": "2026-11-29 10:20:30"}
        self.call("payment edit", lambda crm: crm.order_payment_edit(paid, "id", site), "IdAnswer")
        row = self.payment(made, "after its edit")
        self.expect(all(row.get(name) == value for name, value in paid.items()), "payment: its edit is not kept")
        grown = (self.order("order with its payment").get("prepaySum") or 0) - (before.get("prepaySum") or 0)
        self.expect(abs(grown - 13.75) < 0.001, f"payment: paid, and prepaySum grew by {grown}")
        self.refused("payment of no type", lambda crm: crm.order_payment_create({"order": {"id": identity}}, site), 400)
        unknown = {**payment, "type": "no-such-type"}
        self.refused("payment of an unknown type", lambda crm: crm.order_payment_create(unknown, site), 400)
        self.call("payment's end", lambda crm: crm.order_payment_delete(made), "SuccessAnswer")
        self.expect(not self.payment(made, "after its end"), "payment: deleted, and there")
        self.refused("payment's second end", lambda crm: crm.order_payment_delete(made), 404)

    def payment(self, identity, when):
        payments = self.order(f"order {when} of a payment").get("payments") or {}
        return payments.get(str(identity), {}) if isinstance(payments, dict) else {}

    # ---- statuses, references, the module

    def tracking(self):
        zone = self.zone()
        data = (self.order("order before its status").get("delivery") or {}).get("data") or {}
        module = self.given["module"]
        told = datetime(2026, 11, 29, 7, next(MARKS) % 60, 5, tzinfo=ZoneInfo("UTC"))
        step = {"code": "DELIVERY", "updatedAt": told.isoformat(), "comment": "в пути"}
        update = {"deliveryId": data.get("externalId"), "history": [step]}
        self.call("tracking", lambda crm: crm.delivery_tracking(module, [update]), "SuccessAnswer")
        data = (self.order("order after its status").get("delivery") or {}).get("data") or {}
        shown = told.astimezone(zone).strftime("%Y-%m-%d %H:%M:%S")
        for name, value in {"status": "DELIVERY", "statusDate": shown, "statusComment": "в пути"}.items():
            self.expect(data.get(name) == value, f"tracking: {name} is {data.get(name)!r}, not {value!r}")
        for what, bad in {
            "tracking of no status": {**update, "history": []},
            "tracking of an unknown status": {**update, "history": [{**step, "code": "NO-SUCH"}]},
            "tracking without an offset": {**update, "history": [{**step, "updatedAt": "2026-11-29 10:00:00"}]},
        }.items():
            self.refused(what, lambda crm, bad=bad: crm.delivery_tracking(module, [bad]), 400)
        self.refused("tracking of no module", lambda crm: crm.delivery_tracking("no-such", [update]), 404)

    def zone(self):
        settings = self.call("settings", lambda crm: crm.settings(), "SettingsAnswer").get("settings") or {}
        name = (settings.get("timezone") or {}).get("value")
        try:
            return ZoneInfo(name)
        except Exception:
            self.said.append(f"settings: no time zone {name!r}")
            return ZoneInfo("UTC")

    def references(self):
        books = {}
        for book, (model, field) in BOOKS.items():
            body = self.call(book, lambda crm, book=book: getattr(crm, book)(), model)
            rows = body.get(field)
            self.expect(isinstance(rows, dict) and rows, f"{book}: no map with something in it")
            rows = rows if isinstance(rows, dict) else {}
            self.expect(all(row.get("code") == code for code, row in rows.items()), f"{book}: under other codes")
            books[book] = rows
        complete = {code: row.get("paymentComplete") for code, row in books["payment_statuses"].items()}
        self.expect((complete.get("paid"), complete.get("not-paid")) == (True, False), "payment_statuses: what is paid")
        tied = [row for row in books["delivery_types"].values() if row.get("integrationCode") == self.given["module"]]
        self.expect(tied, "delivery_types: none is tied to the module")
        self.expect(any(kind.get("cod") for row in tied for kind in row.get("deliveryPaymentTypes") or []),
                    "delivery_types: nothing is paid at the door")
        kinds = {kind.get("code") for row in tied for kind in row.get("deliveryPaymentTypes") or []}
        self.expect(kinds <= set(books["payment_types"]), "delivery_types: payment types nobody knows")
        cancelled = [row for row in books["product_statuses"].values() if row.get("cancelStatus")]
        self.expect(cancelled, "product_statuses: none cancels")
        order = self.order("order of known codes")
        self.expect(order.get("status") in books["statuses"], "statuses: the order's is missing")
        rights = self.call("credentials", lambda crm: crm.api_credentials(), "CredentialsAnswer")
        self.expect(SCOPES <= set(rights.get("scopes") or []), "credentials: rights are missing")
        self.expect(rights.get("siteAccess") in ("access_full", "access_selective"), "credentials: no such access")
        self.expect(order.get("site") in (rights.get("sitesAvailable") or []), "credentials: the order's shop is missing")

    def module(self):
        code = self.given["module"]
        get = lambda what: self.call(what, lambda crm: crm.integration_module(code), "IntegrationModulesGetAnswer")
        before = get("module").get("integrationModule") or {}
        self.expect(before.get("code") == code and before.get("active") is True, "module: another, or off")
        changed = {name: value for name, value in before.items() if name not in ("freeze", "native")}
        changed["name"] = f"Курьерская служба {next(MARKS)}"
        delivery = dict((changed.get("integrations") or {}).get("delivery") or {})
        kept = delivery.pop("settings", None)
        changed["integrations"] = {"delivery": delivery}
        edited = self.call("module edit", lambda crm: crm.integration_module_edit(changed), "IntegrationModulesEditAnswer")
        kind = (edited.get("info") or {}).get("deliveryType") or {}
        self.expect(kind.get("code") == code, "module edit: no delivery type for it")
        after = get("module after its edit").get("integrationModule") or {}
        self.expect(after.get("name") == changed["name"], "module: its edit is not kept")
        settings = ((after.get("integrations") or {}).get("delivery") or {}).get("settings")
        self.expect(settings == kept, "module: settings that were not sent are gone")
        self.refused("module nobody has", lambda crm: crm.integration_module("no-such"), 404)
        self.refused("module without an address",
                     lambda crm: crm.integration_module_edit({"code": "bare", "active": True}), 400)


    def notifications(self):
        """The client has no method for it."""
        told = {"type": "api.info", "message": "<p>some notification</p>", "userGroups": ["superadmins"]}
        send = lambda one: lambda crm: raw(crm, {"notification": json.dumps(one)}, "/notifications/send", "post")
        self.call("notification", send(told), "SuccessAnswer")
        for what, bad in {
            "notification of no kind": {**told, "type": "info"},
            "notification without a word": {**told, "message": ""},
            "notification of nobody": {**told, "userGroups": []},
            "notification of groups and users": {**told, "userIds": [1]},
        }.items():
            self.refused(what, send(bad), 400)


def raw(client, parameters, path, how="get"):
    """A call whose parameters the client's own method for it would add to."""
    client.parameters = parameters
    return getattr(client, how)(path)


def drive(given, parts):
    judge = Judge(given)
    for part in parts:
        try:
            getattr(judge, part)()
        except (AttributeError, KeyError, TypeError) as error:  # a shape that nothing can be done with
            judge.said.append(f"{part}: {error}")
    return judge.said


# ---- planted mistakes: the part that must notice, where, and what becomes of the answer (status, body)

ORDER = r"GET .*/orders/\d+$"
LIST = r"GET .*/orders$"
HISTORY = r"GET .*/orders/history$"
TRACK = r"POST .*/tracking$"


def field(path, change):
    """Changes what stands at a dotted path, if it is there; `*` is every element."""
    def spoil(status, body):
        walk(body, path.split("."), change)
        return status, body
    return spoil


def walk(value, names, change):
    if names[0] == "*":
        for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
            walk(inner, names[1:], change)
    elif isinstance(value, dict) and names[0] in value:
        if len(names) > 1:
            walk(value[names[0]], names[1:], change)
        else:
            value[names[0]] = change(value[names[0]])
            if value[names[0]] is GONE:
                del value[names[0]]


GONE = object()
gone = lambda _: GONE


def renamed(path, old, new):
    return field(path, lambda map: {new if name == old else name: value for name, value in map.items()})


def status(found, instead):
    return lambda status, body: (instead if status == found else status, body)


def only(found, instead):
    """Another answer in the place of one with this status."""
    return lambda status, body: instead if status == found else (status, body)


day_first = lambda text: f"{text[8:10]}.{text[5:7]}.{text[:4]}{text[10:]}"

PLANTED = {
    "orders": {
        "an id as text": (ORDER, field("order.id", str)),
        "a number as a number": (LIST, field("orders.*.number", len)),
        "a misspelt total": (ORDER, renamed("order", "totalSumm", "totalSum")),
        "a total in kopecks": (ORDER, field("order.totalSumm", lambda sum: sum * 100)),
        "a total as text": (ORDER, field("order.totalSumm", str)),
        "a sum without the delivery": (ORDER, field("order.delivery.cost", lambda cost: cost + 1)),
        "a moment with a T": (ORDER, field("order.createdAt", lambda text: text.replace(" ", "T"))),
        "a day first": (ORDER, field("order.createdAt", day_first)),
        "a day that does not exist": (ORDER, field("order.createdAt", lambda text: "2026-02-30" + text[10:])),
        "payments as a list": (LIST, field("orders.*.payments", lambda map: list(map.values()) if map else map)),
        "payments under places": (LIST, field("orders.*.payments", lambda map: dict(enumerate(map.values())) if map else map)),
        "phones as texts": (ORDER, field("order.customer.phones", lambda rows: [row["number"] for row in rows])),
        "a rate as a number": (ORDER, field("order.items.*.vatRate", lambda _: 20)),
        "prices without quantities": (ORDER, field("order.items.*.prices", lambda rows: [row["price"] for row in rows])),
        "a count of another list": (LIST, field("pagination.totalCount", lambda count: count + 1)),
        "pages that are not told": (LIST, field("pagination.totalPageCount", gone)),
        "a page of another size": (LIST, field("pagination.limit", lambda _: 20)),
        "a list cut short": (LIST, field("orders", lambda rows: rows[:-1])),
        "a filter that is ignored": (LIST, field("orders", lambda rows: rows + [{"id": 1}])),
        "success as a number": (LIST, field("success", int)),
        "no success": (ORDER, field("success", gone)),
        "a success that failed": (ORDER, lambda status, body: (status, {"success": False, "errorMsg": "no"})),
        "a refusal without words": (LIST, field("errorMsg", gone)),
        "errors as a text": (LIST, field("errors", str)),
        "an order for every id": (ORDER, status(404, 200)),
        "a limit for everybody": (LIST, only(400, (200, {"success": True, "pagination": {}, "orders": []}))),
        "a key for everybody": (ORDER, status(403, 200)),
        "a wrong key that was not found": (ORDER, status(403, 404)),
        "an HTML page": (ORDER, lambda status, body: (status, "<html><body>Sorry</body></html>")),
        "half an answer": (LIST, lambda status, body: (status, json.dumps(body)[:-20])),
    },
    "edit": {
        "an edit that is forgotten": (ORDER, field("order.delivery.data.extraData.deliveryApiKey", lambda _: "")),
        "an edit that costs other data": (r"POST .*/orders/\d+/edit$", field("order.delivery.data.externalId", gone)),
        "an edit of another order": (r"POST .*/orders/\d+/edit$", field("id", lambda id: id + 1)),
        "a history from the newest": (HISTORY, field("history", lambda rows: rows[::-1])),
        "a history without our mark": (HISTORY, field("history.*.apiKey.current", lambda _: False)),
        "a history of people": (HISTORY, field("history.*.source", lambda _: "user")),
        "a history of numbers": (HISTORY, field("history.*.order.id", gone)),
        "a history without the edit": (HISTORY, field("history", lambda rows: [
            row for row in rows if row["field"] != "integration_delivery_data.extra_data"])),
        "a cursor that is ignored": (HISTORY, field("history", lambda rows: [{"id": 1}] + rows)),
        "a cursor beside a page": (HISTORY, only(400, (200, {"success": True, "history": []}))),
    },
    "payments": {
        "a payment without an id": (r"POST .*/payments/create$", field("id", gone)),
        "a payment's id as text": (r"POST .*/payments/create$", field("id", str)),
        "a payment made with 200": (r"POST .*/payments/create$", status(201, 200)),
        "any payment type": (r"POST .*/payments/create$", only(400, (201, {"success": True, "id": 1}))),
        "a payment that stays unpaid": (ORDER, field("order.payments.*.status", lambda _: "not-paid")),
        "a payment in kopecks": (ORDER, field("order.payments.*.amount", lambda sum: sum * 100)),
        "a payment without our id": (ORDER, field("order.payments.*.externalId", gone)),
        "a payment's other moment": (ORDER, field("order.payments.*.paidAt", lambda text: text[:11] + "00:00:00")),
        "paid money that is not counted": (ORDER, field("order.prepaySum", lambda _: 0)),
        "a payment deleted twice": (r"POST .*/payments/\d+/delete$", status(404, 200)),
    },
    "tracking": {
        "a status that is forgotten": (ORDER, field("order.delivery.data.status", lambda _: "NEW")),
        "a status in UTC": (ORDER, field("order.delivery.data.statusDate", lambda text: text[:11] + "07" + text[13:])),
        "any status": (TRACK, only(400, (200, {"success": True}))),
        "a module for every name": (TRACK, only(404, (200, {"success": True}))),
        "a zone nobody knows": (r"GET .*/settings$", field("settings.timezone.value", lambda _: "MSK+0")),
        "a zone as a text": (r"GET .*/settings$", field("settings.timezone", lambda zone: zone["value"])),
    },
    "notifications": {
        "any notification": (r"POST .*/notifications/send$", only(400, (200, {"success": True}))),
    },
    "references": {
        "references as a list": (r"GET .*/payment-types$", field("paymentTypes", lambda map: list(map.values()))),
        "references under places": (r"GET .*/statuses$", field("statuses", lambda map: dict(enumerate(map.values())))),
        "nothing that is paid": (r"GET .*/payment-statuses$", field("paymentStatuses.*.paymentComplete", lambda _: False)),
        "a flag as a text": (r"GET .*/payment-statuses$", field("paymentStatuses.*.active", str)),
        "types without their module": (r"GET .*/delivery-types$", field("deliveryTypes.*.integrationCode", gone)),
        "types without payments": (r"GET .*/delivery-types$", field("deliveryTypes.*.deliveryPaymentTypes.*.cod", lambda _: False)),
        "payments nobody knows": (r"GET .*/payment-types$", field("paymentTypes", lambda map: dict([*map.items()][:1]))),
        "nothing that cancels": (r"GET .*/product-statuses$", field("productStatuses.*.cancelStatus", lambda _: False)),
        "rights as a map": (r"GET .*/credentials$", field("scopes", lambda rows: dict.fromkeys(rows, 1))),
        "rights that are missing": (r"GET .*/credentials$", field("scopes", lambda rows: [row for row in rows if "write" not in row])),
        "an access of its own": (r"GET .*/credentials$", field("siteAccess", lambda _: "full")),
    },
    "module": {
        "another module": (r"GET .*/integration-modules/measoft-\d+$", field("integrationModule.code", lambda _: "measoft-18")),
        "a module without settings": (r"GET .*/integration-modules/measoft-\d+$",
                                      field("integrationModule.integrations.delivery.settings", gone)),
        "a module's flag as a number": (r"GET .*/integration-modules/measoft-\d+$", field("integrationModule.freeze", int)),
        "a module without a type": (r"POST .*/integration-modules/measoft-\d+/edit$", field("info.deliveryType", gone)),
        "a module without an address": (r"POST .*/integration-modules/bare/edit$", status(400, 201)),
    },
}
# Spoilt in the first reading alone these would be the same before and after.
LATER = {"a module without settings": 1}


def spoilt(given, part, pattern, spoil, after):
    """What a part says when the answers that fit a pattern are spoilt, the first few excepted."""
    left = itertools.count(-after)

    def change(request, status, body):
        if not re.match(pattern, request) or next(left) < 0:
            return status, body
        return spoil(status, body)

    with Proxy(given["url"], change) as url:
        return drive({**given, "url": url}, [part])


def main():
    given = json.load(sys.stdin)
    complaints = fixtures() + drive(given, PLANTED)
    planted = {name: spoilt(given, part, *where, LATER.get(name, 0))
               for part, mistakes in PLANTED.items() for name, where in mistakes.items()}
    json.dump({"complaints": complaints, "planted": planted}, sys.stdout, ensure_ascii=False)


if __name__ == "__main__":
    main()
