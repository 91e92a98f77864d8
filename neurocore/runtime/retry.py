"""When a failed attempt is tried again: the blueprint's `retry:`, else what the skill declares."""

from __future__ import annotations

from msgspec import Struct

from neurocore.errors import CodecError, ConditionError, ConfigError
from neurocore.runtime.attempt import Attempt

#: Failures that another attempt cannot change.
NEVER = (CodecError, ConditionError, ConfigError)


class RetryPolicy(Struct, frozen=True):
    """At most `max` retries; `delay` seconds before the first, doubled each time up to `max_delay`.

    `classes` (from a skill) or `names` (from a blueprint) limit which exceptions are retried; both empty means any.
    """

    max: int = 0
    delay: float = 1.0
    max_delay: float = 60.0
    classes: tuple[type[BaseException], ...] = ()
    names: tuple[str, ...] = ()

    @classmethod
    def of(cls, attempt: Attempt) -> RetryPolicy:
        """Return the policy for this attempt."""
        retry = attempt.node.retry
        if retry is not None:
            return cls(max=retry.max, delay=retry.delay, max_delay=retry.max_delay, names=tuple(retry.on))
        if attempt.instance is None:
            return cls()
        meta = attempt.instance.skill.skill_meta
        return cls(
            max=meta.max_retries,
            delay=meta.retry_delay_base,
            max_delay=meta.retry_delay_max,
            classes=tuple(meta.retry_on),
        )

    def covers(self, error: BaseException) -> bool:
        """Return whether this failure may be retried."""
        if isinstance(error, NEVER):
            return False
        if self.classes:
            return isinstance(error, self.classes)
        return not self.names or any(kind.__name__ in self.names for kind in type(error).__mro__)
