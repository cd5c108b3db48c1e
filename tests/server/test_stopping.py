"""A server that is told to stop ends, also where a thread of it never does."""

import signal
import socket
import subprocess
import sys

BLOCKED = """
import asyncio, signal, sys, threading
from concurrent.futures import ThreadPoolExecutor
from modelyard.server.listening import serve
from modelyard.server.sockets import bound_socket

def block():
    print("blocked", flush=True)
    threading.Event().wait()

async def app(scope, receive, send):
    if scope["type"] == "http":
        await asyncio.get_running_loop().run_in_executor(pool, block)

async def close():
    print("closed", flush=True)

signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(0))
bound = bound_socket("127.0.0.1", 0)
print(bound.getsockname()[1], flush=True)
with ThreadPoolExecutor(1) as pool:
    serve(app, close, bound, end_within_s=0.5)
"""


def test_a_blocked_thread_does_not_keep_a_server_that_is_told_to_stop() -> None:
    with subprocess.Popen([sys.executable, "-c", BLOCKED], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        port = int(process.stdout.readline())
        with socket.create_connection(("127.0.0.1", port)) as client:
            client.sendall(b"GET / HTTP/1.1\r\nHost: here\r\n\r\n")
            assert process.stdout.readline() == "blocked\n"
            process.send_signal(signal.SIGTERM)
            try:
                said, warned = process.communicate(timeout=8)
            finally:
                process.kill()
    assert (said, process.returncode) == ("closed\n", 1)
    assert "given up" in warned
