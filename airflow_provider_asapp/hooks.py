"""The Airflow connection of type ``asapp``, and what a task does with it."""

from __future__ import annotations

import logging
import threading
from collections.abc import Generator, Iterable, Iterator, Mapping, Sized
from functools import cached_property
from itertools import chain
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from airflow.providers.common.compat.sdk import (
    AirflowException,
    AirflowNotFoundException,
    BaseHook,
    get_current_context,
)

from airflow_provider_asapp import compat
from airflow_provider_asapp.checkpoint import Store
from airflow_provider_asapp.client import AsappClient
from airflow_provider_asapp.connections import CONN_TYPE, client_of, environment, storage_path
from airflow_provider_asapp.errors import AsappConfigurationError, AsappError, AsappSourceError, AsappStopped
from airflow_provider_asapp.mapping import Unknown
from airflow_provider_asapp.pages import Page, Source, pages_of
from airflow_provider_asapp.policy import Options
from airflow_provider_asapp.rehearsal import rehearse
from airflow_provider_asapp.rejects import RejectsFolder
from airflow_provider_asapp.submission import submit
from airflow_provider_asapp.validation import NO_RUN, Validator

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

log = logging.getLogger(__name__)


class AsappHook(BaseHook):
    """Keeps ASAPP's credentials in an Airflow connection, and submits records with them.

    :param asapp_conn_id: id of the connection: login is the API Id, password the API Secret, host the API domain
        (empty: ASAPP's sandbox). Extras: ``timeout`` (seconds), ``requests_per_second``, ``ca_bundle`` (a path),
        ``allow_plain_http``.
    """

    conn_name_attr = "asapp_conn_id"
    default_conn_name = "asapp_default"
    conn_type = CONN_TYPE
    hook_name = "ASAPP"

    def __init__(self, asapp_conn_id: str = default_conn_name, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.asapp_conn_id = asapp_conn_id
        self._stopping = threading.Event()
        self._rejects_folders: set[str] = set()

    @staticmethod
    def get_ui_field_behaviour() -> dict[str, Any]:
        """Return how the connection form shows Airflow's own fields."""
        return compat.ui_field_behaviour()

    @staticmethod
    def get_connection_form_widgets() -> dict[str, Any]:
        """Return the connection form's extra fields."""
        return compat.connection_form_widgets()

    def get_conn(self) -> AsappClient:
        """Return the client that this connection describes, always the same one; close it when done.

        :raises AsappConfigurationError: the connection is of another type, or a value in it is missing or wrong.
        """
        return self._client

    @cached_property
    def _client(self) -> AsappClient:
        connection = self.get_connection(self.asapp_conn_id)
        try:
            client = client_of(connection)
        except AsappConfigurationError as error:
            raise AsappConfigurationError(f"Connection {self.asapp_conn_id}: {error}") from None
        log.info("Connection %s: %s.", self.asapp_conn_id, environment(client))
        return client

    def stop(self) -> None:
        """End a submission that is under way in another thread: no new request is made."""
        self._stopping.set()
        if "_client" in self.__dict__:
            self._client.stop()

    def _raise_if_stopping(self) -> None:
        if self._stopping.is_set():
            raise AsappStopped("The submission was stopped; a later try goes on or starts over.")

    def submit(
        self,
        records: Iterable[Mapping[str, Any]] | Source,
        *,
        entity: Literal["conversation", "agent", "customer"],
        field_map: Mapping[str, str] | None = None,
        unknown: Unknown = "raise",
        batch_size: int = 1000,
        max_rejected: int | None = 0,
        max_rejected_ratio: float | None = None,
        rejects_path: str | None = None,
        max_in_flight: int = 4,
        max_isolation_requests: int = 1000,
        validate_only: bool = False,
        run: Run | None = None,
        store: Store | None = None,
        expected: int | None = None,
    ) -> dict[str, Any]:
        """Deliver the valid records and return the report, in which every record is accounted for.

        Called in a task, the event ids and the folder of the rejects are those of its run.

        :param records: mappings of field to value, or a callable that opens a source of pages.
        :param entity: ``conversation``, ``agent`` or ``customer``.
        :param field_map: source name to API name, for columns that are called otherwise.
        :param unknown: ``raise`` refuses a column that is no field, ``exclude`` leaves it out, ``attributes`` sends it
            as a name/value pair.
        :param batch_size: most items of a request, 1 to 1000.
        :param max_rejected: most records that may be rejected before this raises; None is no limit. The default, 0,
            does not apply where only the ratio is given.
        :param max_rejected_ratio: highest share of rejected records, 0 to 1; None is no limit.
        :param rejects_path: folder (any that Airflow's ObjectStoragePath knows) for the rejected records as JSON
            lines; dag, run, task and map index are added. It will hold personal data.
        :param max_in_flight: most requests under way at once.
        :param max_isolation_requests: most requests to spend on finding which item of a refused batch is to blame.
        :param validate_only: send nothing; the report has ``read``, ``valid``, ``invalid`` and the ``requests`` that
            sending would take.
        :param run: whose run this is, if it is not that of the current task.
        :param store: where the checkpoint is kept, so that a retry goes on instead of starting over; in Airflow 3.3
            and later ``context["task_state_store"]``. One for each call: two submissions of a task can't share it.
        :param expected: number of records, where it is known; a list tells it itself.
        :return: ``entity``, ``read``, ``accepted``, ``already_persisted``, ``invalid``, ``refused``, ``requests``, and
            ``rejects``, the folder of the rejected records or None.
        :raises AsappConfigurationError: the connection or a parameter is wrong; nothing was sent.
        :raises AsappSourceError: a column is no field; nothing was sent.
        :raises AsappTooManyRejected: a limit is exceeded; all valid records were delivered.
        :raises AsappAccessError: ASAPP refuses these keys.
        :raises AsappRetryableError: ASAPP can't be reached, or the day's quota is used up.
        """
        options = Options(
            batch_size=batch_size,
            max_in_flight=max_in_flight,
            max_rejected=max_rejected,
            max_rejected_ratio=max_rejected_ratio,
            max_isolation_requests=max_isolation_requests,
        )
        run = run or Run.current()
        scope = "/".join(run.parts) if run else NO_RUN
        validator = Validator(entity, field_map=field_map, unknown=unknown, scope=scope)
        rejects = self._rejects(rejects_path, run, rehearsal=validate_only) if rejects_path else None
        source = source_of(records)
        if validate_only:
            return rehearse(
                source, validator=validator, options=options, rejects=rejects, breathe=self._raise_if_stopping
            )
        expected = len(records) if isinstance(records, Sized) else expected
        with self.get_conn() as client:
            self._raise_if_stopping()
            return submit(
                source,
                client=client,
                validator=validator,
                options=options,
                rejects=rejects,
                store=store,
                expected=expected,
            )

    def _rejects(self, path: str, run: Run | None, *, rehearsal: bool) -> RejectsFolder:
        # A rehearsal has a folder of its own: what a submission of the same run rejected must stay.
        folder = rejects_folder(str(path), run) + ("/validate_only" if rehearsal else "")
        if folder in self._rejects_folders:
            raise AsappConfigurationError(
                "rejects_path was used by an earlier submit of this hook, whose rejects would be replaced: "
                "give each its own."
            )
        self._rejects_folders.add(folder)
        return RejectsFolder(storage_path("rejects_path", folder))

    def test_connection(self) -> tuple[bool, str]:
        """Ask ASAPP's health check; return whether it is well, and in one line what is wrong if not. Never raises."""
        try:
            with client_of(self.get_connection(self.asapp_conn_id)) as client:
                client.health()
                return True, f"{environment(client)} is healthy and accepts these keys."
        except (AsappError, AirflowNotFoundException) as error:
            return False, str(error)
        except Exception as error:  # noqa: BLE001 - the UI shows the text unmasked, and others quote the connection
            return False, f"The connection {self.asapp_conn_id} can't be read or used: {type(error).__name__}."


class Run(NamedTuple):
    """Which task of which run this is: the scope of its event ids, and where its rejects lie."""

    dag_id: str
    run_id: str
    task_id: str
    map_index: int | None = None

    @property
    def parts(self) -> tuple[str, ...]:
        """What tells this task of this run from all others; a map index only if it is mapped."""
        parts = (self.dag_id, self.run_id, self.task_id)
        return parts if self.map_index is None else (*parts, str(self.map_index))

    @classmethod
    def current(cls) -> Run | None:
        """Return the run of the task that is executing in this process, None outside of one."""
        try:
            return cls.of(get_current_context())
        except (RuntimeError, AirflowException):  # what Airflow 3 and Airflow 2 raise outside of a task
            return None

    @classmethod
    def of(cls, context: Context) -> Run | None:
        """Return the run that a context describes, None for an empty one."""
        ti = context.get("ti")
        if ti is None:
            return None
        map_index = getattr(ti, "map_index", None)
        mapped = map_index if map_index is not None and map_index >= 0 else None
        return cls(ti.dag_id, ti.run_id, ti.task_id, mapped)


def rejects_folder(rejects_path: str, run: Run | None) -> str:
    """Return the folder that belongs to one task of one run, outside of a run the path itself."""
    return "/".join([rejects_path.rstrip("/"), *(run.parts if run else ())])


def source_of(records: Any) -> Source:
    """Return records at hand as a source; a callable opens them anew, as records or as pages.

    :raises AsappConfigurationError: they are no iterable of records.
    """
    if callable(records):
        return lambda: _opened(iter(records()))
    if isinstance(records, str | bytes | Mapping) or not isinstance(records, Iterable):
        raise AsappConfigurationError(
            f"records is a {type(records).__name__}: it must be a list or other iterable of mappings of field to "
            "value. Give an upstream task's output as records=upstream.output, not as a Jinja text."
        )
    return once(records) if isinstance(records, Iterator) else lambda: pages_of(records)


def _opened(records: Iterator[Any]) -> Generator[Page, None, None]:
    """Yield what a callable opened as pages, and close it at the end if it can be closed."""
    try:
        for first in records:
            rest = chain([first], records)
            yield from rest if isinstance(first, Page) else pages_of(rest)
    finally:
        if isinstance(records, Generator):
            records.close()


def once(records: Iterator[Any]) -> Source:
    """Return an iterator as a source: opened again it would go on in the middle, and what came before would be lost."""
    first = iter([records])

    def source() -> Generator[Page, None, None]:
        for rest in first:
            return pages_of(rest)
        raise AsappSourceError(
            "The records must be sent from their start again, but they are an iterator, which can be read only once. "
            "Give a list, or a callable that opens them anew each time."
        )

    return source
