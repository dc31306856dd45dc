"""The static files of pages, under a path that changes with their content."""

import hashlib
import mimetypes
from dataclasses import dataclass, field
from pathlib import Path

from aiohttp import web

from console.security import CACHING

FOLDER = Path(__file__).parent / "static"
FOR_EVER = "public, max-age=31536000, immutable"
TYPES = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml", ".png": "image/png"}


@dataclass(frozen=True)
class Statics:
    files: dict[str, bytes]
    mark: str = field(init=False)
    """Digest of all files together, because scripts import each other by relative paths."""

    def __post_init__(self) -> None:
        digest = hashlib.sha256()
        for name in sorted(self.files):
            digest.update(f"{name}\0{len(self.files[name])}\0".encode())
            digest.update(self.files[name])
        object.__setattr__(self, "mark", digest.hexdigest()[:16])

    def path_of(self, name: str) -> str:
        """The URL of a file. Raises KeyError if it does not exist, which is a mistake in a template."""
        self.files[name]
        return f"/static/{self.mark}/{name}"

    async def answer(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        content = self.files.get(name)
        if content is None:
            raise web.HTTPNotFound
        # A replica of another release may have rendered the page. Its request is answered with this release's file,
        # uncached.
        request[CACHING] = FOR_EVER if request.match_info["mark"] == self.mark else "no-cache"
        kind = TYPES.get(Path(name).suffix) or mimetypes.guess_type(name)[0] or "application/octet-stream"
        return web.Response(body=content, content_type=kind, charset="utf-8" if kind.startswith("text/") else None)


def read_statics(*folders: Path) -> Statics:
    """The package's files by relative name. Files of `folders` begin with the name of the folder's parent."""
    files = {str(path.relative_to(FOLDER)): path.read_bytes() for path in FOLDER.rglob("*") if path.is_file()}
    for folder in folders:
        for path in folder.rglob("*"):
            if path.is_file():
                files[f"{folder.parent.name}/{path.relative_to(folder)}"] = path.read_bytes()
    return Statics(files)
