"""What public clients of MeaSoft read, looked for in the fixtures and in a simulator's answers.

Reads {"url", "control", "extra", "login", "pass"}: asks the simulator as those clients do (their
element and attribute order, their place for the credentials), judges its answers and the fixtures
by measoft.tsv, and writes {"complaints": [...], "planted": {mistake: [complaints]}}: what is found,
and what in copies of the answers that are spoilt in one way each.
"""

import base64
import binascii
import json
import re
import sys
import urllib.request
import xml.etree.ElementTree as ET

import facts

ROWS = [row for row in facts.rows("measoft.tsv")]
KINDS = {(root, path): kind for root, path, kind, *_ in ROWS}
MUST = {}
for root, path, _kind, _who, *must in ROWS:
    if must:
        parent, _, last = path.rpartition("@") if "@" in path else path.rpartition("/")
        MUST.setdefault((root, parent), []).append(("@" + last) if "@" in path else last)
ROOTS = {root for root, _ in KINDS}
FIXTURES = facts.FOLDER / "../../shared/fixtures/measoft"


def is_base64(text):
    try:
        return base64.b64decode("".join(text.split()), validate=True)[:5] == b"%PDF-"
    except binascii.Error:
        return False


FORMS = {
    "text": lambda text: True,
    "whole": lambda text: re.fullmatch(r"-?\d+", text),
    "number": lambda text: re.fullmatch(r"-?\d+(\.\d+)?", text),
    "yesno": lambda text: text in ("YES", "NO"),
    "base64": is_base64,
    **{kind: (lambda text, kind=kind: facts.is_form(kind, text)) for kind in ("day", "time", "moment")},
}


def document(root):
    """What a client of the table stumbles over in an answer without an error on its root."""
    said = []

    def value(path, text):
        kind = KINDS.get((root.tag, path))
        if kind is None:
            said.append(f"{root.tag} {path}: nobody reads it")
        elif text and not FORMS[kind](text):
            said.append(f"{root.tag} {path}: {kind} expected")

    def visit(element, path):
        for name, text in element.attrib.items():
            value(f"{path}@{name}", text.strip())
        text = (element.text or "").strip()
        known = (root.tag, path or ".") in KINDS
        if text or (path and not len(element) and not element.attrib and not known and not is_parent(path)):
            value(path or ".", text)
        for name in MUST.get((root.tag, path), []):
            there = element.get(name[1:]) if name[0] == "@" else element.findtext(name)
            if not (there or "").strip():
                said.append(f"{root.tag} {path}: no {name}")
        for child in element:
            visit(child, f"{path}/{child.tag}" if path else child.tag)

    def is_parent(path):
        return any(known.startswith((path + "/", path + "@")) for tag, known in KINDS if tag == root.tag)

    visit(root, "")
    return said


def fixtures():
    said, seen = [], set()
    for file in sorted(FIXTURES.glob("*.response.xml")):
        root = ET.parse(file).getroot()
        if root.tag not in ROOTS or root.get("error", "0") != "0":
            continue
        seen.add(root.tag)
        said += [f"{file.name}: {one}" for one in document(root)]
    for root in sorted(ROOTS - seen):
        said.append(f"no fixture of {root}")
    return said


class Live:
    """The simulator; remembers what it answered."""

    def __init__(self, given):
        self.given, self.answers = given, []

    def ask(self, request):
        body = ET.tostring(request, encoding="UTF-8", xml_declaration=True)
        sent = urllib.request.Request(self.given["url"], body, {"Content-Type": "text/xml; charset=utf-8"})
        self.answers.append(urllib.request.urlopen(sent, timeout=30).read())
        return ET.fromstring(self.answers[-1])

    def control(self, path, change):
        request = urllib.request.Request(f"{self.given['control']}/{path}", json.dumps(change).encode(),
                                         {"Content-Type": "application/json"})
        urllib.request.urlopen(request, timeout=30).read()


