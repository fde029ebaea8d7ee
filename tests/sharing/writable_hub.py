"""The loopback hub of the tests of models, which also takes uploads and lists what it has."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from contextlib import AbstractContextManager
from typing import Any

from tests.models import hub_server

TOKEN = "hf_of_the_test"


class WritableHub(hub_server.Hub):
    """Has one user, whose token is `TOKEN`; each commit is in `commits` with its message and files."""

    def __init__(self) -> None:
        super().__init__({})
        self.RequestHandlerClass = _Handler
        self.repositories: set[str] = set()
        self.commits: list[tuple[str, list[str]]] = []

    def oid(self, repository: str, name: str) -> str | None:
        """Git's name of the content of a file."""
        content = self.files.get((repository, name))
        return None if content is None else hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


class _Handler(hub_server._Handler):
    server: WritableHub

    def do_GET(self) -> None:  # noqa: N802 - a name of http.server
        found = re.match(r"/api/models/([^/]+/[^/?]+)(/revision|/tree)?", self.path)
        if found is None:
            return super().do_GET()
        if found[1] not in self.server.repositories:
            return self._json(404, {"error": "Repository not found"})
        own = {name: content for (repository, name), content in self.server.files.items() if repository == found[1]}
        if found[2] == "/tree":
            tree = [
                {"type": "file", "path": name, "size": len(content), "oid": self.server.oid(found[1], name)}
                for name, content in own.items()
            ]
            return self._json(200, tree)
        names = [{"rfilename": name} for name in own]
        return self._json(200, {"id": found[1], "sha": hub_server.COMMIT, "siblings": names})

    def do_POST(self) -> None:  # noqa: N802 - likewise
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.requests.append(f"POST {self.path}")
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            return self._json(401, {"error": "Invalid username or password."})
        if self.path == "/api/repos/create":
            asked = json.loads(body)
            name = f"{asked['organization']}/{asked['name']}"
            self.server.repositories.add(name)
            return self._json(200, {"url": f"{self.server.address}/{name}"})
        if self.path == "/api/validate-yaml":
            # The front matter of a card, which the real client asks about.
            return self._json(200, {"errors": [], "warnings": []})
        found = re.match(r"/api/models/([^/]+/[^/]+)/(preupload|commit)/", self.path)
        assert found is not None, self.path
        if found[2] == "preupload":
            files = [
                {
                    "path": each["path"],
                    "uploadMode": "regular",
                    "shouldIgnore": False,
                    "oid": self.server.oid(found[1], each["path"]),
                }
                for each in json.loads(body)["files"]
            ]
            return self._json(200, {"files": files})
        lines = [json.loads(line) for line in body.splitlines() if line]
        message, added = lines[0]["value"]["summary"], [line["value"] for line in lines[1:] if line["key"] == "file"]
        for file in added:
            self.server.files[found[1], file["path"]] = base64.b64decode(file["content"])
        self.server.commits.append((message, [file["path"] for file in added]))
        url = f"{self.server.address}/{found[1]}/commit/{hub_server.COMMIT}"
        return self._json(200, {"commitUrl": url, "commitOid": hub_server.COMMIT, "success": True})

    def _json(self, status: int, value: Any) -> None:
        content = json.dumps(value).encode()
        self.send_response(status)
        if status == 404:
            self.send_header("X-Error-Code", "RepoNotFound")
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


def serving() -> AbstractContextManager[WritableHub]:
    return hub_server.served(WritableHub())
