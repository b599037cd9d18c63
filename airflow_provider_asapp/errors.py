"""Every error this package raises, named by what its reader can do about it.

::

    AsappError
    ├── AsappFatalError              a person must act first: never retried
    │   ├── AsappConfigurationError  a connection or a parameter is wrong; nothing was sent
    │   ├── AsappSourceError         the source's columns do not fit the entity; nothing was sent
    │   └── AsappAccessError         401, 403, 404, a redirect, another undocumented 4xx
    ├── AsappRetryableError          the same call can succeed later: Airflow retries it
    │   ├── AsappUnavailableError    5xx, time-outs, broken connections, answers that can't be read
    │   ├── AsappQueryError          the warehouse's query failed
    │   ├── AsappQuotaExhausted      the day's requests are used up; ``resets_at`` says until when
    │   └── AsappStopped             the task is being stopped
    └── AsappRejectedError           the data is wrong: a retry can't mend it
        ├── AsappBatchRefused        ASAPP refused a request as a whole
        └── AsappTooManyRejected     more records were rejected than the policy allows

No error carries a header, a body or a record's value: its text can be logged and sent by mail.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any


class AsappError(Exception):
    """Root of this package's errors.

    :param message: one or two sentences: what happened, and what to do.
    :param status: HTTP status of ASAPP's answer, if there was one.
    :param code: ASAPP's error code such as ``400-03``.
    :param request_id: ASAPP's ``requestId``; their support asks for it.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        code: str | None = None,
        request_id: str | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.request_id = request_id


class AsappFatalError(AsappError):
    """Trying again changes nothing until a person acts."""


class AsappConfigurationError(AsappFatalError):
    """A connection or a parameter is wrong; nothing was sent."""


class AsappSourceError(AsappFatalError):
    """The source's columns or order do not fit; the message says which and what to do."""


class AsappAccessError(AsappFatalError):
    """ASAPP does not let this caller in: keys, permission, domain or a redirect."""


class AsappRetryableError(AsappError):
    """The same call can succeed later."""


class AsappUnavailableError(AsappRetryableError):
    """ASAPP gave no usable answer, also after the short waits."""


class AsappQueryError(AsappRetryableError):
    """The warehouse refused the query, or broke off; the message holds no value of a row."""


class AsappQuotaExhausted(AsappRetryableError):
    """The day's quota of requests is used up.

    :param resets_at: aware UTC datetime from which requests are answered again.
    """

    def __init__(self, message: str, *, resets_at: datetime | None = None, **details: Any) -> None:
        super().__init__(message, **details)
        self.resets_at = resets_at


class AsappStopped(AsappRetryableError):
    """The task is being stopped: no new request is made."""


class AsappRejectedError(AsappError):
    """The data is wrong: a retry can't mend it."""


class AsappBatchRefused(AsappRejectedError):
    """ASAPP refused a request as a whole and did not say which item is to blame."""


class AsappTooManyRejected(AsappRejectedError):
    """More records were rejected than the policy allows; everything valid was delivered.

    :param report: the report of the submission, a flat dict.
    """

    def __init__(self, message: str, *, report: dict[str, Any] | None = None, **details: Any) -> None:
        super().__init__(message, **details)
        self.report = report
