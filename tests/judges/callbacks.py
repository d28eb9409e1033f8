"""RetailCRM's callbacks to a delivery module, written by the models of its official client.

Reads {"url", "systemUrl", "clientId", "module", "order", "dates", "nulls"}: where ingress and
RetailCRM are, the module as it was registered, an order as the API shows it, the form of dates («models» as the client's models
write them, «days» as the documentation does), and whether fields without a value are there as null.
Calls everything the module offers and writes {"complaints": [...], "deliveryId", "planted": {mistake:
[complaints]}}: what a client of the answers would stumble over, and what is found in copies of the
answers that are spoilt in one way each.
"""

import copy
import json
import sys
import urllib.error
import urllib.parse
import urllib.request

import facts


class Serialiser:
    """Writes values as a model has them: its fields, their types, its order."""

    def __init__(self, dates, nulls):
        self.dates, self.nulls = dates, nulls

    def write(self, kind, value):
        if value is None:
            return None
        if kind.endswith("*"):
            return [self.write(kind[:-1], one) for one in value] if isinstance(value, list) else value
        if kind == "moment":
            return f"{value} 00:00:00" if self.dates == "models" else value
        if kind in facts.SCALARS:
            written = {"text": str, "whole": int}.get(kind, lambda same: same)(value)
            assert facts.SCALARS[kind](written), f"{kind}: {written!r}"
            return written
        known = facts.MODELS[kind]
        assert value.keys() <= known.keys(), f"{kind} has no {value.keys() - known.keys()}"
        written = {name: self.write(inner, value.get(name)) for name, inner in known.items()}
        return written if self.nulls else {name: one for name, one in written.items() if one is not None}


def address(order):
    known = facts.MODELS["DeliveryAddress"]
    return {name: value for name, value in order["delivery"]["address"].items() if name in known and value != ""}


def to_collect(order):
    unpaid = [row for row in order["payments"].values() if row["status"] == "not-paid"] if order["payments"] else []
    return sum(row["amount"] for row in unpaid)


def calculate(order):
    return {
        "packages": [{name: order.get(name, 0) for name in ("weight", "width", "length", "height")}],
        "declaredValue": order["totalSumm"], "cod": to_collect(order), "payerType": "receiver", "currency": "RUB",
        "deliveryAddress": address(order), "store": {"code": "main", "name": "Основной склад"},
        "deliveryDate": order["delivery"].get("date"), "deliveryTime": order["delivery"].get("time") or None,
        "extraData": [],
    }


def save(order, delivery_id=None):
    collects = to_collect(order) > 0
    items = [{
        "offerId": item["offer"]["id"], "externalId": item["offer"]["externalId"], "name": item["offer"]["name"],
        "declaredValue": price["price"], "cod": price["price"] if collects else 0, "vatRate": item["vatRate"],
        "quantity": price["quantity"], "unit": {"code": "pc", "name": "Штука", "sym": "шт."},
        "cost": price["price"], "markingCodes": item.get("markingCodes") or [], "properties": [], "weight": 500,
    } for item in order["items"] for price in item["prices"]]
    delivery = order["delivery"]
    return {
        "deliveryId": delivery_id, "order": order["id"], "orderNumber": order["number"], "site": order["site"],
        "siteName": "Магазин", "legalEntity": "ООО «Пример»", "currency": "RUB",
        "store": {"code": "main", "name": "Основной склад", "workTime": {}},
        "customer": {
            "id": order["customer"]["id"], "firstName": order["firstName"], "lastName": order["lastName"],
            "patronymic": order.get("patronymic"), "phones": [order["phone"]], "email": order.get("email"),
            "contragent": {"contragentType": "individual"},
        },
        "manager": {"id": 19, "lastName": "Смирнов", "firstName": "Олег"},
        "packages": [{"packageId": "1", "items": items,
                      **{name: order.get(name, 0) for name in ("weight", "width", "length", "height")}}],
        "delivery": {
            "deliveryAddress": address(order), "withCod": collects,
            "codPaymentType": {"code": "cash", "name": "Наличные"} if collects else None,
            "cod": delivery["cost"] if collects else 0, "cost": delivery["cost"], "vatRate": delivery["vatRate"],
            "tariff": (delivery.get("data") or {}).get("tariff"), "payerType": "receiver",
            "deliveryDate": delivery.get("date"), "deliveryTime": delivery.get("time") or None, "extraData": [],
        },
    }


