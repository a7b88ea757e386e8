"""The library that speaks HTTP is imported when it is first needed, by whatever thread that is."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import socket, threading, time
from builder.errors import BuildError
from builder.net.client import Client, Failed, Patience
server = socket.create_server(("127.0.0.1", 0), backlog=40)
def ask(number):
    client = Client(threading.Event(), Patience(silence=0.1))
    time.sleep(number / 500)
    try:
        with client.exchange("GET", f"http://127.0.0.1:{server.getsockname()[1]}/"):
            pass
    except (BuildError, Failed):
        pass
threads = [threading.Thread(target=ask, args=(number,)) for number in range(30)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
server.close()
"""


def test_several_threads_may_be_the_first_to_connect() -> None:
    """As the downloads of one Dockerfile are: each used to see a part of the library that another was importing."""
    ran = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stderr) == (0, "")
