/**
 * Serves a function in Python, as source text: a `handler(request)`, a WSGI or an ASGI application, with Python's own libraries alone.
 */

/** The program. Its arguments: the module's file relative to /app, and the name in it ("" for the first of the usual ones). */
export const pythonServer: string = `"""Serves one function: handler(request), a WSGI application (environ, start_response), or an ASGI application (scope, receive, send)."""
import asyncio
import contextvars
import importlib.util
import inspect
import io
import json
import os
import re
import signal
import sys
import threading
import traceback
import urllib.parse
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

ALIVE = "/.well-known/nodeless/alive"
NAMES = ["handler", "app", "application"]
invocation = contextvars.ContextVar("invocation", default="")


class Marked(io.TextIOBase):
    """Begins each line with the identifier of the request it belongs to."""

    def __init__(self, out):
        self.out, self.lock, self.rest = out, threading.Lock(), threading.local()

    def write(self, text):
        lines = (getattr(self.rest, "text", "") + text).split("\\n")
        self.rest.text = lines.pop()
        mark = invocation.get()
        with self.lock:
            for line in lines:
                self.out.write((f"[{mark}] {line}" if mark else line) + "\\n")
            if lines:
                self.out.flush()
        return len(text)

    def flush(self):
        self.out.flush()


class Request:
    """What handler(request) is given."""

    def __init__(self, method, target, headers, body):
        self.method, self.url, self.headers, self.body = method, target, headers, body
        self.path, _, self.query_string = target.partition("?")
        self.query = dict(urllib.parse.parse_qsl(self.query_string, keep_blank_values=True))

    @property
    def text(self):
        return self.body.decode("utf-8", "replace")

    def json(self):
        return json.loads(self.body)


def load(path, name):
    sys.path.insert(0, os.path.dirname(path))
    spec = importlib.util.spec_from_file_location(os.path.splitext(os.path.basename(path))[0], path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    for candidate in [name] if name else NAMES:
        if callable(getattr(module, candidate, None)):
            return getattr(module, candidate)
    wanted = name or ", ".join(NAMES)
    raise TypeError(f"{os.path.basename(path)} has none of: {wanted}")


def style_of(function):
    target = function if inspect.isroutine(function) else type(function).__call__
    parameters = [p for p in inspect.signature(function).parameters.values() if p.default is p.empty and p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    if len(parameters) == 3 or (len(parameters) != 1 and inspect.iscoroutinefunction(target)):
        return "asgi"
    return "wsgi" if len(parameters) == 2 else "plain"


def answer_of(result):
    """(status, headers, body) of what a handler gives: text, bytes, anything that is JSON, or a tuple of body, status and headers."""
    status, headers = 200, {}
    if isinstance(result, tuple):
        result, *more = result
        status = more[0] if more else status
        headers = dict(more[1]) if len(more) > 1 else headers
    if result is None:
        return (204 if status == 200 else status), headers, b""
    kinds = {name.lower() for name in headers}
    kind = "application/octet-stream"
    if isinstance(result, str):
        result, kind = result.encode(), "text/plain; charset=utf-8"
    elif not isinstance(result, (bytes, bytearray)):
        result, kind = json.dumps(result).encode(), "application/json"
    if "content-type" not in kinds:
        headers["Content-Type"] = kind
    return status, headers, bytes(result)


class Server(ThreadingHTTPServer):
    # Connections that are kept alive wait for requests that never come: nobody waits for them at the end.
    daemon_threads = True
    request_queue_size = 256


class Underway:
    """Counts requests, so that the end waits for them."""

    def __init__(self):
        self.count, self.changed = 0, threading.Condition()

    def __enter__(self):
        with self.changed:
            self.count += 1

    def __exit__(self, *_):
        with self.changed:
            self.count -= 1
            self.changed.notify_all()

    def wait(self):
        with self.changed:
            self.changed.wait_for(lambda: self.count == 0)


underway = Underway()


def make_handler(function, style):
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def log_message(self, *parts):
            pass

        def body(self):
            length = self.headers.get("Content-Length")
            if length is not None:
                return self.rfile.read(int(length))
            if "chunked" not in self.headers.get("Transfer-Encoding", "").lower():
                return b""
            pieces = []
            while True:
                size = int(self.rfile.readline().split(b";")[0], 16)
                if size == 0:
                    while self.rfile.readline().strip():
                        pass
                    return b"".join(pieces)
                pieces.append(self.rfile.read(size))
                self.rfile.readline()

        def begin(self, status, headers):
            """Sends the head; gives how the body is written."""
            names = {name.lower() for name, _ in headers}
            self.send_response(status)
            for name, value in headers:
                if name.lower() not in ("connection", "transfer-encoding"):
                    self.send_header(name, value)
            bare = self.command == "HEAD" or status in (204, 304) or status < 200
            chunked = not bare and "content-length" not in names
            if chunked:
                self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            self.is_begun = True

            def write(piece, last=False):
                if not bare and piece:
                    self.wfile.write(b"%x\\r\\n%s\\r\\n" % (len(piece), piece) if chunked else piece)
                if last and chunked:
                    self.wfile.write(b"0\\r\\n\\r\\n")

            return write

        def plain(self, body):
            result = function(Request(self.command, self.path, self.headers, body))
            if inspect.isawaitable(result):
                result = asyncio.run(awaited(result))
            status, headers, body = answer_of(result)
            headers = {**headers, "Content-Length": str(len(body))} if status not in (204, 304) else headers
            self.begin(status, list(headers.items()))(body, True)

        def wsgi(self, body):
            path, _, query = self.path.partition("?")
            environ = {
                "REQUEST_METHOD": self.command, "SCRIPT_NAME": "", "PATH_INFO": urllib.parse.unquote(path, "latin-1"), "QUERY_STRING": query,
                "SERVER_NAME": "localhost", "SERVER_PORT": str(self.server.server_port), "SERVER_PROTOCOL": "HTTP/1.1",
                "CONTENT_TYPE": self.headers.get("Content-Type", ""), "CONTENT_LENGTH": str(len(body)), "REMOTE_ADDR": self.client_address[0],
                "wsgi.version": (1, 0), "wsgi.url_scheme": self.headers.get("X-Forwarded-Proto", "http"), "wsgi.input": io.BytesIO(body),
                "wsgi.errors": sys.stderr, "wsgi.multithread": True, "wsgi.multiprocess": False, "wsgi.run_once": False,
            }
            for name, value in self.headers.items():
                environ["HTTP_" + name.upper().replace("-", "_")] = value
            head = []

            def start_response(status, headers, exc_info=None):
                head[:] = [int(status.split()[0]), headers]
                return lambda piece: None

            result = function(environ, start_response)
            try:
                write = None
                for piece in result:
                    write = write or self.begin(*head)
                    write(piece)
                (write or self.begin(*head))(b"", True)
            finally:
                if hasattr(result, "close"):
                    result.close()

        def asgi(self, body):
            path, _, query = self.path.partition("?")
            scope = {
                "type": "http", "asgi": {"version": "3.0", "spec_version": "2.3"}, "http_version": "1.1", "method": self.command,
                "scheme": self.headers.get("X-Forwarded-Proto", "http"), "path": urllib.parse.unquote(path), "raw_path": path.encode(),
                "query_string": query.encode(), "root_path": "", "client": self.client_address, "server": ("localhost", self.server.server_port),
                "headers": [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in self.headers.items()],
            }
            sent, state = [], {}

            async def receive():
                if sent:
                    return {"type": "http.disconnect"}
                sent.append(True)
                return {"type": "http.request", "body": body, "more_body": False}

            async def send(message):
                if message["type"] == "http.response.start":
                    state["head"] = (message["status"], [(k.decode("latin-1"), v.decode("latin-1")) for k, v in message.get("headers", [])])
                elif message["type"] == "http.response.body":
                    state["write"] = state.get("write") or self.begin(*state["head"])
                    state["write"](message.get("body", b""), not message.get("more_body", False))

            asyncio.run(awaited(function(scope, receive, send)))

        def handle_request(self):
            self.is_begun = False
            if self.path == ALIVE and self.headers.get("User-Agent", "").startswith("kube-probe/"):
                self.begin(204, [])(b"", True)
                return
            given = re.sub(r"[^\\w.:-]", "", self.headers.get("X-Request-Id", ""))[:64]
            invocation.set(given or str(uuid.uuid4()))
            try:
                with underway:
                    getattr(self, style)(self.body())
            except (BrokenPipeError, ConnectionResetError):
                self.close_connection = True
            except Exception:
                print("Uncaught " + traceback.format_exc().rstrip(), file=sys.stderr)
                if self.is_begun:
                    self.close_connection = True
                else:
                    text = b"Internal Server Error\\n"
                    self.begin(500, [("Content-Type", "text/plain"), ("Content-Length", str(len(text)))])(text, True)
            finally:
                invocation.set("")

        do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = handle_request

    return Handler


async def awaited(result):
    return await result


def main():
    sys.stdout, sys.stderr = Marked(sys.stdout), Marked(sys.stderr)
    function = load(sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else "")
    server = Server(("", int(os.environ.get("PORT", "8080"))), make_handler(function, style_of(function)))
    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
    server.serve_forever()
    server.socket.close()
    underway.wait()
    sys.stdout.flush()
    os._exit(0)


main()
`;
