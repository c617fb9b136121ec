"""A registry in this process: files that are uploaded, pages that show them, and misbehaviour."""

import email
import hashlib
import http.server
import threading

ELSEWHERE = "/elsewhere"
"""The target of redirections, a page of an index."""


class Server:
    """A package index. `answer` is a status and a page for everything; `unanswered` has methods."""

    def __init__(self):
        self.files = {}
        self.answer = None
        self.keeps = True
        self.ends = threading.Event()
        self.unanswered = ()
        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self.url = f"http://127.0.0.1:{self.http.server_port}/pypi"
        self.thread = threading.Thread(target=self.http.serve_forever, args=(0.05,))

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.ends.set()
        self.http.shutdown()
        self.thread.join()
        self.http.server_close()

    def page(self, project):
        """The index page of a project; None where it has no file."""
        stem = project.replace("-", "_")
        shown = [
            f'<a href="{self.url}/files/{name}#sha256={hashlib.sha256(data).hexdigest()}">file</a>'
            for name, data in self.files.items()
            if name.rpartition("-py3")[0].rpartition("-")[0] == stem
            or name.removesuffix(".tar.gz").rpartition("-")[0] == stem
        ]
        return "\n".join(shown) or None


def _handler(server):
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            if self._misbehaves():
                return
            page = server.page(self.path.rstrip("/").rpartition("/")[2])
            self._answer(*((200, page) if page else (404, "none")))

        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self._misbehaves():
                return
            head = f"Content-Type: {self.headers['Content-Type']}\r\n\r\n".encode()
            for part in email.message_from_bytes(head + body).get_payload():
                if name := part.get_filename():
                    self._keep(name, part.get_payload(decode=True))
            self._answer(201, "")

        def _keep(self, name, data):
            if server.keeps:
                server.files[name] = data

        def _misbehaves(self):
            if self.command in server.unanswered:
                server.ends.wait(60)
                return True
            if self.path.endswith(ELSEWHERE):
                self._answer(200, server.page("virtufin-api"))
                return True
            if server.answer:
                self._answer(*server.answer)
            return bool(server.answer)

        def _answer(self, status, page):
            self.send_response(status)
            self.send_header("Content-Type", "text/html")
            if 300 <= status < 400:
                self.send_header("Location", ELSEWHERE)
            self.send_header("Content-Length", str(len(page)))
            self.end_headers()
            self.wfile.write(page.encode())

        def log_message(self, *_):
            pass

    return Handler
