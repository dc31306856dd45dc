"""Frames between host, routers and replicas arrive complete, are limited, and let other tasks run."""

import asyncio
import os
import socket

import pytest

from run_service.hosting.channel import Channel
from run_service.worker.frames import LENGTH, Frames, FrameTooLarge


async def test_a_channel_and_the_worker_read_each_others_frames():
    ours, theirs = socket.socketpair()
    channel, frames = Channel(ours), Frames(theirs)
    reader, writer = os.pipe()

    await channel.send(b'{"type":"connection"}', [reader])
    frames.send({"type": "ready", "digest": "ä"})

    message, descriptors = frames.receive()
    os.write(writer, b"x")
    assert (message, os.read(descriptors[0], 1)) == ({"type": "connection"}, b"x")
    assert await channel.receive() == '{"type":"ready","digest":"ä"}'.encode()
    frames.close()
    assert await channel.receive() is None


async def test_a_frame_above_the_limit_is_refused_from_its_header():
    ours, theirs = socket.socketpair()
    theirs.send(LENGTH.pack(101))

    with pytest.raises(FrameTooLarge, match="101 bytes is larger than the limit of 100"):
        await Channel(ours, 100).receive()


async def test_reading_a_frame_that_has_arrived_lets_other_tasks_run():
    ours, theirs = socket.socketpair()
    Frames(theirs).send({})
    ran = []
    asyncio.get_running_loop().call_soon(ran.append, True)

    await Channel(ours).receive()

    assert ran == [True]


async def test_a_half_sent_frame_is_completed_when_its_sender_is_canceled():
    ours, theirs = socket.socketpair()
    channel, peer = Channel(ours), Channel(theirs)
    large = asyncio.create_task(channel.send(b"x" * (4 << 20)))
    await asyncio.sleep(0)
    large.cancel()
    await asyncio.wait([large])
    following = asyncio.create_task(channel.send(b"{}"))

    assert len(await peer.receive()) == 4 << 20
    assert await peer.receive() == b"{}"
    await following
