"""A process with a model server's options that serves no model: it starts fast, so that the seam can be tested often.

The model directory says how it behaves: a file `broken` makes it end with status 3, `stubborn` makes it ignore SIGTERM.
"""

import argparse
import json
import os
import signal
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


class Answers(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


def main():
    parser = argparse.ArgumentParser()
    for name in ("--model-dir", "--announce", "--termination-message", "--tls-cert"):
        parser.add_argument(name, type=Path, required=True)
    options, _ = parser.parse_known_args()
    if (options.model_dir / "broken").exists():
        print("Traceback of something", file=sys.stderr)
        print(json.dumps({"level": "critical", "message": "the package is refused: no model.json"}), file=sys.stderr)
        print(json.dumps({"level": "info", "message": "bye"}), file=sys.stderr)
        sys.exit(3)
    (options.model_dir / f"environment-{os.getpid()}").write_text(json.dumps(dict(os.environ)))
    if (options.model_dir / "stubborn").exists():
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    servers = [ThreadingHTTPServer(("127.0.0.1", 0), Answers) for _ in range(2)]
    for server in servers:
        threading.Thread(target=server.serve_forever, daemon=True).start()
    temporary = options.announce.with_suffix(".tmp")
    temporary.write_text(json.dumps({"port": servers[0].server_port, "admin_port": servers[1].server_port}))
    temporary.replace(options.announce)
    threading.Event().wait()


main()
