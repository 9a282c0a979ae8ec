"""A server of hub repositories from a dict, with as much of the protocol as the client's downloads need."""

import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@contextmanager
def serving(repositories: dict[str, dict[str, bytes]]) -> Iterator[str]:
    """Yield the address of a server of `{repository: {file: content}}`.

    The repository `acme/broken` stops every download half-way; `acme/failing` answers with status 500.
    """

    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.answer(with_body=False)

        def do_GET(self) -> None:
            self.answer(with_body=True)

        def answer(self, with_body: bool) -> None:
            repository, _, rest = self.path.strip("/").partition("/resolve/")
            revision, _, file_name = rest.partition("/")
            if repository == "acme/failing":
                return self.refuse(500, "")
            if repository not in repositories:
                return self.refuse(404, "RepoNotFound")
            if revision not in ("main", COMMIT):
                return self.refuse(404, "RevisionNotFound")
            if file_name not in repositories[repository]:
                return self.refuse(404, "EntryNotFound")
            content = repositories[repository][file_name]
            self.send_response(200)
            self.send_header("X-Repo-Commit", COMMIT)
            self.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()}"')
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            if with_body:
                self.wfile.write(content[: len(content) // 2] if repository == "acme/broken" else content)

        def refuse(self, status: int, code: str) -> None:
            self.send_response(status)
            self.send_header("X-Error-Code", code)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *arguments: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
