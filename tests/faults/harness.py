"""A sweep that is submitted again and again while faults are injected, and what must hold of it afterwards."""

from __future__ import annotations

import contextlib
import errno
import io
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from mtneuro_ray.cli.main import main
from mtneuro_ray.config.run import RunSettings
from mtneuro_ray.progress import say
from mtneuro_ray.results import Results
from mtneuro_ray.storage.folder import Folder
from mtneuro_ray.storage.records import RunRecord
from tests.bossdb_server import Fault as Answer
from tests.faults.bench import EPOCHS, RUNS, Bench
from tests.faults.schedule import Fault
from tests.faults.watch import Watcher, epochs_saved, essence
from tests.ray_cluster import ROOT

# A submission that takes longer hangs; one that nothing disturbs has taken up to 400 s on a machine that others use.
_PATIENCE_S = 1200.0
# Ray's workers go a moment after their driver.
_LEAVE_S = 60.0
_POLL_S = 0.05
_TRIAL = "ray::ImplicitFunc"


@dataclass
class Report:
    """What came of a schedule."""

    submissions: list[str] = field(default_factory=list)
    hits: list[str] = field(default_factory=list)
    missed: list[str] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)
    resumed: int = 0
    seconds: float = 0.0


class _Sweep:
    """One schedule while it runs."""

    def __init__(self, bench: Bench, work: Path, disk: Path, faults: list[Fault]) -> None:
        self._bench, self._work = bench, work
        self._disk, self._out, self._store = disk, disk / "out", disk / "store"
        self._filler = disk / "filler"
        self._faults = list(faults)
        self._report = Report()
        self._watcher = Watcher(self._out, self._store, bench.identities)
        # (when, what) that is mended or replaced while a submission runs.
        self._due: list[tuple[float, str]] = []
        # Training id -> epochs that were saved when all trials were lost, and those that must not be trained again.
        self._saved: dict[str, int] = {}
        self._safe: dict[str, int] = {}
        self._headless = False

    def run(self) -> Report:
        started = time.monotonic()
        limit = len(self._faults) + 3
        with self._watcher:
            if all(self._submit(number) != 0 for number in range(limit)):
                self._violation(f"no success in {limit} submissions")
            self._await_rest()
        self._report.missed = [str(fault) for fault in self._faults]
        self._check()
        self._report.seconds = time.monotonic() - started
        return self._report

    def _violation(self, text: str) -> None:
        self._report.violations.append(text)

    def _submit(self, number: int) -> int:
        """One submission with the faults that fall into it, until it has ended and all is mended."""
        if self._headless:
            self._renew()
        self._hold_to_saved()
        log = self._work / f"submission{number}.log"
        command = [sys.executable, "-m", "mtneuro_ray.cli.main", "sweep", "--space", str(self._bench.space)]
        command += ["--out", str(self._out), "--store", str(self._store), "--address", self._bench.fleet.address]
        began = time.monotonic()
        with open(log, "wb") as output:
            driver = subprocess.Popen(
                command, cwd=ROOT, env=self._bench.fleet.env, stdout=output, stderr=output, start_new_session=True
            )
        try:
            killed = self._disturb(driver, began)
        finally:
            driver.kill()
            status = driver.wait()
        self._mend(at_end=True)
        text = log.read_text(errors="replace")
        told = "killed" if killed else str(status)
        if not killed and status:
            told += f" ({_summary(text)})"
            if not self._headless:
                self._check_summary(log, text)
        told += f" after {time.monotonic() - began:.0f} s"
        say(f"    submission: {told}")
        self._report.submissions.append(told)
        return status

    def _disturb(self, driver: subprocess.Popen[bytes], began: float) -> bool:
        """Inject what is due until the driver ends; whether it was killed."""
        since, base = began, self._watcher.seen.copy()
        ripe: float | None = None
        while driver.poll() is None:
            now = time.monotonic()
            if now - began > _PATIENCE_S:
                self._violation(f"a submission did not end within {_PATIENCE_S:g} s")
                return True
            self._mend()
            if self._faults:
                fault = self._faults[0]
                seen = self._watcher.seen[fault.phase] - base[fault.phase]
                if ripe is None and (fault.phase == "start" or seen >= fault.count):
                    ripe = (since if fault.phase == "start" else now) + fault.delay_s
                if ripe is not None and now >= ripe:
                    hit = self._inject(fault, driver)
                    if hit is not None:
                        self._report.hits.append(f"{fault}: {hit}")
                        say(f"    {self._report.hits[-1]}")
                        self._faults.pop(0)
                        since, base, ripe = time.monotonic(), self._watcher.seen.copy(), None
                        if fault.kind == "driver" or (fault.kind == "head" and driver.poll() is not None):
                            return True
            time.sleep(_POLL_S)
        return False

    @property
    def _progress(self) -> str:
        return f"at {len(self._watcher.done)}/{RUNS} runs, {self._watcher.seen['checkpoint']} checkpoints"

    def _inject(self, fault: Fault, driver: subprocess.Popen[bytes]) -> str | None:
        """What was hit, or None where there is nothing to hit yet."""
        act = {
            "worker": self._kill_worker,
            "raylet": self._kill_raylet,
            "driver": self._kill_driver,
            "head": self._kill_head,
            "disk": self._fill_disk,
            "source": self._spoil_source,
        }[fault.kind]
        return act(fault, driver)

    def _kill_worker(self, fault: Fault, driver: subprocess.Popen[bytes]) -> str | None:
        trials = self._bench.fleet.titled(_TRIAL)
        if not trials:
            return None
        victim = trials[int(fault.choice * len(trials))]
        try:
            victim.kill()
        except psutil.NoSuchProcess:
            return None
        return f"1 of {len(trials)} trials' processes {self._progress}"

    def _kill_raylet(self, fault: Fault, driver: subprocess.Popen[bytes]) -> str | None:
        nodes = list(self._bench.fleet.workers)
        if fault.phase != "ingest":
            nodes = [node for node in nodes if self._bench.fleet.titled(_TRIAL, node)]
        if not nodes:
            return None
        node = nodes[int(fault.choice * len(nodes))]
        trials = len(self._bench.fleet.titled(_TRIAL, node))
        count = self._bench.fleet.kill(node)
        self._due.append((time.monotonic() + fault.hold_s, "raylet"))
        return f"{node.name} with {count} processes, {trials} trials among them, {self._progress}"

    def _kill_driver(self, fault: Fault, driver: subprocess.Popen[bytes]) -> str | None:
        driver.kill()
        driver.wait()
        self._note_saved()
        return f"the driver {self._progress}"

    def _kill_head(self, fault: Fault, driver: subprocess.Popen[bytes]) -> str | None:
        # A job's driver runs on the head; that of somebody who joined by --address may not.
        takes_driver = fault.choice < 0.5
        if takes_driver:
            driver.kill()
            driver.wait()
        count = self._bench.fleet.kill(self._bench.fleet.head)
        self._headless = True
        self._note_saved()
        return f"{count} processes {'with' if takes_driver else 'without'} the driver {self._progress}"

    def _note_saved(self) -> None:
        """All trials are lost, with what their checkpoints hold by now."""
        self._saved = _most(self._saved, epochs_saved(self._out))

    def _hold_to_saved(self) -> None:
        """What is saved must not be trained again, unless its trial outlived its head and ended nevertheless."""
        ended = {_train_id(record) for record in Results(Folder(self._out)).records} if self._saved else set()
        self._safe = _most(self._safe, {key: epoch for key, epoch in self._saved.items() if key not in ended})
        self._saved = {}

    def _fill_disk(self, fault: Fault, driver: subprocess.Popen[bytes]) -> str | None:
        size = 0
        with open(self._filler, "ab", buffering=0) as stream:
            for step in (1 << 20, 1 << 12, 1):
                try:
                    while True:
                        size += stream.write(bytes(step))
                except OSError as error:
                    if error.errno != errno.ENOSPC:
                        raise
        until_end = fault.choice < 0.5
        if not until_end:
            self._due.append((time.monotonic() + fault.hold_s, "disk"))
        how_long = "until the submission ended" if until_end else f"for {fault.hold_s:.1f} s"
        return f"its last {size} bytes {how_long} {self._progress}"

    def _spoil_source(self, fault: Fault, driver: subprocess.Popen[bytes]) -> str | None:
        form = int(fault.choice * 4)
        skip = int(fault.hold_s) % 4
        source = self._bench.source
        if form == 0:
            source.spoil("503", 0, float("inf"), metadata=True)
            return "HTTP 503 to all that ask for metadata until the submission ended"
        if form == 1:
            source.spoil("400", skip, float("inf"))
            return f"HTTP 400 to all but {skip} cutouts until the submission ended"
        answers: list[Answer] = ["503", "reset", "cut", "garbage"]
        answer = answers[int(fault.delay_s + fault.hold_s * 10) % 4]
        source.spoil(answer, skip, 3)
        return f"'{answer}' to 3 cutouts after {skip}"

    def _mend(self, at_end: bool = False) -> None:
        """Replace or free what is due, or everything once a submission has ended."""
        now = time.monotonic()
        due = [what for when, what in self._due if at_end or when <= now]
        self._due = [] if at_end else [(when, what) for when, what in self._due if when > now]
        for what in due:
            if what == "raylet" and not self._headless:
                self._bench.fleet.add_worker()
        if at_end or "disk" in due:
            self._filler.unlink(missing_ok=True)
        if at_end:
            self._bench.source.heal()

    def _renew(self) -> None:
        left = self._bench.renew()
        self._note_saved()
        if left:
            self._violation(f"left running: {', '.join(left)}")
        self._headless = False

    def _await_rest(self) -> None:
        """Nothing of the sweep runs on once its driver has ended."""
        deadline = time.monotonic() + _LEAVE_S
        while (at_work := self._bench.fleet.at_work()) and time.monotonic() < deadline:
            time.sleep(0.2)
        if at_work:
            self._violation(f"still at work after the end: {', '.join(at_work)}")

    def _check_summary(self, log: Path, text: str) -> None:
        """A sweep that ends by itself without success says why, in a line."""
        last = text.rstrip().rpartition("\n")[2]
        if not last.startswith(("error: ", "failed: ")):
            self._violation(f"{log.name} does not end in a line that says what went wrong: {last[:200]}")

    def _check(self) -> None:
        bench = self._bench
        self._report.violations += self._watcher.violations
        files, table = essence(self._out), table_of(self._out)
        if not bench.files:
            bench.files, bench.table = files, table
            bench.images_an_epoch = {run_id: count / EPOCHS for run_id, count in _images(self._out).items()}
            if len(files) != RUNS:
                self._violation(f"{len(files)} run files; {RUNS} are expected")
            return
        if table != bench.table:
            self._violation("the table differs from the undisturbed one")
        differing = sorted(
            run_id for run_id in files.keys() | bench.files if files.get(run_id) != bench.files.get(run_id)
        )
        if differing:
            self._violation(f"run files that differ from the undisturbed ones: {', '.join(differing)}")
        self._check_epochs()

    def _check_epochs(self) -> None:
        """What a checkpoint held when all trials were lost was not trained again."""
        images = _images(self._out)
        for record in Results(Folder(self._out)).records:
            trained = images[record.run_id] / self._bench.images_an_epoch[record.run_id]
            self._report.resumed += trained < EPOCHS - 0.5
            saved = self._safe.get(_train_id(record), 0)
            if trained > EPOCHS - saved + 0.5:
                self._violation(f"{record.run_id}: {trained:.1f} epochs trained after a checkpoint of {saved}")


