#!/usr/bin/env python3
"""Where skopeo pushes, sockel pushes; where it does not, sockel says at least as exactly why.

registry_parity.py SOCKEL PROJECT [NAME…]: pushes the built image `ubuntu-26.04` of a project to registries on loopback, in
many combinations of login files, environment, spellings of hosts and behaviours of servers, each with skopeo and with sockel.
Prints a line a combination and a count; the exit code is 1 if skopeo pushed and sockel did not, or if sockel's message lacks
the word that its combination names. NAME limits the run to combinations that contain it.

The registry here keeps blobs and manifests in memory and nothing else: what it does with logins and requests is the table.
"""
import base64, hashlib, http.server, json, os, re, shutil, socketserver, subprocess, sys, tempfile, threading, urllib.parse

USER, PASSWORD, IDENTITY = "ci", "s3cret-of-ci", "identity-token-of-ci"
KEY = '{\n  "type": "service_account",\n  "private_key": "-----BEGIN-----\\nabc\\n-----END-----\\n"\n}\n'


class Registry(socketserver.ThreadingMixIn, http.server.HTTPServer):
    """A registry: `auth` says who gets in, `manner` what it does otherwise than others."""

    daemon_threads = True

    def __init__(self, auth="open", manner=(), users=None, rights=("",), types="oci", proxy=""):
        super().__init__(("127.0.0.1", 0), Handler)
        self.auth, self.manner, self.rights, self.types = auth, set(manner), rights, types
        self.proxy = proxy
        self.users = users or {USER: PASSWORD}
        self.blobs, self.manifests, self.tokens, self.uploads, self.failed = {}, {}, {}, {}, set()
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def port(self):
        return self.server_address[1]

    def handle_error(self, *_):
        pass  # a client hung up


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def answer(self, status, body=b"", **headers):
        if isinstance(body, (dict, list)):
            body = json.dumps(body).encode()
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        if "Content_Length" not in headers:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def refuse(self, status, code, message, **headers):
        self.answer(status, {"errors": [{"code": code, "message": message}]}, Content_Type="application/json", **headers)

    def login(self):
        text = self.headers.get("Authorization", "")
        if not text.startswith("Basic "):
            return None
        user, _, password = base64.b64decode(text[6:]).decode().partition(":")
        return user if self.server.users.get(user) == password else ""

    def allowed(self, name):
        return any(name.startswith(right) for right in self.server.rights)

    def enter(self, name, writes):
        """Lets a request in, or answers why not."""
        server = self.server
        if server.auth == "open":
            return True
        if server.auth == "basic":
            if self.login() and self.allowed(name):
                return True
            if self.login():
                return self.refuse(403, "DENIED", f"ci has no right on {name}")
            return self.refuse(401, "UNAUTHORIZED", "who are you", WWW_Authenticate='Basic realm="here"')
        token = self.headers.get("Authorization", "").removeprefix("Bearer ")
        actions = server.tokens.get(token, {}).get(name, [])
        if token in server.tokens and (not name or ("push" if writes else "pull") in actions):
            return True
        host = self.headers["Host"]
        self.refuse(401, "UNAUTHORIZED", "no token with this right",
                    WWW_Authenticate=f'Bearer realm="http://{host}/token",service="here",scope="repository:{name}:pull,push"')

    def token(self, body):
        server, manner = self.server, self.server.manner
        query = urllib.parse.parse_qs(urllib.parse.urlsplit(self.path).query)
        if self.command == "POST":
            form = urllib.parse.parse_qs(body.decode())
            if "identity" not in manner or form.get("refresh_token") != [IDENTITY]:
                return self.answer(400, {"error": "invalid_grant", "error_description": "this token has expired"})
            user, scopes = USER, form.get("scope", [])
        else:
            if "identity" in manner:
                return self.refuse(401, "UNAUTHORIZED", "identity tokens only")
            user, scopes = self.login(), query.get("scope", [])
            if user == "" or (user is None and "anonymous" not in manner):
                return self.refuse(401, "UNAUTHORIZED", "incorrect username or password")
        scopes = [scope for text in scopes for scope in text.split(" ")]
        if "last-scope" in manner:
            scopes = scopes[-1:]
        access = {}
        for scope in scopes:
            _, name, actions = scope.split(":")
            if self.allowed(name):
                access[name] = actions.split(",")
            elif "all-or-nothing" in manner:
                return self.refuse(403, "DENIED", f"no right on {name}")
        token = f"token-{len(server.tokens)}"
        server.tokens[token] = access
        key = "access_token" if "access-token" in manner else "token"
        self.answer(200, {key: token} | ({} if "no-lifetime" in manner else {"expires_in": 300}))

    def handle_request(self):
        server, manner = self.server, self.server.manner
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.headers.get("Transfer-Encoding") == "chunked":
            while size := int(self.rfile.readline().split(b";")[0], 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
        url = urllib.parse.urlsplit(self.path)
        query = urllib.parse.parse_qs(url.query)
        if url.path == "/token":
            return self.token(body)
        if not url.path.startswith("/v2/"):
            for text in manner:
                if text.startswith("elsewhere-"):
                    return self.answer(int(text.removeprefix("elsewhere-")), b"odd")
            return self.answer(404, b"404 page not found\n")
        rest = url.path[4:]
        found = re.fullmatch(r"(.+)/(blobs/uploads|blobs|manifests|tags)/?(.*)", rest)
        name, kind, last = found.groups() if found else ("", "", "")
        writes = self.command in ("POST", "PUT", "PATCH", "DELETE")
        if not self.enter(name, writes):
            return
        if not name:
            return self.answer(200, {})
        step = (self.command, kind)
        for text in manner:
            match = re.fullmatch(r"(once|always)-(\d+)-([A-Z]+)-(\w+)", text)
            if match and step == (match[3], match[4].replace("uploads", "blobs/uploads")):
                if match[1] == "always" or text not in server.failed:
                    server.failed.add(text)
                    return self.refuse(int(match[2]), "UNAVAILABLE", "closed for cleaning until noon")
        if self.command == "HEAD" and "no-head" in manner:
            return self.answer(405)
        if kind == "blobs/uploads":
            return self.upload(name, last, body, query)
        if kind == "blobs":
            data = server.blobs.get((name, last))
            if data is None:
                return self.refuse(404, "BLOB_UNKNOWN", "blob unknown")
            return self.answer(200, data, Docker_Content_Digest=last)
        if kind == "tags":
            tags = [tag for repository, tag in server.manifests if repository == name and ":" not in tag]
            return self.answer(200, {"name": name, "tags": tags}) if tags else self.refuse(404, "NAME_UNKNOWN", "unknown")
        return self.manifest(name, last, body)

    def upload(self, name, last, body, query):
        server, manner = self.server, self.server.manner
        host = f"http://{self.headers['Host']}"
        base = host if "absolute" in manner else ""
        if self.command == "POST":
            if "mount" in query and "no-mount" in manner:
                return self.refuse(405, "UNSUPPORTED", "no mounts here")
            if "redirect-upload" in manner:
                return self.answer(307, Location="https://login.invalid/start")
            number = f"u{len(server.uploads)}"
            server.uploads[number] = b""
            return self.answer(202, Location=f"{base}/v2/{name}/blobs/uploads/{number}?_state=a%3D", Range="0-0")
        data = server.uploads.get(last, b"") + body
        server.uploads[last] = data
        if self.command == "PATCH":
            return self.answer(202, Location=f"{base}/v2/{name}/blobs/uploads/{last}?_state=b", Range=f"0-{len(data) - 1}")
        if self.command == "DELETE":
            return self.answer(204)
        digest = "sha256:" + hashlib.sha256(data).hexdigest()
        if query.get("digest") != [digest]:
            return self.refuse(400, "DIGEST_INVALID", "the digest does not match")
        server.blobs[name, digest] = data
        extra = {} if "quiet" in manner else {"Docker_Content_Digest": digest}
        self.answer(201, Location=f"/v2/{name}/blobs/{digest}", **extra)

    def manifest(self, name, last, body):
        server, manner = self.server, self.server.manner
        if self.command == "PUT":
            kind = self.headers.get("Content-Type", "")
            if "no-index" in manner and kind.endswith("oci.image.index.v1+json"):
                return self.refuse(415, "MANIFEST_INVALID", "unknown media type")
            if "docker-only" in manner and ".oci." in kind:
                return self.refuse(415, "MANIFEST_INVALID", "unknown media type")
            digest = "sha256:" + hashlib.sha256(body).hexdigest()
            server.manifests[name, last] = server.manifests[name, digest] = (kind, body)
            extra = {} if "quiet" in manner else {"Docker_Content_Digest": digest}
            return self.answer(201, **extra)
        if (name, last) not in server.manifests:
            return self.refuse(404, "MANIFEST_UNKNOWN", "manifest unknown")
        kind, data = server.manifests[name, last]
        extra = {} if "quiet" in manner else {"Docker_Content_Digest": "sha256:" + hashlib.sha256(data).hexdigest()}
        self.answer(200, data, Content_Type=kind, **extra)

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = handle_request


def b64(text):
    return base64.b64encode(text.encode()).decode()


def wrapped(text):
    coded = b64(text)
    return "\n".join(coded[at:at + 12] for at in range(0, len(coded), 12)) + "\n"


PAIR = f"{USER}:{PASSWORD}"
# name: the content of a file for a host; whether its form is for the identity token or the key
FORMS = {
    "auth": lambda host: {"auths": {host: {"auth": b64(PAIR)}}},
    "wrapped base64": lambda host: {"auths": {host: {"auth": wrapped(PAIR)}}},
    "https key": lambda host: {"auths": {f"https://{host}": {"auth": b64(PAIR)}}},
    "v1 key": lambda host: {"auths": {f"https://{host}/v1/": {"auth": b64(PAIR)}}},
    "v2 key": lambda host: {"auths": {f"{host}/v2/": {"auth": b64(PAIR)}}},
    "project key": lambda host: {"auths": {f"{host}/base": {"auth": b64(PAIR)}}},
    "repository key": lambda host: {"auths": {f"{host}/base/ubuntu": {"auth": b64(PAIR)}}},
    "longer key wins": lambda host: {"auths": {host: {"auth": b64("a:b")}, f"{host}/base": {"auth": b64(PAIR)}}},
    "key of another project": lambda host: {"auths": {f"{host}/other": {"auth": b64(PAIR)}}},
    "null neighbours": lambda host: {"auths": {host: {"auth": b64(PAIR), "identitytoken": None}, "x.example": None},
                                     "credHelpers": None, "credsStore": None},
    "empty helper": lambda host: {"auths": {host: {"auth": b64(PAIR)}}, "credHelpers": {}, "credsStore": ""},
    "padded password": lambda host: {"auths": {host: {"auth": b64(PAIR + "\0\0")}}},
    "empty entry": lambda host: {"auths": {host: {}}},
    "no entry": lambda host: {"auths": {"x.example": {"auth": b64(PAIR)}}},
    "helper": lambda host: {"credHelpers": {host: "parity"}},
    "wrong password": lambda host: {"auths": {host: {"auth": b64("ci:wrong")}}},
    "unknown keys": lambda host: {"auths": {host: {"auth": b64(PAIR), "email": "x"}}, "HttpHeaders": {"A": "b"}, "aliases": {}},
    "JSON key": lambda host: {"auths": {host: {"auth": b64("_json_key:" + KEY)}}},
    "identity token": lambda host: {"auths": {host: {"auth": b64("00000000-0000-0000-0000-000000000000:"),
                                                     "identitytoken": IDENTITY}}},
}
# name: (path below the run's folder, variables)
PLACES = {
    "REGISTRY_AUTH_FILE": ("auth.json", {"REGISTRY_AUTH_FILE": "auth.json"}),
    "XDG_RUNTIME_DIR": ("run/containers/auth.json", {"XDG_RUNTIME_DIR": "run"}),
    "XDG_CONFIG_HOME": ("settings/containers/auth.json", {"XDG_CONFIG_HOME": "settings"}),
    "~/.config": ("home/.config/containers/auth.json", {}),
    "~/.docker": ("home/.docker/config.json", {}),
    "DOCKER_CONFIG": ("docker/config.json", {"DOCKER_CONFIG": "docker"}),
}
IDENTITIES = {"JSON key": dict(users={"_json_key": KEY}), "identity token": dict(manner=["identity"])}


def combinations():
    """Yields name, registry, form, place, host, and words that sockel's message needs where it is refused."""
    for auth in ("basic", "bearer"):
        for form in FORMS:
            if (auth, form) == ("basic", "identity token"):
                continue
            more = dict(IDENTITIES.get(form, {}))
            for place in PLACES if form in ("auth", "project key", "helper") else ("~/.docker", "XDG_RUNTIME_DIR"):
                yield f"{auth}, {form}, {place}", dict(auth=auth, **more), form, place, "127.0.0.1", login_words(form)
    for host in ("localhost", "127.0.0.1"):
        for manner in ((), ("anonymous",), ("access-token",), ("no-lifetime",), ("all-or-nothing",), ("last-scope",)):
            for rights in (("",), ("base/ubuntu",)):
                name = f"bearer {'+'.join(manner) or 'plain'}, rights on {rights[0] or 'all'}, {host}"
                yield name, dict(auth="bearer", manner=manner, rights=rights), "auth", "~/.docker", host, []
    for auth in ("basic", "bearer"):
        for manner in ((), ("all-or-nothing",)):
            words = ["no right"] if auth == "basic" or manner else ["may not", "no token with this right", "without any rights"]
            name = f"{auth} {'+'.join(manner) or 'plain'}, no rights on the project"
            yield name, dict(auth=auth, manner=manner, rights=("elsewhere/",)), "auth", "~/.docker", "127.0.0.1", words
    behaviours = ["absolute", "quiet", "no-head", "no-mount", "redirect-upload", "elsewhere-400", "elsewhere-403",
                  "elsewhere-405", "elsewhere-421", "elsewhere-429", "elsewhere-500", "elsewhere-503",
                  "once-503-POST-uploads", "once-500-PUT-manifests", "once-429-PUT-uploads",
                  "always-403-PUT-manifests", "always-403-POST-uploads", "always-507-POST-uploads", "always-413-PUT-uploads",
                  "always-403-HEAD-blobs", "always-404-HEAD-manifests"]
    for auth in ("open", "basic", "bearer"):
        for behaviour in behaviours:
            words = {"redirect-upload": ["login.invalid"]}.get(behaviour, ["closed for cleaning"])
            name = f"{auth}, {behaviour}"
            yield name, dict(auth=auth, manner=[behaviour]), "auth", "~/.docker", "127.0.0.1", words
    # skopeo chooses another form by itself; sockel is told, because the image then has another digest
    for auth in ("open", "basic", "bearer"):
        for manner in ("no-index", "docker-only"):
            name = f"{auth}, {manner}, with `media-types: docker`"
            yield name, dict(auth=auth, manner=[manner], types="docker"), "auth", "~/.docker", "127.0.0.1", []


    # a proxy that refuses everything: this machine is not reached through it
    for variable in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        for host in ("127.0.0.1", "localhost"):
            yield f"{variable} set, {host}", dict(auth="basic", proxy=variable), "auth", "~/.docker", host, []


def login_words(form):
    return {"wrong password": ["not accepted"]}.get(form, ["login"])


def run(command, variables, folder):
    done = subprocess.run(command, env=variables, cwd=folder, capture_output=True, text=True, timeout=120, stdin=subprocess.DEVNULL)
    return done.returncode, done.stdout + done.stderr


def main():
    sockel, project = map(os.path.abspath, sys.argv[1:3])
    wanted = sys.argv[3:]
    work = tempfile.mkdtemp(prefix="sockel-parity-")
    store = os.environ.get("SOCKEL_STORE") or os.path.expanduser("~/.cache/sockel")
    base = {"PATH": f"{work}/bin:{os.environ['PATH']}", "SOCKEL_STORE": store, "LC_ALL": "C.UTF-8"}
    os.mkdir(f"{work}/bin")
    with open(f"{work}/bin/docker-credential-parity", "w") as file:
        file.write(f"#!/bin/sh\ncat >/dev/null\nprintf '{{\"Username\":\"{USER}\",\"Secret\":\"{PASSWORD}\"}}'\n")
    os.chmod(f"{work}/bin/docker-credential-parity", 0o755)
    status, said = run([sockel, "-q", "-C", project, "build", "ubuntu-26.04", "-o", f"oci:{work}/layout"], base, work)
    if status:
        sys.exit(f"cannot build the image: {said}")

    figures, worse = {}, []
    for number, (name, settings, form, place, host, words) in enumerate(combinations()):
        if wanted and not any(text in name for text in wanted):
            continue
        results = []
        for tool in ("skopeo", "sockel"):
            registry = Registry(**settings)
            folder = f"{work}/{number}-{tool}"
            os.makedirs(f"{folder}/home")
            path, variables = PLACES[place]
            os.makedirs(os.path.dirname(f"{folder}/{path}"), exist_ok=True)
            address = f"{host}:{registry.port}"
            with open(f"{folder}/{path}", "w") as file:
                json.dump(FORMS[form](address), file)
            env = base | {"HOME": f"{folder}/home"} | {key: f"{folder}/{value}" for key, value in variables.items()}
            if registry.proxy:
                env[registry.proxy] = "http://127.0.0.1:9"
            if tool == "skopeo":
                command = ["skopeo", "copy", "-q", "--all", "--dest-tls-verify=false", f"oci:{work}/layout:ubuntu-26.04:26.04",
                           f"docker://{address}/base/ubuntu:26.04"]
            else:
                with open(f"{folder}/registry.yaml", "w") as file:
                    file.write(f"media-types: {registry.types}\n")
                command = [sockel, "-C", project, "publish", "ubuntu-26.04", "--plain-http", "--to", f"{address}/base",
                           "--registry", f"{folder}/registry.yaml"]
            results.append(run(command, env, folder))
            registry.shutdown()
            registry.server_close()
            shutil.rmtree(folder)
        (peer, peer_said), (ours, said) = results
        message = " | ".join(line for line in said.splitlines() if line.startswith(("error:", "hint:")))
        verdict = "both push" if not peer and not ours else "only sockel" if peer and not ours else \
            "only skopeo" if ours and not peer else "both refuse"
        is_exact = not ours or not words or any(word in message for word in words)
        figures[verdict] = figures.get(verdict, 0) + 1
        mark = "ok"
        if verdict == "only skopeo" or not is_exact:
            mark = "WORSE"
            worse.append(name)
        print(f"{mark:6}{verdict:12}  {name}", flush=True)
        if ours:
            print(f"        sockel: {message[:300]}")
        if peer:
            print(f"        skopeo: {' '.join(peer_said.split())[-300:]}")
    shutil.rmtree(work)
    print(f"{sum(figures.values())} combinations: " + ", ".join(f"{count} {verdict}" for verdict, count in sorted(figures.items())))
    if worse:
        sys.exit(f"{len(worse)} worse than skopeo: " + "; ".join(worse))


main()
