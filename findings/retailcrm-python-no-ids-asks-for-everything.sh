#!/usr/bin/env bash
# What: a filter by a list of ids that happens to be empty is not sent at all by the Python client
#       of RetailCRM, so «the orders with none of these ids» asks for every order; and no filter at
#       all is sent as one, the word None.
# Versions: retailcrm 5.3.0 with multidimensional_urlencode 0.0.4 (both from PyPI).
# Guess before the run: an empty list is sent as an empty value, and None leaves the filter out.
# Seen: the other way round. {"ids": []} leaves the query without any filter, None makes
#       `filter=None`.
# For whom: whoever walks through pages of ids; the last, empty page reads the whole shop.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check retailcrm==5.3.0 requests==2.32.5 \
    multidimensional_urlencode==0.0.4
cat >"$folder/run.py" <<'PYTHON'
import http.server, threading
from urllib.parse import unquote
import retailcrm

asked = []
class Answers(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        asked.append(unquote(self.path))
        body = b'{"success": true, "orders": []}'
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_):
        pass

server = http.server.HTTPServer(("127.0.0.1", 0), Answers)
threading.Thread(target=server.serve_forever, daemon=True).start()
client = retailcrm.v5(f"http://127.0.0.1:{server.server_port}", "key")
for filters in ({"ids": [7, 8]}, {"ids": []}, None):
    client.orders(filters)
server.shutdown()
for path in asked:
    print(path)
PYTHON
"$folder/venv/bin/python" "$folder/run.py" | tee "$folder/seen"
diff - "$folder/seen" <<'SEEN'
/api/v5/orders?filter[ids][]=7&filter[ids][]=8&limit=20&page=1
/api/v5/orders?limit=20&page=1
/api/v5/orders?filter=None&limit=20&page=1
SEEN
echo "as described"
