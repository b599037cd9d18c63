"""Operators that submit records to ASAPP and account for each of them.

Airflow imports this module whenever it parses a DAG: the hook and the core are imported when a task runs.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Iterable, Mapping, Sequence, Sized
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal, NoReturn

from airflow.providers.common.compat.sdk import (
    AirflowFailException,
    AirflowSkipException,
    BaseOperator,
    XComArg,
    conf,
)

from airflow_provider_asapp.errors import (
    AsappConfigurationError,
    AsappFatalError,
    AsappQuotaExhausted,
    AsappRejectedError,
)
from airflow_provider_asapp.policy import Options

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_asapp.hooks import AsappHook
    from airflow_provider_asapp.lineage import Lineage
    from airflow_provider_asapp.pages import Source
    from airflow_provider_asapp.stores import Store

EntityName = Literal["conversation", "agent", "customer"]
# Seconds after the quota's return over which deferred tasks are spread.
JITTER = 120.0


class AsappSubmitOperator(BaseOperator):
    """What all operators of this package do with records, wherever they come from.

    ``execute`` returns the report, a flat dict: ``entity``, ``read``, ``accepted``, ``already_persisted``, ``invalid``,
    ``refused``, ``requests`` and ``rejects``. ``read`` is the sum of the four counts, or the task fails.

    :param entity: ``conversation``, ``agent`` or ``customer``.
    :param asapp_conn_id: id of the connection of type ASAPP.
    :param field_map: source name to API name, for columns that are called otherwise.
    :param unknown: a column that is no field fails the task before anything is sent (``raise``), is left out
        (``exclude``), or is sent as a name/value pair (``attributes``).
    :param batch_size: most items of a request, 1 to 1000. A request is what ASAPP's daily quota counts.
    :param max_rejected: most records that may be rejected; more fail the task, after all valid ones were delivered,
        and without an Airflow retry. None is no limit; the default does not apply where only the ratio is given.
    :param max_rejected_ratio: highest share of rejected records, 0 to 1; None is no limit.
    :param rejects_path: folder for the rejected records as JSON lines, on any storage that Airflow's
        ObjectStoragePath knows; dag, run, task and map index are added. It will hold personal data.
    :param max_in_flight: most requests under way at once.
    :param max_isolation_requests: most requests that the task may spend on finding which item of a refused batch is to
        blame.
    :param on_empty: what a source without a record means: ``succeed``, ``skip`` or ``fail``.
    :param validate_only: send nothing; the report has ``read``, ``valid``, ``invalid`` and the ``requests`` it would
        take.
    :param deferrable: once ASAPP's daily quota is used up, free the worker's slot until it returns, and go on then.
        Default: Airflow's ``[operators] default_deferrable``. Without, the task fails and says when it returns.
    """

    template_fields: Sequence[str] = ("asapp_conn_id", "rejects_path")
    ui_color = "#e6e9ff"

    def __init__(
        self,
        *,
        entity: EntityName,
        asapp_conn_id: str = "asapp_default",
        field_map: Mapping[str, str] | None = None,
        unknown: Literal["raise", "exclude", "attributes"] = "raise",
        batch_size: int = 1000,
        max_rejected: int | None = 0,
        max_rejected_ratio: float | None = None,
        rejects_path: str | None = None,
        max_in_flight: int = 4,
        max_isolation_requests: int = 1000,
        on_empty: Literal["succeed", "skip", "fail"] = "succeed",
        validate_only: bool = False,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        check_choice("entity", entity, ("conversation", "agent", "customer"))
        check_choice("unknown", unknown, ("raise", "exclude", "attributes"))
        check_choice("on_empty", on_empty, ("succeed", "skip", "fail"))
        # Made here for its checks: a wrong number shows when the DAG is parsed, not at night.
        Options(
            batch_size=batch_size,
            max_in_flight=max_in_flight,
            max_rejected=max_rejected,
            max_rejected_ratio=max_rejected_ratio,
            max_isolation_requests=max_isolation_requests,
        )
        self.entity = entity
        self.asapp_conn_id = asapp_conn_id
        self.field_map = field_map
        self.unknown = unknown
        self.batch_size = batch_size
        self.max_rejected = max_rejected
        self.max_rejected_ratio = max_rejected_ratio
        self.rejects_path = rejects_path
        self.max_in_flight = max_in_flight
        self.max_isolation_requests = max_isolation_requests
        self.on_empty = on_empty
        self.validate_only = validate_only
        self.deferrable = deferrable
        self._hook: AsappHook | None = None
        self._report: dict[str, Any] | None = None

    @property
    def expected(self) -> int | None:
        """Number of records, where it is known before they are read."""
        return None

    def source(self) -> Source:
        """Return a callable that opens the source from its start and yields its pages."""
        raise NotImplementedError

    def execute(self, context: Context) -> dict[str, Any]:
        """Deliver the source's valid records and return the report.

        :raises AirflowFailException: the data or the set-up is wrong, which a retry can't mend.
        :raises AsappRetryableError: ASAPP or the source can't be reached; Airflow's retries apply.
        """
        return self._deliver(context)

    def _deliver(self, context: Context) -> dict[str, Any]:
        from airflow_provider_asapp.stores import store_of

        # A rehearsal keeps no checkpoint.
        store = None if self.validate_only else store_of(context)
        try:
            return self._judged(self._told(self._submit(context, store), context))
        except (AsappFatalError, AsappRejectedError) as error:
            if report := self._told(getattr(error, "report", None), context):
                self._keep(report, context)
            raise AirflowFailException(str(error)) from None
        except AsappQuotaExhausted as quota:
            if not self.deferrable or quota.resets_at is None or store is None:
                raise
            # Not all tasks of all companies in the same second.
            moment = quota.resets_at + timedelta(seconds=random.uniform(0, JITTER))  # noqa: S311 - no secret
            self._raise_if_ended_before(moment, quota, context)
            store.keep_over_deferral()
            self._defer_until(moment)

    def resume(self, context: Context, event: Any = None, **_: Any) -> dict[str, Any]:  # noqa: ARG002
        """Go on from the checkpoint, after the quota's return."""
        # Not execute(): Airflow 2.11 takes a call of it from here for one operator that runs another.
        return self._deliver(context)

    def _submit(self, context: Context, store: Store | None) -> dict[str, Any]:
        from airflow_provider_asapp.hooks import AsappHook, Run

        self._hook = AsappHook(self.asapp_conn_id)
        return self._hook.submit(
            self.source(),
            entity=self.entity,
            field_map=self.field_map,
            unknown=self.unknown,
            batch_size=self.batch_size,
            max_rejected=self.max_rejected,
            max_rejected_ratio=self.max_rejected_ratio,
            rejects_path=self.rejects_path,
            max_in_flight=self.max_in_flight,
            max_isolation_requests=self.max_isolation_requests,
            validate_only=self.validate_only,
            run=Run.of(context),
            store=store,
            expected=self.expected,
        )

    def _told(self, report: Any, context: Context) -> Any:
        """Return the report, if there is one, after it was told to those who watch."""
        from airflow_provider_asapp.seen import tell

        if report:
            self._report = report
            tell(report, context=context, outlets=self.outlets)
        return report

    def _keep(self, report: Mapping[str, Any], context: Context) -> None:
        """Leave the report where it would be if the task had not failed: it says where the rejects are."""
        from airflow_provider_asapp.seen import keep

        if self.do_xcom_push:
            keep(report, context)

    def _judged(self, report: dict[str, Any]) -> dict[str, Any]:
        if report["read"] or self.on_empty == "succeed":
            return report
        text = f"The source holds no {self.entity}, and on_empty is {self.on_empty}."
        raise AirflowSkipException(text) if self.on_empty == "skip" else AirflowFailException(text)

    def _raise_if_ended_before(self, moment: datetime, quota: AsappQuotaExhausted, context: Context) -> None:
        from airflow_provider_asapp.compat import end_of_deferral

        end = end_of_deferral(self, context.get("ti"))
        if end is not None and end <= moment:
            message = (
                f"{quota} Not deferred: in this Airflow the task's execution_timeout ({self.execution_timeout}) goes "
                "on counting while it is deferred, and would end it first. Give it a longer one, or none."
            )
            raise AsappQuotaExhausted(message, resets_at=quota.resets_at, status=quota.status) from None

    def _defer_until(self, moment: datetime) -> NoReturn:
        from airflow_provider_asapp.compat import date_time_trigger

        self.log.info("ASAPP's quota for the day is used up: deferred until %s.", moment.isoformat(timespec="seconds"))
        self.defer(trigger=date_time_trigger()(moment=moment), method_name="resume")
        raise AssertionError("defer() raises")

    def get_openlineage_facets_on_complete(self, task_instance: Any) -> Lineage:  # noqa: ARG002
        """Return where the records came from and how many are where now; of a failed task too, if it has a report."""
        from airflow_provider_asapp.lineage import declared, written

        lineage = self.lineage_of_source()
        lineage.inputs = declared(self.inlets, beside=lineage.inputs)
        if self._hook and self._report:
            domain = None if self.validate_only else self._hook.get_conn().domain
            lineage.outputs = written(domain, self._report, self.rejects_path)
        return lineage

    def lineage_of_source(self) -> Lineage:
        """Return what OpenLineage is told of the source: nothing of records that another task made."""
        from airflow_provider_asapp.lineage import Lineage

        return Lineage()

    def on_kill(self) -> None:
        """End all waits and start no new request."""
        if self._hook:
            # From a thread: Airflow calls this in a signal handler, which may have interrupted the very lock it needs.
            threading.Thread(target=self._hook.stop, daemon=True).start()


