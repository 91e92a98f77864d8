"""Driving a run: who may drive it, what is committed, and what others ask of the driver."""

from __future__ import annotations

from neurocore.persistence.contract.runs import MANY, Runs, defaults_lock
from neurocore.persistence.projections import complete, fold, merged, progress_of, refuse_if_held, with_events
from neurocore.persistence.records import (
    Ended,
    Event,
    Owed,
    Recorded,
    RunRecord,
    RunStatus,
    Signals,
    Transition,
    signals_of,
)


class Driving(Runs):
    """Claim a run, commit its progress, and pass requests to its driver."""

    def claim(self, run_id: str, *, owner: str, expected_epoch: int, expected_owner: str | None = None) -> int | None:
        """Claim the right to drive the run: compare-and-set on its epoch and owner, raising the epoch by one.

        Also sets `status` to running and `owner`, and clears `owed` and what a failure left (`error`, `failure`,
        `finished_at`, and a `cancel_requested` that came too late; that of a run that has not ended stays). Returns the
        new epoch, or None when another process claimed first. Whether an owner is alive is the caller's question
        (`ownership`). Raises RunHeld for a held run, like every method that moves a run.
        """
        with defaults_lock:
            run = self.load_run(run_id)
            if run is None or (run.epoch, run.owner) != (expected_epoch, expected_owner):
                return None
            refuse_if_held(run_id, run.held)
            run.epoch += 1
            run.owner = owner
            run.owed = None
            run.cancel_requested = None if run.status.ended else run.cancel_requested
            run.status = RunStatus.RUNNING
            run.finished_at = run.error = run.failure = None
            run.updated_at = self.clock.now()
            run.version += 1
            self.save_run(run)
            return run.epoch

    def commit(self, transition: Transition) -> Signals:
        """Write a transition. Raises `ClaimLost` when the run is not under its claim, or does not exist.

        Steps are saved before the run row, later ones first, so that a crash in between leaves rows that do not fit the
        run yet and are ignored, never a run that refers to a missing step.
        """
        with defaults_lock:
            stored = self.load_run(transition.run.run_id)
            run = merged(stored, transition)
            if run is None:
                return Signals(
                    epoch=transition.run.epoch,
                    owner=transition.owner,
                    cancel_requested=stored.cancel_requested if stored else None,
                    owed=Owed.DECISION,
                    version=stored.version if stored else 0,
                )
            for step in sorted(transition.steps, key=lambda step: -step.step_index):
                self.save_step(step)
            if run.status is not RunStatus.RUNNING:
                complete(run, self.load_steps(run.run_id))
            self.save_run(run)
            return signals_of(run)

    def signals(self, run_id: str) -> Signals | None:
        """Return what the driver must notice, as cheaply as the backend can; None when the run is gone."""
        run = self.load_run(run_id)
        if run is None:
            return None
        return signals_of(run)

    def request_cancel(self, run_id: str, *, event: Event) -> bool:
        """Ask the driver of the run to stop; `cancel_requested` gets `event.who`.

        Returns False, and changes nothing, when the run has ended.
        """
        with defaults_lock:
            run = self.load_run(run_id)
            if run is None or run.status.ended:
                return False
            refuse_if_held(run_id, run.held)
            run.cancel_requested = event.who or "?"
            run.events = with_events(run, event)
            run.version += 1
            self.save_run(run)
            return True

    def request_resume(self, run_id: str, *, event: Event) -> bool:
        """Record who wants the run to continue, and with what (`event`).

        A failed run is then owed a resume, and so is a run that waits for its start, and a suspended one that is to
        continue with another definition.

        Returns False, and changes nothing, when the run has finally ended.
        """
        with defaults_lock:
            run = self.load_run(run_id)
            if run is None or run.status in (RunStatus.COMPLETED, RunStatus.CANCELLED):
                return False
            refuse_if_held(run_id, run.held)
            redefines = run.status is RunStatus.SUSPENDED and event.definition is not None
            if run.status is RunStatus.FAILED or run.owed == Owed.START or redefines:
                run.owed = Owed.RESUME
            run.events = with_events(run, event)
            run.version += 1
            self.save_run(run)
            return True

    def set_owed(
        self,
        run_id: str,
        owed: Owed | None,
        *,
        event: Event | None = None,
        claim: tuple[int, str | None] | None = None,
    ) -> None:
        """Mark a run as owed (or not), outside the loop; a completed or cancelled run is left alone.

        With `claim` (an epoch and an owner), the run is also left alone when it is no longer under that claim.
        """
        with defaults_lock:
            run = self.load_run(run_id)
            if (
                run is not None
                and run.status not in (RunStatus.COMPLETED, RunStatus.CANCELLED)
                and claim in (None, (run.epoch, run.owner))
            ):
                refuse_if_held(run_id, run.held)
                run.owed = owed
                run.events = with_events(run, event) if event else run.events
                run.version += 1
                self.save_run(run)

    def active_runs(self) -> list[RunRecord]:
        """Return runs that are running or owed, and not held (narrow): those that a sweep checks."""
        runs = self.list_runs(limit=MANY)
        return [run for run in runs if (run.status == RunStatus.RUNNING or run.owed) and run.held is None]

    def count_unbegun(self, started_by: str) -> int:
        """Return how many runs somebody of this name has started that no process has begun to drive."""
        return sum(run.owed == Owed.START and run.started_by == started_by for run in self.active_runs())

    def load_ended(self, run_id: str) -> list[Ended]:
        """Return the steps that ended their visit, in the order of commits: where a run is in its plan."""
        return progress_of(self.load_steps(run_id))[0]

    def load_recorded(self, run_id: str) -> Recorded:
        """Return everything that a driver continues from; empty for a missing run."""
        inputs, steps = self.load_inputs(run_id), self.load_steps(run_id)
        ended, others = progress_of(steps)
        return Recorded(inputs=inputs, context=fold(inputs, steps), ended=ended, others=others)
