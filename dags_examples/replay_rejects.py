"""Send records again that were rejected and that somebody has mended. Triggered by hand.

How to: a task with a `rejects_path` says in its report (in XCom, `rejects` of its `return_value`) in which folder its
rejected records are, one JSON line for each. Copy the folder, mend in each line what `errors` complains about, in
`record` alone, and delete the lines that need not be sent. Then trigger this DAG with the copy. It reads CSV and plain
JSON lines as well. It needs the connection `asapp_default` of the type ASAPP (API Id and API Secret).
"""

from __future__ import annotations

from airflow.sdk import Param, dag

from airflow_provider_asapp.transfers import FileToAsappMetadataOperator


@dag(
    dag_id="replay_rejects",
    schedule=None,
    params={
        "folder": Param(
            type="string",
            minLength=1,
            title="Folder, file or glob",
            description="For example s3://connection@bucket/mended, or file:///data/mended/000000000001.jsonl",
        ),
    },
    tags=["asapp"],
    doc_md=__doc__,
)
def replay_rejects() -> None:
    """Send what lies in a folder."""
    FileToAsappMetadataOperator(
        task_id="replay",
        path="{{ params.folder }}",
        # As in the task that rejected them, and also its field_map and unknown, if it has any: a rejected record has
        # the names of its source.
        entity="conversation",
        asapp_conn_id="asapp_default",
        on_empty="fail",  # A person has asked for it: an empty folder is a mistake.
        # What is rejected again lies in a folder of this run, beside those of all other tasks. Nothing deletes what
        # was replayed: it is personal data, so do that once this has succeeded.
        rejects_path="{{ var.value.get('asapp_rejects_path', 'file://~/asapp-rejects') }}",
    )


replay_rejects()