class Module:
    """The module as RetailCRM reaches it; remembers what it answered."""

    def __init__(self, given):
        self.given, self.answers = given, []

    def ask(self, action, fields, get):
        module = self.given["module"]
        actions = {**module["actions"], **module["integrations"]["delivery"]["actions"]}
        url = urllib.parse.urljoin(self.given["url"], actions[action])
        sent = urllib.parse.urlencode({"clientId": self.given["clientId"], **fields})
        request = urllib.request.Request(f"{url}?{sent}") if get else urllib.request.Request(url, sent.encode())
        try:
            answer = urllib.request.urlopen(request, timeout=30)
        except urllib.error.HTTPError as refusal:
            answer = refusal
        kind, body = answer.headers["Content-Type"] or "", answer.read()
        told = json.loads(body) if "json" in kind else body
        self.answers.append((action, answer.status, told))
        return answer.status, told


class Replay:
    """The same answers again, those of one action spoilt."""

    def __init__(self, answers, action, spoil):
        self.left = iter(copy.deepcopy(answers))
        self.action, self.spoil = action, spoil

    def ask(self, action, _fields, _get):
        named, status, told = next(self.left)
        assert named == action
        return (status, self.spoil(told)) if action == self.action else (status, told)


class Caller:
    def __init__(self, given, module):
        self.given, self.module, self.said = given, module, []
        self.serialiser = Serialiser(given["dates"], given["nulls"])
        statuses = given["module"]["integrations"]["delivery"]["statusList"]
        self.statuses = [row["code"] for row in statuses]

    def expect(self, holds, what):
        if not holds:
            self.said.append(what)

    def call(self, action, model, kind, value, **plain):
        """A form with one field of JSON."""
        written = json.dumps(self.serialiser.write(kind, value), ensure_ascii=False)
        return self.judged(action, model, *self.module.ask(action, {action: written, **plain}, False))

    def fetch(self, action, model, fields):
        return self.judged(action, model, *self.module.ask(action, fields, True))

    def judged(self, action, model, status, told):
        self.expect(status == 200, f"{action}: status {status}")
        if not isinstance(told, dict):
            self.expect(model is None and isinstance(told, bytes) and told[:5] == b"%PDF-", f"{action}: no file")
            return {}
        self.expect(told.get("success") is True, f"{action}: {told.get('errorMsg')!r}")
        self.expect(model is not None, f"{action}: no file")
        if model:
            self.said += facts.complaints(model, told, action)
        return told.get("result") or {}

    def need(self, action, row, *names):
        for name in names:
            self.expect(isinstance(row, dict) and row.get(name) not in (None, ""), f"{action}: no {name}")

    def tariffs(self, action, rows, names):
        self.expect(isinstance(rows, list) and rows, f"{action}: no list of tariffs")
        rows = rows if isinstance(rows, list) else []
        for row in rows:
            self.need(action, row, *names)
            self.expect(row.get("type") in ("courier", "selfDelivery"), f"{action}: type {row.get('type')!r}")
        codes = [row.get("code") for row in rows]
        self.expect(len(set(codes)) == len(codes), f"{action}: two of one code")
        return rows

    def everything(self):
        self.call("activity", "SuccessAnswer", "CallbackActivity", {"active": True, "freeze": False},
                  systemUrl=self.given["systemUrl"])
        settings = {name: {"value": value} for name, value in
                    {"default_currency": "RUB", "system_language": "ru", "timezone": "Europe/Moscow"}.items()}
        self.call("settings", "SuccessAnswer", "Settings", settings)
        order = copy.deepcopy(self.given["order"])
        rows = self.tariffs("calculate", self.call("calculate", "CalculateAnswer", "Calculate", calculate(order)),
                            ("code", "name", "type", "cost"))
        for row in rows:
            if row.get("type") == "selfDelivery":
                points = row.get("pickuppointList") or []
                self.expect(points, "calculate: a tariff to a point without points")
                for point in points:
                    self.need("calculate's points", point, "code", "name", "address")
        courier = next((row for row in rows if row.get("type") == "courier"), {})
        order["delivery"].setdefault("data", {})
        if isinstance(order["delivery"]["data"], list):
            order["delivery"]["data"] = {}
        order["delivery"]["data"]["tariff"] = courier.get("code")
        saved = self.saved(order)
        delivery = saved.get("deliveryId")
        self.expect(self.saved(order, delivery).get("deliveryId") == delivery, "save: another id for the same delivery")
        loaded = self.fetch("get", "GetAnswer", {"deliveryId": delivery})
        self.expect((loaded.get("status") or {}).get("code") in self.statuses, "get: a status that is not listed")
        self.need("get", loaded.get("status"), "updatedAt")
        for ids in ([delivery], [[delivery]]):  # by the models, by the documentation
            plate = self.given["module"]["integrations"]["delivery"]["plateList"][0]["code"]
            asked = {"entityType": "order", "type": plate, "deliveryIds": ids}
            status, told = self.module.ask("print", {"print": json.dumps(asked)}, False)
            self.judged("print", None, status, told)
        self.tariffs("tariffList", self.fetch("tariffList", "TariffListAnswer", {}), ("code", "name", "type"))
        # Shipments are brought to points the module may not have.
        self.fetch("shipmentPointList", "ShipmentPointListAnswer", {"country": "RU", "region": "", "city": "Москва"})
        self.call("delete", "SuccessAnswer", "Delete", {"deliveryId": delivery})
        return delivery

    def saved(self, order, delivery=None):
        saved = self.call("save", "SaveAnswer", "Save", save(order, delivery))
        self.need("save", saved, "deliveryId", "status")
        self.expect(saved.get("status") in self.statuses, f"save: status {saved.get('status')!r} is not listed")
        return saved