class Replay:
    """The same answers again, those with one root spoilt."""

    def __init__(self, answers, tag, spoil):
        self.left, self.tag, self.spoil = iter(answers), tag, spoil

    def ask(self, _request):
        root = ET.fromstring(next(self.left))
        return self.spoil(root) if root.tag == self.tag else root

    def control(self, _path, _change):
        pass


class Client:
    """Asks as a client does, and sees in an answer what it sees."""

    def __init__(self, given, there):
        self.given, self.there, self.said = given, there, []
        self.control = there.control

    def expect(self, holds, what):
        if not holds:
            self.said.append(what)

    def ask(self, what, request, place=0, refused=False):
        """`place` of the credentials: 0 is first, -1 last, None nowhere."""
        if place is not None:
            known = {name: self.given[name] for name in ("login", "pass", "extra")}
            request.insert(place if place >= 0 else len(request), ET.Element("auth", known))
        root = self.there.ask(request)
        error = root.get("error") or "0"
        self.expect(root.tag == request.tag, f"{what}: the root is {root.tag}")
        self.expect((error != "0") == refused, f"{what}: error {error!r} on the root")
        self.said += [f"{what}: {one}" for one in document(root)] if not refused else []
        return root


def tree(name, attributes=None, children=(), text=None):
    element = ET.Element(name, attributes or {})
    element.extend(children)
    element.text = text
    return element


def leaf(name, text):
    return tree(name, text=text)


def order(number, town):
    """As the PHP clients write one: the address's region is an element (C)."""
    items = [
        tree("item", {"quantity": "2", "mass": "0.5", "retprice": "1000.50", "type": "1", "extcode": "line-1", "VATrate": "20"},
             text="Стул & стол"),
        tree("item", {"quantity": "1", "mass": "0.1", "retprice": "0", "barcode": "4600000000017", "type": "1"}, text="Паспорт"),
    ]
    return tree("order", {"orderno": number}, [
        tree("sender", children=[leaf("company", "Магазин"), leaf("phone", "+7 (495) 000-11-22"), leaf("town", "Москва город")]),
        tree("receiver", children=[
            leaf("person", "Орлова Анна"), leaf("phone", "8 916 123-45-67"), town, leaf("address", "ул. Мира, д. 3"),
            leaf("date", "2026-12-24"), leaf("time_min", "10:00"), leaf("time_max", "18:00"),
        ]),
        leaf("weight", "1.1"), leaf("quantity", "1"), leaf("paytype", "CASH"), leaf("service", "1"),
        leaf("inshprice", "2001"), tree("items", children=items),
        tree("packages", children=[tree("package", {"code": "P1", "strbarcode": f"{number}-1", "mass": "1.1", "length": "20",
                                                    "width": "10", "height": "5"}, text="Коробка")]),
    ])


def statusreq(*filters):
    return tree("statusreq", children=[leaf("client", "CLIENT"), *(leaf(*one) for one in filters)])


