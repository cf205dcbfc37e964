#!/usr/bin/env python3
"""Relay on loopback that lets at most so many bytes a second pass upwards, all connections together.

relay.py PORT TARGET-PORT BYTES-PER-SECOND
"""
import socket, sys, threading, time

PIECE = 64 << 10
port, target, rate = map(int, sys.argv[1:])
lock, free_at = threading.Lock(), 0.0


def wait(count):
    """Waits until these bytes may pass."""
    global free_at
    with lock:
        free_at = max(free_at, time.monotonic()) + count / rate
        pause = free_at - time.monotonic()
    if pause > 0:
        time.sleep(pause)


def pump(source, sink, is_limited):
    try:
        while data := source.recv(PIECE):
            if is_limited:
                wait(len(data))
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)
    except OSError:
        pass


def connect(client):
    with client, socket.create_connection(("127.0.0.1", target)) as server:
        down = threading.Thread(target=pump, args=(server, client, False))
        down.start()
        pump(client, server, True)
        down.join()


listener = socket.create_server(("127.0.0.1", port))
while True:
    threading.Thread(target=connect, args=(listener.accept()[0],), daemon=True).start()
