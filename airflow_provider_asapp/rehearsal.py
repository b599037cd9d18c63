"""What a submission would come to: the same source, rules, rejects and limits, and not one request."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import closing
from itertools import chain, islice
from typing import Any

from airflow_provider_asapp.accounting import Ledger
from airflow_provider_asapp.errors import AsappTooManyRejected
from airflow_provider_asapp.pacing import Clock
from airflow_provider_asapp.pages import Source
from airflow_provider_asapp.policy import Options, hopeless_source, limit_exceeded, requests_for
from airflow_provider_asapp.rejects import RejectsFolder
from airflow_provider_asapp.resume import checked
from airflow_provider_asapp.validation import Validator

log = logging.getLogger(__name__)

STRETCH = 1000


def rehearse(
    source: Source,
    *,
    validator: Validator,
    options: Options,
    rejects: RejectsFolder | None = None,
    breathe: Callable[[], None] = lambda: None,
) -> dict[str, Any]:
    """Validate every record, send nothing, and return the report.

    :param breathe: called every 1000 records; raises to end the rehearsal.
    :return: ``entity``, ``read``, ``valid``, ``invalid``, ``requests`` that sending would take, and ``rejects``, the
        folder of the invalid records or None. ``read`` is the sum of ``valid`` and ``invalid``.
    :raises AsappSourceError: a column is no field.
    :raises AsappTooManyRejected: more are invalid than the limits allow, or all of the first 1000.
    """
    if rejects:
        rejects.clear()
    ledger = Ledger(validator.entity.name, rejects, Clock())
    read = valid = 0
    with closing(checked(source, validator)) as pages:
        records = chain.from_iterable(pages)
        while part := list(islice(records, STRETCH)):
            stretch = ledger.begin(part[0].position)
            items = stretch.take(part)
            stretch.accept(len(items))  # Nobody asked ASAPP, but the ledger waits for an outcome.
            stretch.close("")
            valid += len(items)
            read += len(part)
            ledger.confirm()
            breathe()
            if hopeless_source(read=read, valid=valid):
                break
    return _judged(_report(validator, options, rejects, read=read, valid=valid), options, ledger)


def _report(
    validator: Validator, options: Options, rejects: RejectsFolder | None, *, read: int, valid: int
) -> dict[str, Any]:
    return {
        "entity": validator.entity.name,
        "read": read,
        "valid": valid,
        "invalid": read - valid,
        "requests": requests_for(valid, options.batch_size),
        "rejects": str(rejects.folder) if rejects and read > valid else None,
    }


def _judged(report: dict[str, Any], options: Options, ledger: Ledger) -> dict[str, Any]:
    """Return the report if the limits allow what it says."""
    ledger.say_end()
    log.info("Records read: {read} ({valid} valid, {invalid} invalid). Nothing was sent.".format(**report))
    if hopeless_source(read=report["read"], valid=report["valid"]):
        raise AsappTooManyRejected(
            f"The first {report['read']} records are all invalid: this is a wrong mapping rather than bad rows.",
            report=report,
        )
    exceeded = limit_exceeded(
        read=report["read"],
        rejected=report["invalid"],
        max_rejected=options.max_rejected,
        max_rejected_ratio=options.max_rejected_ratio,
    )
    if exceeded:
        raise AsappTooManyRejected(f"{exceeded}. Nothing was sent.", report=report)
    return report
