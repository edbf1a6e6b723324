"""A real SMTP server for tests (aiosmtpd): prints what it received as JSON lines.

First line: {"listening": PORT}. Then one line per message: {"from", "to", "user", "tls", "data"}.
Ends when its standard input is closed, so that it cannot outlive the test.

Needs: pip install aiosmtpd
"""

import argparse
import asyncio
import json
import ssl
import sys

from aiosmtpd.smtp import SMTP, AuthResult


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--mode", choices=["plain", "starttls", "implicit"], default="plain")
    parser.add_argument("--cert", help="PEM chain, for starttls and implicit")
    parser.add_argument("--key", help="PEM key, for starttls and implicit")
    parser.add_argument("--user", help="require this user")
    parser.add_argument("--password", default="")
    parser.add_argument("--refuse", action="append", default=[], help="recipient to refuse for good (550)")
    parser.add_argument("--greylist", type=int, default=0, help="answer the first N recipients with 451")
    return parser.parse_args()


def emit(value):
    print(json.dumps(value), flush=True)


class Handler:
    def __init__(self, options):
        self.refuse = set(options.refuse)
        self.greylist = options.greylist

    async def handle_RCPT(self, server, session, envelope, address, rcpt_options):
        if address in self.refuse:
            return "550 5.1.1 no such user"
        if self.greylist > 0:
            self.greylist -= 1
            return "451 4.7.1 try again later"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        emit({
            "from": envelope.mail_from,
            "to": envelope.rcpt_tos,
            "user": session.auth_data,
            "tls": bool(server.transport.get_extra_info("ssl_object")),
            "data": envelope.content.decode("utf-8", "replace"),
        })
        return "250 OK"


def authenticator(options):
    def check(server, session, envelope, mechanism, auth_data):
        user, password = auth_data.login.decode(), auth_data.password.decode()
        good = user == options.user and password == options.password
        return AuthResult(success=good, handled=good, auth_data=user if good else None)

    return check


async def main():
    options = arguments()
    context = None
    if options.mode != "plain":
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(options.cert, options.key)
    handler = Handler(options)

    def protocol():
        return SMTP(
            handler,
            hostname="localhost",
            loop=asyncio.get_running_loop(),
            tls_context=context if options.mode == "starttls" else None,
            require_starttls=options.mode == "starttls",
            auth_required=options.user is not None,
            # Implicit TLS is below the protocol, which does not see it.
            auth_require_tls=options.mode == "starttls",
            authenticator=authenticator(options) if options.user else None,
        )

    wrapped = context if options.mode == "implicit" else None
    loop = asyncio.get_running_loop()
    server = await loop.create_server(protocol, "127.0.0.1", 0, ssl=wrapped)
    emit({"listening": server.sockets[0].getsockname()[1]})
    await loop.run_in_executor(None, sys.stdin.read)
    server.close()


asyncio.run(main())
