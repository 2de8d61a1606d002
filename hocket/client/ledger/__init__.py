"""Record what vendor calls cost, and read the sums.

`CostRecorder` is for services: it records cost events in the background, retries, and keeps them through a crash.
`LedgerClient` calls the ledger directly: it records events and returns sums for a period.

The words for money: a limit is *reserved* before a vendor call, the cost of the call is *recorded* after it as one cost
event, and a reservation or an estimate is *settled* when the vendor's own usage is known.
"""

from hocket.client.ledger.client import LEDGER_SERVICE, LedgerClient
from hocket.client.ledger.journal import CostJournal, EventOrigin
from hocket.client.ledger.recorder import CostObserver, CostRecorder

__all__ = ["LEDGER_SERVICE", "CostJournal", "CostObserver", "CostRecorder", "EventOrigin", "LedgerClient"]
