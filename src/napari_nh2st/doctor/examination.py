"""An examination: the checks are run one after the other, the probes that they ask beside each other."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

from napari_nh2st.doctor.child import Answer, ask
from napari_nh2st.doctor.finding import Finding, Level, fault, warning
from napari_nh2st.errors import Cancelled

SECONDS = 60.0
"""The time that a probe of the installation may take: a slow disk reads napari and torch for half a minute."""

Ask = Callable[..., Answer]


class Probes:
    """Answers of the probes. Each is asked once, and begun ahead if it is known to be wanted.

    Parameters
    ----------
    ask : callable, optional
        As `child.ask`; tests put answers of their own in its place.
    """

    def __init__(self, ask: Ask = ask) -> None:
        self._ask = ask
        self._pool = ThreadPoolExecutor(4)
        self._stopped = threading.Event()
        self._answers: dict[tuple[str, ...], Future[Answer]] = {}

    def begin(self, probe: str, *arguments: str, seconds: float = SECONDS) -> Future[Answer]:
        """Start a probe, unless it was started before."""
        key = (probe, *arguments)
        if key not in self._answers:
            self._answers[key] = self._pool.submit(
                self._ask, probe, *arguments, seconds=seconds, cancelled=self._stopped.is_set
            )
        return self._answers[key]

    def answer(self, probe: str, *arguments: str, seconds: float = SECONDS) -> Answer:
        """Return what a probe told; waits for it."""
        return self.begin(probe, *arguments, seconds=seconds).result()

    @property
    def closed(self) -> bool:
        """True if nothing is asked any more."""
        return self._stopped.is_set()

    def close(self) -> None:
        """Start nothing more, and end what still runs."""
        self._stopped.set()
        self._pool.shutdown(wait=False, cancel_futures=True)


@dataclass(frozen=True)
class Check:
    """One check.

    Attributes
    ----------
    name : str
        For scripts.
    run : callable
        Returns a finding, or None where the check does not apply.
    """

    name: str
    run: Callable[[Probes], Finding | None]


@dataclass(frozen=True)
class Group:
    """Checks of one thing, under one title. `named` is the path that the title names, if any."""

    title: str
    checks: Sequence[Check]
    named: str = ""


@dataclass(frozen=True)
class Result:
    """The findings of one group, by the names of its checks."""

    title: str
    findings: dict[str, Finding]
    named: str = ""


@dataclass(frozen=True)
class Diagnosis:
    """Everything that was found."""

    results: list[Result] = field(default_factory=list)

    def count(self, level: Level) -> int:
        """Return how many findings are of a level."""
        return sum(finding.level == level for result in self.results for finding in result.findings.values())

    @property
    def counts(self) -> str:
        """The last line of a report: `12 fine, 1 warning, 1 fault`."""
        fine, warnings, faults = self.count("ok"), self.count("warning"), self.count("fault")
        return f"{fine} fine, {warnings} warning{'s' * (warnings != 1)}, {faults} fault{'s' * (faults != 1)}"


def examine(groups: Sequence[Group], probes: Probes, on_result: Callable[[Result], None] | None = None) -> Diagnosis:
    """Run the checks of groups.

    Parameters
    ----------
    groups : sequence of Group
    probes : Probes
    on_result : callable, optional
        Gets the findings of each group as soon as they are there.

    Raises
    ------
    Cancelled
        If the probes were closed meanwhile.
    """
    results = []
    for group in groups:
        if probes.closed:
            raise Cancelled("the examination was stopped")
        findings = {check.name: finding for check in group.checks if (finding := _run(check, probes)) is not None}
        results.append(Result(group.title, findings, group.named))
        if on_result is not None:
            on_result(results[-1])
    return Diagnosis(results)


def _run(check: Check, probes: Probes) -> Finding | None:
    """Run a check; one that fails itself is a fault, and the others go on."""
    try:
        return check.run(probes)
    except ImportError as error:
        return warning(f"the check {check.name!r} cannot be made: {error}", "mend the installation first")
    except Exception as error:
        text = " ".join(str(error).split())[:300]
        return fault(
            f"the check {check.name!r} itself failed: {type(error).__name__}: {text}",
            "report this with nh2st doctor --report FILE",
        )
