#!/usr/bin/env python3
"""Lets Stoplight Prism judge what was said between Harbor's clients and the double: DEFINITION RECORD PRISM.

Every recorded request goes through `prism proxy`, which judges it, to a server that gives the recorded answer, which
Prism judges as well. Of a request that is not sockel's only the answer counts: tests also send what is wrong on purpose.
Prints what Prism says of others than the differences below; ends with 1 if there is any.
"""
import collections
import http.client
import http.server
import json
import re
import socket
import subprocess
import sys
import tempfile
import threading
import time

definition, record, prism = sys.argv[1:]
exchanges = [json.loads(line) for line in open(record)]

# Where Harbor itself differs from its definition: operation and status, what Prism says, why. One that nobody meets any
# more is a failure, too.
UNLISTED = "Unable to match the returned status code"
KNOWN = [
    (r"GET .*/artifacts(/R)? 200", r"\.extra_attrs\.\w+: .* must be object", "attributes are texts and numbers, of which go-swagger makes an object"),
    (r"GET .*/artifacts(/R)? 200", r"\.(accessories|labels): .* must be array", "empty lists are null in Go"),
    (r"GET .*/additions/vulnerabilities 200", r"^response.body: .* must be string", "all additions are texts there; this one is JSON"),
    (r"(GET|POST|PUT) /retentions(/1)? 20.", r"\.latestPushedK: .* must be object", "Harbor's own pages send and show a number"),
    (r"GET /systeminfo 404", UNLISTED, "the test asks a registry that is no Harbor"),
    # lib/http/error.go makes a status of every error code, listed or not
    (r"(GET /labels|GET /robots|POST /projects) 403", UNLISTED, "a robot without the right"),
    (r"POST (/robots|/projects/P/immutabletagrules|/projects/P/webhook/policies) 409", UNLISTED, "it exists already"),
    (r"POST .*/scan 409", UNLISTED, "a scan is under way"),
    (r"POST .*/scan 412", UNLISTED, "there is no scanner"),
]


class Replay(http.server.BaseHTTPRequestHandler):
    """Gives the recorded answer to the request whose number a header says."""

    protocol_version = "HTTP/1.1"

    def answer(self):
        self.rfile.read(int(self.headers.get("content-length") or 0))
        exchange = exchanges[int(self.headers["x-replay"])]
        if self.path != exchange["target"]:
            moved.append((exchange["target"], self.path))
        answer = exchange["answer"] or {"status": 500, "headers": [], "body": ""}
        body = answer["body"].encode()
        self.send_response_only(answer["status"])
        for name, value in answer["headers"]:
            if name.lower() not in ("content-length", "connection"):
                self.send_header(name, value)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = answer

    def log_message(self, *_):
        pass


def free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def start(upstream):
    """Starts Prism; returns it and its port once it answers."""
    port, log = free_port(), tempfile.TemporaryFile("w+")
    command = [prism, "proxy", definition, f"http://127.0.0.1:{upstream}/api/v2.0", "--port", str(port), "--cors", "false"]
    process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
    for _ in range(300):
        if process.poll() is not None:
            break
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            return process, port
        except OSError:
            time.sleep(0.1)
    process.kill()
    log.seek(0)
    sys.exit(f"Prism does not start: {log.read()[-2000:]}")


def ask(connection, number):
    """Sends a recorded request; returns what Prism finds wrong."""
    exchange = exchanges[number]
    headers = {name: value for name, value in exchange["headers"].items() if name not in ("content-length", "cookie")}
    headers.update({"x-replay": str(number), "host": "127.0.0.1"})
    if "authorization" in headers:
        headers["authorization"] = "Basic bm9ib2R5Om5vdGhpbmc="
    connection.request(exchange["method"], exchange["target"].removeprefix("/api/v2.0"), exchange["body"].encode() or None, headers)
    answer = connection.getresponse()
    body = answer.read()
    found = json.loads(answer.getheader("sl-violations") or "[]")
    if b"stoplight.io/prism" in body:
        found.append({"location": ["request"], "code": "prism", "message": body.decode()[:300]})
    return found


def operation(exchange):
    """Names the operation without what differs from image to image."""
    path = exchange["target"].split("?")[0].removeprefix("/api/v2.0")
    path = re.sub(r"(?<=/artifacts/)[^/]+", "R", re.sub(r"(?<=/repositories/)[^/]+", "N", path))
    path = re.sub(r"(?<=/projects/)[^/]+", "P", re.sub(r"(?<=/tags/)[^/]+", "T", path))
    return exchange["method"] + " " + re.sub(r"/(\d+|[0-9a-f-]{36})(?=/|$)", "/1", path)


moved = []
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Replay)
threading.Thread(target=server.serve_forever, daemon=True).start()
process, port = start(server.server_port)
counts, problems, met = collections.Counter(), collections.Counter(), set()
operations, statuses = {True: set(), False: set()}, set()
try:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    # a judge who accepts everything proves nothing
    exchanges.append({"method": "POST", "target": "/api/v2.0/projects", "headers": {"content-type": "application/json"},
                      "body": '{"storage_limit": "many"}', "answer": {"status": 200, "headers": [], "body": ""}})
    bad = ask(connection, len(exchanges) - 1)
    exchanges[-1] = {"method": "GET", "target": "/api/v2.0/projects", "headers": {}, "body": "", "answer": {
        "status": 200, "headers": [["content-type", "application/json"]], "body": '[{"project_id": "one"}]'}}
    bad += ask(connection, len(exchanges) - 1)
    exchanges.pop()
    sides = {finding["location"][0] for finding in bad}
    if sides != {"request", "response"}:
        sys.exit(f"Prism accepts what is wrong: {bad}")
    for number, exchange in enumerate(exchanges):
        ours = exchange["headers"].get("user-agent", "").startswith("sockel/")
        operations[ours].add(operation(exchange))
        counts["request"] += ours
        counts["answer"] += exchange["answer"] is not None
        statuses.add((operation(exchange), (exchange["answer"] or {}).get("status")))
        for finding in ask(connection, number):
            side = "answer" if finding["location"][0] == "response" else "request"
            if side == "request" and not ours or side == "answer" and exchange["answer"] is None:
                continue
            status = (exchange["answer"] or {}).get("status")
            place = ".".join(str(part) for part in finding["location"] if not str(part).isdigit())
            said = f"{place}: {finding['message']}"
            named = f"{operation(exchange)} {status}"
            known = [one for one in KNOWN if re.fullmatch(one[0], named) and re.search(one[1], said)]
            met.update(known)
            counts["known"] += bool(known)
            if not known:
                problems[f"{named}: {said}"] += 1
finally:
    process.terminate()
    process.wait()
print(f"{len(exchanges)} exchanges; judged: {counts['request']} requests of sockel ({len(operations[True])} operations),"
      f" {counts['answer']} answers of the double ({len(operations[True] | operations[False])} operations,"
      f" {len(statuses)} with their status); {counts['known']} times one of the {len(KNOWN)} known differences")
for problem, count in sorted(problems.items()):
    print(f"{count:5} {problem}")
for one in set(KNOWN) - met:
    print(f"a known difference is not met any more: {one}")
for one in sorted(set(moved))[:5]:
    print(f"Prism asked for another path: {one}")
sys.exit(bool(problems) or set(KNOWN) != met or len(operations[True]) < 20)
