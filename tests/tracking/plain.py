"""HTTP's verbs as httpx has them, without the certificates of authorities: reading those takes 30 ms a call, and no server here has one."""

import functools
import ssl
from collections.abc import Callable

import httpx

PLAIN = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
Verb = Callable[..., httpx.Response]


def _plain(verb: Verb) -> Verb:
    return functools.partial(verb, verify=PLAIN, trust_env=False)


delete, get, head, post, put = map(_plain, (httpx.delete, httpx.get, httpx.head, httpx.post, httpx.put))