def result(change):
    return lambda told: {**told, "result": change(told["result"])}


def rows(change):
    return result(lambda all: [{**row, **change(row)} for row in all])


def without(name):
    return result(lambda all: [{key: value for key, value in row.items() if key != name} for row in all]
                  if isinstance(all, list) else {key: value for key, value in all.items() if key != name})


PLANTED = {
    "tariffs as a map": ("calculate", result(lambda all: {row["code"]: row for row in all})),
    "no tariffs": ("calculate", result(lambda _: [])),
    "a tariff without a price": ("calculate", without("cost")),
    "a price as text": ("calculate", rows(lambda row: {"cost": str(row["cost"])})),
    "a term as text": ("calculate", rows(lambda _: {"minTerm": "1"})),
    "a type of its own": ("calculate", rows(lambda _: {"type": "pickup"})),
    "tariffs of one code": ("calculate", rows(lambda _: {"code": "1"})),
    "a misspelt list of points": ("calculate", result(lambda all: [
        {"pickupPointList" if name == "pickuppointList" else name: value for name, value in row.items()} for row in all])),
    "a success without its word": ("calculate", lambda told: {"result": told["result"]}),
    "a delivery without an id": ("save", without("deliveryId")),
    "an id as a number": ("save", result(lambda one: {**one, "deliveryId": 7})),
    "a status nobody listed": ("save", result(lambda one: {**one, "status": "PLACED"})),
    "a status as an object": ("save", result(lambda one: {**one, "status": {"code": one["status"]}})),
    "a refusal": ("save", lambda _: {"success": False, "errorMsg": "нет"}),
    "a status without its moment": ("get", result(lambda one: {**one, "status": {"code": one["status"]["code"]}})),
    "a moment without an offset": ("get", result(lambda one: {
        **one, "status": {**one["status"], "updatedAt": one["status"]["updatedAt"][:19]}})),
    "a day with a time": ("get", result(lambda one: {**one, "deliveryDate": "2026-12-24 00:00:00"})),
    "a file as JSON": ("print", lambda _: {"success": True, "result": "JVBERi0="}),
    "a file of another kind": ("print", lambda _: b"<html></html>"),
    "a tariff without a name": ("tariffList", without("name")),
    "points as a map": ("shipmentPointList", result(lambda _: {"7": "Склад"})),
    "a success as a number": ("delete", lambda _: {"success": 1}),
    "a switch that is refused": ("activity", lambda _: {"success": False, "errorMsg": "нет"}),
    "a zone that is not taken": ("settings", lambda _: {}),
}


def main():
    given = json.load(sys.stdin)
    module = Module(given)
    caller = Caller(given, module)
    delivery = caller.everything()
    planted = {}
    for name, (action, spoil) in PLANTED.items():
        again = Caller(given, Replay(module.answers, action, spoil))
        again.everything()
        planted[name] = again.said
    json.dump({"complaints": caller.said, "deliveryId": delivery, "planted": planted}, sys.stdout, ensure_ascii=False)


if __name__ == "__main__":
    main()
