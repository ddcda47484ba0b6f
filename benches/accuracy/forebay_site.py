"""A data folder of Forebay's, driven by the binary's own verbs alone."""

import json
import subprocess
import time
from pathlib import Path


class Site:
    """One lake with its jobs. What the binary says on stderr is kept in `log.txt` beside it."""

    def __init__(self, folder, binary, jobs, window="1h"):
        self.folder = Path(folder)
        self.binary = binary
        self.seconds = 0.0
        """Time spent in jobs."""
        self.folder.mkdir(parents=True)
        head = f'[gateway]\nid = "evaluation"\nsite = "site"\n\n[lake]\nwindow = "{window}"\n'
        (self.folder / "forebay.toml").write_text(head + jobs)

    def _run(self, *args):
        command = [str(self.binary), *map(str, args), "--data-dir", str(self.folder)]
        done = subprocess.run(command, capture_output=True, text=True)
        with open(self.folder / "log.txt", "a") as log:
            log.write(f"$ {' '.join(command)}\n{done.stderr}\n")
        if done.returncode != 0:
            raise RuntimeError(f"{' '.join(command)} ended with {done.returncode}:\n{done.stderr[-2000:]}")
        return done.stdout

    def import_csv(self, path, time_column, *options):
        self._run("import", path, "--time", time_column, *options)

    def _job(self, *args):
        begun = time.monotonic()
        self._run("jobs", *args)
        self.seconds += time.monotonic() - begun

    def backfill(self, job, start, end):
        """Every fire with start <= fire < end, each as of its own time. RFC 3339."""
        self._job("backfill", job, "--from", start, "--to", end)

    def run(self, job, at):
        self._job("run", job, "--at", at)

    def query(self, sql):
        lines = self._run("query", sql, "--format", "json").splitlines()
        return [json.loads(line) for line in lines if line]
