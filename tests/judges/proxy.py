"""A proxy that hands JSON answers to a function before they go on."""

import json
import threading
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Proxy:
    """`change(request, status, body)` answers status and body; a text goes out as it stands."""

    def __init__(self, target, change):
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                self.hand_on(None)

            def do_POST(self):
                self.hand_on(self.rfile.read(int(self.headers["Content-Length"])))

            def hand_on(self, body):
                # No keep-alive: each request of these clients comes on a connection of its own.
                named = {name: self.headers[name] for name in ("X-API-KEY", "Content-Type") if name in self.headers}
                try:
                    answer = urllib.request.urlopen(urllib.request.Request(target + self.path, body, named), timeout=20)
                except urllib.error.HTTPError as refusal:
                    answer = refusal
                status, told = answer.status, answer.read()
                kind = answer.headers["Content-Type"] or ""
                if "json" in kind:
                    status, told = change(f"{self.command} {self.path.split('?')[0]}", status, json.loads(told))
                    told = (told if isinstance(told, str) else json.dumps(told)).encode()
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(told)))
                self.end_headers()
                self.wfile.write(told)

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)

    def __enter__(self):
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        return f"http://127.0.0.1:{self.server.server_port}"

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()
