#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Compares `vitrine pull` with huggingface_hub, both against a hub on this machine.

    python3 tools/check_pull.py build/cli/vitrine models/demo     # needs transformers and torch

1. Both download the folder's model into a cache of their own: the same files, links and references.
2. huggingface_hub and transformers find and load what Vitrine downloaded, without the network.
3. Vitrine loads what huggingface_hub downloaded.
4. After a pull by either one, the other one downloads nothing.
"""
import hashlib
import http.server
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import threading

NAME = "org/model"
COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Hub(http.server.BaseHTTPRequestHandler):
    """The three addresses that a download asks for; weights are Git LFS files, elsewhere."""
    folder = None
    bodies = []  # paths whose contents were sent
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def answer(self, status, headers, body=b""):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def do_GET(self):
        path = self.path.split("?")[0]
        files = {f.name: f.read_bytes() for f in sorted(self.folder.iterdir())}
        etags = {name: hashlib.sha256(data).hexdigest() if is_lfs(name) else
                 hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
                 for name, data in files.items()}
        if path == f"/api/models/{NAME}/revision/main":
            siblings = [{"rfilename": name} for name in files]
            return self.answer(200, {"Content-Type": "application/json"}, json.dumps(
                {"id": NAME, "modelId": NAME, "sha": COMMIT, "private": False, "tags": [], "downloads": 0,
                 "likes": 0, "siblings": siblings}).encode())
        if path == f"/api/models/{NAME}/tree/{COMMIT}":
            entries = []
            for name, data in files.items():
                entry = {"type": "file", "path": name, "size": len(data), "oid": etags[name]}
                if is_lfs(name):
                    entry["lfs"] = {"oid": etags[name], "size": len(data), "pointerSize": 130}
                    entry["oid"] = "0" * 40
                entries.append(entry)
            return self.answer(200, {"Content-Type": "application/json"}, json.dumps(entries).encode())
        name = path.rsplit("/", 1)[-1]
        if path == f"/{NAME}/resolve/{COMMIT}/{name}" and name in files:
            etag = f'"{etags[name]}"'
            if is_lfs(name):
                return self.answer(302, {"X-Repo-Commit": COMMIT, "X-Linked-Etag": etag,
                                         "X-Linked-Size": str(len(files[name])), "Location": f"http://localhost:{self.server.server_port}/cdn/{name}"})
            if self.command == "GET":
                self.bodies.append(path)
            return self.answer(200, {"X-Repo-Commit": COMMIT, "ETag": etag}, files[name])
        if path == f"/cdn/{name}" and name in files:
            if self.command == "GET":
                self.bodies.append(path)
            return self.answer(200, {"ETag": '"of the storage"'}, files[name])
        return self.answer(404, {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": COMMIT})

    do_HEAD = do_GET


def is_lfs(name):
    return name.endswith((".safetensors", ".bin"))


def contents(cache):
    """Each file and link of a cache; without what huggingface_hub keeps for itself."""
    found = {}
    for path in sorted(pathlib.Path(cache).rglob("*")):
        name = str(path.relative_to(cache))
        if "/trees" in name or path.is_dir() and not path.is_symlink():
            continue
        found[name] = f"-> {os.readlink(path)}" if path.is_symlink() else hashlib.sha256(path.read_bytes()).hexdigest()
    return found


def run(words, environment):
    return subprocess.run(words, env={**os.environ, **environment}, check=True, stdout=subprocess.PIPE, text=True).stdout


FETCH = """
import sys
from huggingface_hub import snapshot_download
print(snapshot_download(sys.argv[1], allow_patterns=["config.json", "generation_config.json", "tokenizer*", "*.safetensors"]))
"""
LOAD = """
import sys, torch
from huggingface_hub import snapshot_download
from transformers import AutoModelForCausalLM, AutoTokenizer
print(snapshot_download(sys.argv[1], local_files_only=True))
model = AutoModelForCausalLM.from_pretrained(sys.argv[1], local_files_only=True)
tokenizer = AutoTokenizer.from_pretrained(sys.argv[1], local_files_only=True)
ids = tokenizer("The keys to the cabinet", return_tensors="pt").input_ids
print(ids.tolist(), model(ids).logits[0, -1].argmax().item())
"""


def main():
    vitrine, Hub.folder = sys.argv[1], pathlib.Path(sys.argv[2])
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with tempfile.TemporaryDirectory() as homes:
        common = {"HF_ENDPOINT": f"http://127.0.0.1:{server.server_port}", "no_proxy": "127.0.0.1,localhost",
                  "HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}
        ours, theirs, alone = ({**common, "HF_HOME": f"{homes}/{name}"} for name in ("ours", "theirs", "alone"))
        print(run([vitrine, "pull", NAME], ours))
        # huggingface_hub has not been here: its own listing of the repository (trees/) is missing.
        run([vitrine, "pull", NAME], alone)
        run([sys.executable, "-c", FETCH, NAME], theirs)
        one, other = contents(f"{homes}/ours/hub"), contents(f"{homes}/theirs/hub")
        for name in sorted(one.keys() | other.keys()):
            if one.get(name) != other.get(name):
                sys.exit(f"{name}: {one.get(name)} of vitrine, {other.get(name)} of huggingface_hub")
        print(len(one), "files and links are the same")

        sent = len(Hub.bodies)
        run([vitrine, "pull", NAME], theirs)
        run([sys.executable, "-c", FETCH, NAME], ours)
        if len(Hub.bodies) != sent:
            sys.exit(f"downloaded again: {Hub.bodies[sent:]}")
        print("neither downloads what the other one has downloaded")

        server.shutdown()
        offline = {"HF_HUB_OFFLINE": "1"}
        print(run([sys.executable, "-c", LOAD, NAME], {**alone, **offline}))
        print(run([vitrine, "generate", "--model", NAME, "-p", "The keys to the cabinet", "--max-new-tokens", "4"],
                  {**theirs, **offline}))


if __name__ == "__main__":
    main()
