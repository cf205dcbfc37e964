#!/usr/bin/env python3
"""Test token server (distribution's token specification), with Harbor's answer to a wrong password: a token without rights.

token_server.py FOLDER PORT: in the folder are `key.pem`, `certificate.pem` and `settings.json`, which is read anew for
every request:
  service, issuer   as the registry is configured
  told, valid       seconds that the answer promises, and after which the registry refuses the token
  delay             seconds before the answer
  parrot            repeats the credentials in a refusal, as careless servers do
  accounts          {user: {"password": …, "rights": {prefix of repositories: [actions]}}}
Writes `requests` (a JSON line each, without credentials) and `issued` (the tokens, to search for them).
"""
import base64, http.server, json, subprocess, sys, threading, time, urllib.parse

# the registry adds a minute to all times of a token
LEEWAY = 60


def unpadded(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, folder, port):
        super().__init__(("127.0.0.1", port), Handler)
        self.folder, self.lock, self.serial = folder, threading.Lock(), 0
        lines = open(folder + "/certificate.pem").read().split("-----")[2].split()
        self.certificate = "".join(lines)

    def note(self, name, text):
        with self.lock, open(f"{self.folder}/{name}", "a") as file:
            file.write(text + "\n")

    def token(self, settings, user, access):
        now = int(time.time())
        with self.lock:
            self.serial += 1
            serial = self.serial
        header = {"typ": "JWT", "alg": "RS256", "x5c": [self.certificate]}
        claims = {"iss": settings["issuer"], "sub": user, "aud": settings["service"], "iat": now, "nbf": now - LEEWAY,
                  "exp": now + settings["valid"] - LEEWAY, "jti": str(serial), "access": access}
        body = ".".join(unpadded(json.dumps(part).encode()) for part in (header, claims))
        sign = ["openssl", "dgst", "-sha256", "-sign", self.folder + "/key.pem"]
        token = body + "." + unpadded(subprocess.run(sign, input=body.encode(), stdout=subprocess.PIPE, check=True).stdout)
        self.note("issued", token)
        return {"token": token, "access_token": "", "expires_in": settings["told"],
                "issued_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now))}


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def answer(self, status, document):
        body = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def login(self):
        """Returns user and password that came, as they are."""
        scheme, _, value = self.headers.get("Authorization", "").partition(" ")
        if scheme != "Basic":
            return "", ""
        user, _, password = base64.b64decode(value).decode().partition(":")
        return user, password

    def do_GET(self):
        settings = json.load(open(self.server.folder + "/settings.json"))
        query = urllib.parse.parse_qs(urllib.parse.urlsplit(self.path).query)
        scopes = query.get("scope", [])
        user, password = self.login()
        account = settings["accounts"].get(user)
        known = account is not None and account["password"] == password
        access = []
        for kind, name, actions in (scope.split(":", 2) for scope in scopes):
            rights = account["rights"] if known else {}
            granted = {action for prefix, given in rights.items() if name.startswith(prefix) for action in given}
            if granted & set(actions.split(",")):
                access.append({"type": kind, "name": name, "actions": sorted(granted & set(actions.split(",")))})
        self.server.note("requests", json.dumps({
            "agent": self.headers.get("User-Agent", ""), "user": user, "known": known, "scopes": scopes, "granted": access}))
        time.sleep(settings.get("delay", 0))
        if settings.get("parrot"):
            message = f"who is {user} with {password}, that is {self.headers.get('Authorization')}?"
            return self.answer(400, {"errors": [{"code": "DENIED", "message": message}]})
        if query.get("service") != [settings["service"]] or (user and not known and not scopes):
            return self.answer(401, {"errors": [{"code": "UNAUTHORIZED", "message": "unauthorized"}]})
        self.answer(200, self.server.token(settings, user, access))


if __name__ == "__main__":
    Server(sys.argv[1], int(sys.argv[2])).serve_forever()
