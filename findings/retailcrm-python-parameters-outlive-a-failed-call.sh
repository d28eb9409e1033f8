#!/usr/bin/env bash
# What: the Python client of RetailCRM keeps the parameters of a call whose connection failed and
#       sends them along with the next call of the same client.
# Versions: retailcrm 5.3.0 with requests 2.32.5 (both from PyPI).
# Guess before the run: each call has parameters of its own.
# Seen: an edit of a payment meets a server that is away; the next call, which lists the shop's
#       payment types, asks with that payment in its query. Parameters are put on the client object
#       and cleared only after the request came back.
# For whom: whoever retries with one client for many orders. A new client for each call is safe.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check retailcrm==5.3.0 requests==2.32.5
cat >"$folder/run.py" <<'PYTHON'
import http.server, socket, threading
from urllib.parse import unquote
import requests, retailcrm

with socket.socket() as free:
    free.bind(("127.0.0.1", 0))
    port = free.getsockname()[1]
client = retailcrm.v5(f"http://127.0.0.1:{port}", "key")

payment = {"externalId": "p-1", "amount": 100}
try:
    client.order_payment_edit(payment)
except requests.exceptions.ConnectionError:
    print("the edit: the server is away")

asked = []
class Answers(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        asked.append(unquote(self.path))
        body = b'{"success": true}'
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_):
        pass

server = http.server.HTTPServer(("127.0.0.1", port), Answers)
threading.Thread(target=server.serve_forever, daemon=True).start()
client.payment_types()
client.payment_types()
server.shutdown()
for path in asked:
    print("asked:", path)
PYTHON
"$folder/venv/bin/python" "$folder/run.py" | tee "$folder/seen"
diff - "$folder/seen" <<'SEEN'
the edit: the server is away
asked: /api/v5/reference/payment-types?payment={"externalId":+"p-1",+"amount":+100}
asked: /api/v5/reference/payment-types
SEEN
echo "as described"
