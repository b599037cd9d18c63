"""What a submission may do and cost: its options, and what rejected records mean, as pure functions of counts."""

from __future__ import annotations

from dataclasses import dataclass

from airflow_provider_asapp.errors import AsappConfigurationError

# ASAPP's limit for one request.
MAX_ITEMS = 1000
# So many records without one good one are not bad luck but a wrong mapping.
HOPELESS_AFTER = 1000
# A first batch of fewer that ASAPP refuses whole proves nothing yet.
TELLING_BATCH = 5


@dataclass(frozen=True, kw_only=True)
class Options:
    """How a submission is done, and what it may cost.

    :param batch_size: most items of a request, 1 to 1000.
    :param max_in_flight: most requests under way at once.
    :param max_rejected: most records that may be rejected; None is no limit.
    :param max_rejected_ratio: highest share of rejected records, 0 to 1; None is no limit.
    :param max_isolation_requests: most requests that a task may spend on finding which item of a refused batch is to
        blame.
    :raises AsappConfigurationError: a value out of its range.
    """

    batch_size: int = MAX_ITEMS
    max_in_flight: int = 4
    max_rejected: int | None = 0
    max_rejected_ratio: float | None = None
    max_isolation_requests: int = 1000

    @property
    def window(self) -> int:
        """Most valid records sent beyond the oldest that has no outcome.

        More than what can be under way: while one record waits to go again, new ones go on and keep it company.
        """
        return 3 * self.max_in_flight * self.batch_size

    def __post_init__(self) -> None:
        for name in ("batch_size", "max_in_flight", "max_rejected", "max_isolation_requests"):
            value = getattr(self, name)
            if type(value) is not int and not (value is None and name == "max_rejected"):
                raise AsappConfigurationError(f"{name}={value!r}: must be a whole number.")
        if not isinstance(self.max_rejected_ratio, int | float | None) or isinstance(self.max_rejected_ratio, bool):
            raise AsappConfigurationError(f"max_rejected_ratio={self.max_rejected_ratio!r}: must be a number, or None.")
        if not 1 <= self.batch_size <= MAX_ITEMS:
            raise AsappConfigurationError(f"batch_size={self.batch_size}: ASAPP takes 1 to {MAX_ITEMS} items.")
        if self.max_in_flight < 1:
            raise AsappConfigurationError(f"max_in_flight={self.max_in_flight}: must be at least 1.")
        if self.max_isolation_requests < 0:
            raise AsappConfigurationError(f"max_isolation_requests={self.max_isolation_requests}: must be at least 0.")
        if self.max_rejected is not None and self.max_rejected < 0:
            raise AsappConfigurationError(f"max_rejected={self.max_rejected}: must be at least 0, or None.")
        if self.max_rejected_ratio is not None and not 0 <= self.max_rejected_ratio <= 1:
            raise AsappConfigurationError(f"max_rejected_ratio={self.max_rejected_ratio}: must be from 0 to 1.")


def limit_exceeded(
    *, read: int, rejected: int, max_rejected: int | None, max_rejected_ratio: float | None
) -> str | None:
    """Return which limit is exceeded, in words, or None.

    :param max_rejected: highest count that is fine; None is no limit. 0, the default of the operators, does not apply
        beside a ratio: it would make the ratio pointless.
    :param max_rejected_ratio: highest share of the records read that is fine, 0 to 1; None is no limit.
    """
    if max_rejected == 0 and max_rejected_ratio is not None:
        max_rejected = None
    if max_rejected is not None and rejected > max_rejected:
        return f"{rejected} of {read} records were rejected, and max_rejected is {max_rejected}"
    if max_rejected_ratio is not None and read and rejected / read > max_rejected_ratio:
        return f"{rejected} of {read} records were rejected, and max_rejected_ratio is {max_rejected_ratio:g}"
    return None


def hopeless_source(*, read: int, valid: int) -> bool:
    """Tell whether so many records without a valid one show that the mapping is wrong."""
    return read >= HOPELESS_AFTER and valid == 0


def requests_for(valid: int, batch_size: int) -> int:
    """Return the requests that so many valid records take if nothing has to go again."""
    return -(-valid // batch_size)