def orders(client, number):
    town = tree("town", children=[leaf("regioncode", "77")], text="Москва город")
    for place, first, name in ((-1, number, town), (0, f"{number}-2", leaf("town", "Москва город"))):
        made = client.ask("neworder", tree("neworder", {"newfolder": "NO"}, [order(first, name)]), place)
        rows = made.findall("createorder")
        client.expect([row.get("orderno") for row in rows] == [first], "neworder: rows of other orders")
        client.expect(all(row.get("error") == "0" for row in rows), "neworder: refused")
    again = client.ask("neworder again", tree("neworder", children=[order(number, town)]), -1)
    row = again.find("createorder")
    client.expect(row is not None and row.get("error") == "17", "neworder again: not as taken")
    client.expect(row is not None and row.get("errormsgru") and row.get("errormsg"), "neworder again: without words")

    found = client.ask("statusreq", statusreq(("orderno", number)), -1)
    shown = found.findall("order")
    client.expect(found.get("count") == str(len(shown)) == "1", f"statusreq: count {found.get('count')} of {len(shown)}")
    client.expect(shown and shown[0].get("orderno") == number, "statusreq: another order")
    if shown:
        seen = shown[0]
        price = seen.findtext("price") or ""
        client.expect(FORMS["number"](price) and float(price) == 2001, f"statusreq: price {price}")
        client.expect((seen.findtext("status") or "").strip() in ("NEW", "AWAITING_SYNC"), "statusreq: a new order is not new")
        lines = [item.get("extcode") for item in seen.iterfind("items/item")]
        client.expect("line-1" in lines, "statusreq: our line is missing")
        client.expect(seen.get("ordercode"), "statusreq: no code of its own")
    nobody = client.ask("statusreq of nobody", statusreq(("orderno", "no-such")))
    client.expect(nobody.get("count") == "0" and not len(nobody), "statusreq of nobody: somebody")
    by_day = client.ask("statusreq by day", statusreq(("datefrom", "2020-01-01"), ("dateto", "2035-01-01")), -1)
    client.expect(by_day.get("count") == str(len(by_day.findall("order"))) != "0", "statusreq by day: count")


def changes(client, number, stream):
    read = lambda: client.ask("changes", statusreq(("changes", "ONLY_LAST"), ("streamid", stream)), -1)
    taken = lambda: client.ask("commit", tree("commitlaststatus", children=[leaf("streamid", stream)]), -1)
    first = read()
    client.expect(number in {one.get("orderno") for one in first.findall("order")}, "changes: ours is missing")
    client.expect([one.get("orderno") for one in read().findall("order")] == [one.get("orderno") for one in first.findall("order")],
                  "changes: not the same again before the commit")
    client.expect(taken().get("error") == "0", "commit: no success")
    client.expect(read().get("count") == "0", "changes: again after the commit")
    for code in ("DELIVERY", "COMPLETE"):
        client.control(f"orders/{number}/status", {"code": code})
    news = read()
    ours = [one for one in news.findall("order") if one.get("orderno") == number]
    client.expect(len(ours) == 1, "changes: delivered, and not told once")
    for one in ours:
        history = [(step.text or "").strip() for step in one.iterfind("statushistory/status")]
        client.expect((one.findtext("status") or "").strip() == "COMPLETE", "changes: delivered, and not shown")
        client.expect(history[-2:] == ["DELIVERY", "COMPLETE"], f"changes: history {history}")
        client.expect(one.findtext("delivereddate"), "changes: delivered on no day")
        times = [step.get("createtimegmt") or "" for step in one.iterfind("statushistory/status")]
        client.expect(times == sorted(times), "changes: a history backwards")
    taken()
    client.expect(read().get("count") == "0", "changes: delivered twice")


def cancels(client, number):
    cancel = lambda what, name: client.ask(
        what, tree("cancelorder", children=[tree("order", {"orderno": name, "ordercode": ""})]), -1).findall("order")
    rows = cancel("cancelorder", f"{number}-2")
    client.expect(len(rows) == 1 and rows[0].get("error") == "0", "cancelorder: refused")
    rows = cancel("cancelorder of nobody", "no-such")
    client.expect(len(rows) == 1 and rows[0].get("error") not in (None, "", "0"), "cancelorder of nobody: no refusal")
    client.expect(all(row.get("errormsgru") or row.get("errormsg") for row in rows), "cancelorder of nobody: without words")
    seen = client.ask("statusreq after the cancel", statusreq(("orderno", f"{number}-2"))).find("order")
    client.expect(seen is not None and (seen.findtext("status") or "").strip() == "CANCELED", "cancelorder: not cancelled")