def run_schedule(bench: Bench, work: Path, disk: Path, faults: list[Fault]) -> Report:
    """Run a sweep under faults; the first, without any, is what later ones are compared with.

    Args:
        bench: What is swept.
        work: Folder for logs.
        disk: Empty folder, on a disk of its own where that is filled.
        faults: In their order.
    """
    work.mkdir(parents=True)
    bench.source.heal()
    return _Sweep(bench, work, disk, faults).run()


def table_of(out: Path) -> str:
    """What `results table` prints."""
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        status = main(["results", "table", "--out", str(out), "--format", "json"])
    return f"{status}\n{printed.getvalue()}"


def _images(out: Path) -> dict[str, float]:
    """Run id -> images that were trained on by the process which finished the run."""
    timings = {record.run_id: record.timings for record in Results(Folder(out)).records}
    return {key: each.get("train_s", 0.0) * each.get("train_images_per_s", 0.0) for key, each in timings.items()}


def _most(one: dict[str, int], other: dict[str, int]) -> dict[str, int]:
    return {key: max(one.get(key, 0), other.get(key, 0)) for key in one.keys() | other}


def _train_id(record: RunRecord) -> str:
    return RunSettings.load(record.settings, record.run_id).train_id


def _summary(text: str) -> str:
    lines = [line for line in text.splitlines() if line.startswith(("error: ", "failed: "))]
    shown = lines[-1] if lines else (text.rstrip().rpartition("\n")[2] or "nothing was said")
    return shown[:160]
