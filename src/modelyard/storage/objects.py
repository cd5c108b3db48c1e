"""Object stores by address: a directory, S3, Google Cloud Storage, Azure. Owns their options, time limits and retries."""

from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from obstore.exceptions import BaseError, UnknownConfigurationKeyError
from obstore.store import LocalStore, ObjectStore, from_url

from modelyard.core.errors import InvalidInput

if TYPE_CHECKING:
    from obstore.store import ClientConfig, RetryConfig

CLIENT_OPTIONS = frozenset({"allow_http", "allow_invalid_certificates", "proxy_url", "connect_timeout", "read_timeout", "timeout"})
# A body may take long, silence may not.
CLIENT: "ClientConfig" = {"connect_timeout": timedelta(seconds=5), "read_timeout": timedelta(seconds=30), "timeout": timedelta(hours=1)}
RETRY: "RetryConfig" = {"max_retries": 4, "retry_timeout": timedelta(seconds=30)}


def local_folder(url: str) -> Path | None:
    """The folder that `file:///folder` names, None for another address."""
    return Path(url.removeprefix("file://")) if url.startswith("file://") else None


def open_objects(url: str, options: Mapping[str, str]) -> ObjectStore:
    """The store at `file:///folder`, which must be there, `s3://bucket/prefix`, `gs://...` or `az://...`. Raises InvalidInput."""
    folder = local_folder(url)
    if folder is not None:
        return LocalStore(folder)
    client = CLIENT | {key: value for key, value in options.items() if key in CLIENT_OPTIONS}
    config = {key: value for key, value in options.items() if key not in CLIENT_OPTIONS}
    try:
        return from_url(url, config=config, client_options=client, retry_config=RETRY)  # type: ignore[call-overload, no-any-return] # checked there
    except (BaseError, ValueError) as error:
        named = "an option" if isinstance(error, UnknownConfigurationKeyError) else "the address"
        raise InvalidInput(
            f"{named} of the storage is wrong: {first_line(error)}", hint="write file:///folder or s3://bucket/prefix; see docs/settings.md"
        ) from error


def first_line(error: Exception) -> str:
    """What an error says, without the dump that follows."""
    return str(error).partition("\n")[0][:400]