def lists(client):
    calc = lambda to, **more: tree("calculator", children=[tree("calc", {"mass": "0.1", "townto": to, **more})])
    for what, request in (("one mode", calc("Химки город", townfrom="Москва город", service="1")),
                          ("all modes", calc("Химки город", townfrom="Москва город"))):
        rows = client.ask(f"calculator, {what}", request).findall("calc")
        services = [row.findtext("service") for row in rows]
        client.expect(services and len(set(services)) == len(services), f"calculator, {what}: {services}")
    refused = client.ask("calculator to nowhere", calc("Нигде город", townfrom="Москва город", service="1"), 0, True)
    client.expect(refused.get("error") == "22", "calculator to nowhere: not 22")
    services = client.ask("services", tree("services")).findall("service")
    codes = [one.findtext("code") for one in services]
    client.expect(codes and len(set(codes)) == len(codes), f"services: {codes}")
    for what, conditions in {
        "by its beginning": [leaf("namestarts", "Хим")],
        "by a part, of a country by number": [leaf("namecontains", "имк"), leaf("country", "1")],
    }.items():
        request = tree("townlist", children=[tree("limit", children=[leaf("limitcount", "10")]), tree("conditions", children=conditions)])
        towns = client.ask(f"townlist {what}", request, None).findall("town")
        client.expect([one.findtext("name") for one in towns] == ["Химки город"], f"townlist {what}: others")
    request = tree("townlist", children=[tree("codesearch", children=[leaf("zipcode", "101000")])])
    towns = client.ask("townlist by index", request, None).findall("town")
    client.expect([one.findtext("name") for one in towns] == ["Москва город"], "townlist by index: others")
    points = client.ask("pvzlist", tree("pvzlist", children=[leaf("town", "Москва город"), leaf("json", "NO")]), -1).findall("pvz")
    client.expect(points and all(one.find("town") is not None for one in points), "pvzlist: none, or nowhere")


def prints(client, number):
    form = tree("waybill", children=[tree("orders", children=[tree("order", {"orderno": number})]), leaf("form", "1")])
    client.ask("waybill", form)
    code = client.ask("client", tree("client")).findtext("code")
    client.expect(code, "client: no code")


def drive(given, there):
    client, number = Client(given, there), "JUDGE-1"
    orders(client, number)
    changes(client, number, "500")
    cancels(client, number)
    lists(client)
    prints(client, number)
    return client.said


# ---- planted mistakes: the answer's root and what becomes of it

def at(path, change):
    """Changes every element at a path (`.` is the root)."""
    def spoil(root):
        for element in [root] if path == "." else root.findall(path):
            change(element)
        return root
    return spoil


def attribute(name, change):
    def put(element):
        if name in element.attrib:
            changed = change(element.get(name))
            element.attrib.pop(name)
            if changed is not None:
                element.set(name, changed)
    return put


def text(change):
    def put(element):
        element.text = change(element.text or "")
    return put


def named(name):
    def put(element):
        element.tag = name
    return put


def emptied(element):
    for child in list(element):
        element.remove(child)


def backwards(element):
    element[:] = element[::-1]


none = lambda _: None
comma = lambda value: value.replace(".", ",")

