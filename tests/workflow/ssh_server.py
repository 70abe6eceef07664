"""A real SSH server on the loopback address, with SFTP, for one key: `python ssh_server.py HOST_KEY USER_KEY.pub`.

Prints its port once it listens.
"""

import asyncio
import sys

import asyncssh


async def serve(host_key, user_key):
    server = await asyncssh.listen(
        "127.0.0.1", 0, server_host_keys=[host_key], authorized_client_keys=user_key, sftp_factory=True
    )
    print(server.get_port(), flush=True)
    await server.wait_closed()


asyncio.run(serve(*sys.argv[1:]))
