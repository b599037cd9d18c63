"""A local ASAPP: try DAGs before ASAPP has given access, and test against it. Never for real data: it is plain HTTP.

As a command: `python -m airflow_provider_asapp.simulator --port 8080`. In a test::

    with Simulator() as asapp:
        asapp.misbehave(Fault(requests={1}, status=503))
        ...
        assert len(asapp.ledger.held("conversation")) == 100

Needs no Airflow.
"""

from .faults import Fault
from .ledger import Ledger, ReceivedRequest
from .simulator import Simulator

__all__ = ["Fault", "Ledger", "ReceivedRequest", "Simulator"]