class AsappMetadataOperator(AsappSubmitOperator):
    """Submits records at hand, or those that an upstream task returned (``records=upstream.output``).

    :param records: mappings of field to value; Jinja in them is not rendered. Airflow stores what tasks return, and
        literal lists in ``partial()`` and ``expand()``: for more than some thousand records use a transfer.
    """

    template_fields: Sequence[str] = ("records", *AsappSubmitOperator.template_fields)

    def __init__(self, *, records: Iterable[Mapping[str, Any]] | XComArg, entity: EntityName, **kwargs: Any) -> None:
        super().__init__(entity=entity, **kwargs)
        self.records = records if to_be_rendered(records) else Veiled(records)

    def _do_render_template_fields(self, *args: Any, **kwargs: Any) -> None:
        """Render, and keep the records out of what Airflow then stores and shows as rendered fields.

        A mapped task is rendered by this method alone, past ``render_template_fields``.
        """
        super()._do_render_template_fields(*args, **kwargs)
        if not isinstance(self.records, Veiled):
            self.records = Veiled(self.records)

    @property
    def expected(self) -> int | None:
        """Number of the records, if they have one."""
        records = self.records.records if isinstance(self.records, Veiled) else self.records
        return len(records) if isinstance(records, Sized) else None

    def source(self) -> Source:
        """Return the records as a source.

        :raises AsappConfigurationError: they are no iterable of records.
        """
        from airflow_provider_asapp.hooks import source_of

        return source_of(self.records.records if isinstance(self.records, Veiled) else self.records)


class Veiled:
    """Records that show no more than their number where Airflow shows a task's fields.

    Not a list: Airflow writes lists out before it asks an object how it wants to be shown.

    :param records: what is veiled, whatever it is.
    """

    def __init__(self, records: Any) -> None:
        self.records = records

    def __repr__(self) -> str:
        return self.serialize()

    def serialize(self) -> str:
        """Return what Airflow shows."""
        count = f"{len(self.records)} " if isinstance(self.records, Sized) else ""
        return f"<{count}records, not shown>"


def to_be_rendered(records: Any) -> bool:
    """Tell whether Airflow makes the records of this when the task runs: of a task's output, or of Jinja."""
    is_reference = isinstance(records, str) or hasattr(records, "resolve")
    return is_reference or any(True for _ in XComArg.iter_xcom_references(records))


def check_choice(name: str, value: str, choices: tuple[str, ...]) -> None:
    """Return if the value is one of the choices: a typo shows when the DAG is parsed.

    :raises AsappConfigurationError: it is none.
    """
    if value not in choices:
        raise AsappConfigurationError(f"{name}={value!r}: must be one of {', '.join(choices)}.")
