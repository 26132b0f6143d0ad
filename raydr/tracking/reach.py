"""Whether an MLflow store can be used, asked before anything is recorded in it."""

from raydr.tracking.runs import store_errors
from raydr.tracking.store import choose_store, open_client, without_credentials


def check_reach(*, uri: str | None, default_folder: str) -> str:
    """The store that runs would be recorded in, without credentials, after it has answered.

    An SQLite file is not opened: it may not be there yet, and lies beside the results.

    Args:
        uri: As of `open_tracker`.
        default_folder: As of `open_tracker`.

    Raises:
        InputError: The store cannot be used as named, or refuses.
        RunError: It does not answer.
    """
    store = choose_store(uri=uri, default_folder=default_folder).uri
    if not store.startswith("sqlite"):
        with store_errors(store):
            open_client(store).search_experiments(max_results=1)
    return without_credentials(store)