PLANTED = {
    "a row without its number": ("neworder", at("createorder", attribute("orderno", none))),
    "a row without its code": ("neworder", at("createorder", attribute("error", none))),
    "a code in words": ("neworder", at("createorder", attribute("error", lambda _: "OK"))),
    "rows under another name": ("neworder", at("createorder", named("order"))),
    "a price with a comma": ("neworder", at("createorder", attribute("orderprice", lambda price: price + ",00"))),
    "a taken number that is not": ("neworder", at("createorder", attribute("error", lambda _: "0"))),
    "a refusal without words": ("neworder", at("createorder", attribute("errormsgru", none))),
    "an error on a good root": ("neworder", at(".", lambda root: root.set("error", "1"))),
    "another root": ("neworder", at(".", named("editorder"))),
    "no count": ("statusreq", at(".", attribute("count", none))),
    "a count of pages": ("statusreq", at(".", attribute("count", lambda count: str(int(count) + 1)))),
    "an order without its number": ("statusreq", at("order", attribute("orderno", none))),
    "a status of its own": ("statusreq", at("order/status", text(lambda _: "DELIVERED"))),
    "a status in words": ("statusreq", at("order/status", text(lambda _: "Новый"))),
    "no status": ("statusreq", at("order/status", named("state"))),
    "a moment of the country": ("statusreq", at("order/status", attribute("createtimegmt", lambda at: at.replace("-", ".")))),
    "a moment with a T": ("statusreq", at("order/statushistory/status", attribute("createtimegmt", lambda at: at.replace(" ", "T")))),
    "a history backwards": ("statusreq", at("order/statushistory", backwards)),
    "no history": ("statusreq", at("order/statushistory", emptied)),
    "a sum with a comma": ("statusreq", at("order/price", text(comma))),
    "a sum in kopecks": ("statusreq", at("order/price", text(lambda price: price.replace(".", "")))),
    "lines without our id": ("statusreq", at("order/items/item", attribute("extcode", none))),
    "a quantity with a fraction": ("statusreq", at("order/items/item", attribute("quantity", lambda number: number + ".0"))),
    "a rate in per cent": ("statusreq", at("order/items/item", attribute("VATrate", lambda rate: rate + "%"))),
    "a misspelt attribute": ("statusreq", at("order/items/item", lambda item: item.set("retPrice", item.get("retprice")))),
    "a day of the country": ("statusreq", at("order/receiver/date", text(lambda day: ".".join(day.split("-")[::-1])))),
    "a time with seconds": ("statusreq", at("order/receiver/time_min", text(lambda time: time and time + ":00"))),
    "a flag as a number": ("statusreq", at("order/receiverpays", text(lambda _: "0"))),
    "a misspelt element": ("statusreq", at("order/delivereddate", named("deliveredDate"))),
    "a commit without a code": ("commitlaststatus", at(".", attribute("error", none))),
    "a cancel without a code": ("cancelorder", at("order", attribute("error", none))),
    "a cancel that always goes well": ("cancelorder", at("order", attribute("error", lambda _: "0"))),
    "a cancel under another name": ("cancelorder", at("order", named("cancelorder"))),
    "a tariff without a price": ("calculator", at("calc/price", named("cost"))),
    "a tariff with a comma": ("calculator", at("calc/price", text(lambda price: price + ",00"))),
    "a term of days": ("calculator", at("calc/maxdeliverydays", text(lambda days: days + " дн."))),
    "a mode by name": ("calculator", at("calc/service", text(lambda _: "Не срочно"))),
    "no such town, and a price": ("calculator", at(".", attribute("error", none))),
    "a town without its region": ("townlist", at("town/city", emptied)),
    "a town without its code": ("townlist", at("town/code", text(lambda _: ""))),
    "towns under another name": ("townlist", at("town", named("city"))),
    "a point that takes cash": ("pvzlist", at("pvz/acceptcash", text(lambda _: "true"))),
    "a point without its code": ("pvzlist", at("pvz/code", named("id"))),
    "a point's weight in words": ("pvzlist", at("pvz/maxweight", text(lambda weight: weight + " кг"))),
    "modes without names": ("services", at("service/name", text(lambda _: ""))),
    "a form that is no PDF": ("waybill", at("content", text(lambda _: "PGh0bWw+"))),
    "a client without a code": ("client", at("code", text(lambda _: ""))),
}


def main():
    given = json.load(sys.stdin)
    there = Live(given)
    complaints = fixtures() + drive(given, there)
    planted = {name: drive(given, Replay(there.answers, *mistake)) for name, mistake in PLANTED.items()}
    json.dump({"complaints": complaints, "planted": planted}, sys.stdout, ensure_ascii=False)


if __name__ == "__main__":
    main()
