"""A mail server for the tests: aiosmtpd on three ports, which keeps every mail as a file.

smtpd.py KEYS FOLDER TLS STARTTLS PLAIN
"""

import os
import ssl
import sys
import threading
import time

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult

keys, folder = sys.argv[1:3]
by_tls, by_starttls, plain = map(int, sys.argv[3:6])


class Keep:
    def __init__(self, port):
        self.port = port

    async def handle_DATA(self, server, session, envelope):
        name = f"{self.port}-{time.time_ns()}"
        unfinished = os.path.join(folder, f"unfinished-{name}")
        with open(unfinished, "wb") as mail:
            head = f"logged in: {session.authenticated}\nfrom: {envelope.mail_from}\nto: {envelope.rcpt_tos}\n"
            mail.write(head.encode() + envelope.content.replace(b"\r\n", b"\n"))
        os.rename(unfinished, os.path.join(folder, name))
        return "250 kept"


def login(server, session, envelope, mechanism, data):
    right = data.login == b"pgbaton" and data.password == os.environb[b"MAIL_PASSWORD"]
    return AuthResult(success=right)


context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
context.load_cert_chain(os.path.join(keys, "server.crt"), os.path.join(keys, "server.key"))
must_log_in = {"authenticator": login, "auth_required": True}
# It knows only of what STARTTLS has encrypted.
Controller(
    Keep(by_tls), "127.0.0.1", by_tls, ssl_context=context, auth_require_tls=False, **must_log_in
).start()
Controller(
    Keep(by_starttls), "127.0.0.1", by_starttls, tls_context=context, require_starttls=True, **must_log_in
).start()
Controller(Keep(plain), "127.0.0.1", plain).start()
open(os.path.join(folder, "ready"), "w").close()
threading.Event().wait()
