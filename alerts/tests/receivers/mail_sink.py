"""A mail server of aiosmtpd for the tests: prints a line of JSON for each mail, after the line "port N".

Usage: mail_sink.py MODE CERTIFICATE KEY, where MODE is starttls or implicit. The user is "forebay" with "geheim".
"""
import asyncio, email, email.policy, json, ssl, sys
from aiosmtpd.smtp import SMTP, AuthResult

mode, certificate, key = sys.argv[1:]
tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
tls.load_cert_chain(certificate, key)


class Sink:
    async def handle_DATA(self, server, session, envelope):
        mail = email.message_from_bytes(envelope.content, policy=email.policy.default)
        said = {
            "from": envelope.mail_from,
            "to": envelope.rcpt_tos,
            "headers": {name.lower(): str(value) for name, value in mail.items()},
            "text": mail.get_content(),
            "defects": [str(d) for d in mail.defects] + [str(d) for v in mail.values() for d in v.defects],
            "tls": session.ssl is not None or mode == "implicit",
            "user": session.auth_data.login.decode(),
        }
        print(json.dumps(said), flush=True)
        return "250 queued as 1"


def authenticate(server, session, envelope, mechanism, data):
    known = (data.login, data.password) == (b"forebay", b"geheim")
    return AuthResult(success=known, handled=known, auth_data=data)


def session():
    shared = dict(authenticator=authenticate, auth_required=True, decode_data=False)
    if mode == "starttls":
        return SMTP(Sink(), tls_context=tls, require_starttls=True, **shared)
    return SMTP(Sink(), auth_require_tls=False, **shared)


async def main():
    over = tls if mode == "implicit" else None
    server = await asyncio.get_running_loop().create_server(session, "127.0.0.1", 0, ssl=over)
    print("port", server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


asyncio.run(main())
