"""A small ticket system: PUT /ID opens a ticket, PATCH /ID changes it; both want the token. A file each, in a folder."""
import http.server
import json
import pathlib
import sys

folder, token = pathlib.Path(sys.argv[2]), sys.argv[3]


class Tickets(http.server.BaseHTTPRequestHandler):
    def change(self, new):
        body = self.rfile.read(int(self.headers["content-length"]))
        if self.headers["authorization"] != f"Bearer {token}":
            return self.answer(401, {"error": f"no such token: {self.headers['authorization']}"})
        ticket = folder / (self.path.rsplit("/", 1)[1] + ".json")
        if not new and not ticket.exists():
            return self.answer(404, {"error": "no such ticket"})
        told = json.loads(ticket.read_text()) if ticket.exists() else {}
        told.update(json.loads(body))
        ticket.with_suffix(".new").write_text(json.dumps(told))
        ticket.with_suffix(".new").rename(ticket)
        self.answer(200, told)

    def do_PUT(self):
        self.change(True)

    def do_PATCH(self):
        self.change(False)

    def answer(self, status, what):
        body = json.dumps(what).encode()
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Tickets).serve_forever()
