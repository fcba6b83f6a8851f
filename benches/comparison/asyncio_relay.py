"""A relay as a Python programmer writes it first: asyncio's streams, one task for each direction.

Usage: ``python asyncio_relay.py tcp:PORT|unix:PATH tcp:PORT|unix:PATH``, on the loopback address.
"""

import asyncio
import contextlib
import sys

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    writer.write_eof()


async def _connect(target: str) -> Streams:
    kind, _, place = target.partition(":")
    if kind == "tcp":
        return await asyncio.open_connection("127.0.0.1", int(place))
    return await asyncio.open_unix_connection(place)


async def _serve(listen: str, target: str) -> None:
    async def join(near_reader: asyncio.StreamReader, near_writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            far_reader, far_writer = await _connect(target)
            with contextlib.closing(near_writer), contextlib.closing(far_writer):
                await asyncio.gather(_pump(near_reader, far_writer), _pump(far_reader, near_writer))

    kind, _, place = listen.partition(":")
    if kind == "tcp":
        server = await asyncio.start_server(join, "127.0.0.1", int(place), backlog=4096)
    else:
        server = await asyncio.start_unix_server(join, place, backlog=4096)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_serve(sys.argv[1], sys.argv[2]))
