"""A name server that knows one name, and a receiver over TLS that has it.

names.py NAME ADDRESS DIR: in DIR are cert.pem and key.pem.
"""

import socket
import ssl
import sys
import threading

NAME, ADDRESS, DIR = sys.argv[1:]


def question(query):
    """The name that is asked for, the type, and where the question ends."""
    labels, at = [], 12
    while length := query[at]:
        labels.append(query[at + 1 : at + 1 + length].decode())
        at += 1 + length
    return ".".join(labels).lower(), int.from_bytes(query[at + 1 : at + 3], "big"), at + 5


def answer(query):
    name, kind, end = question(query)
    known = name == NAME
    # An answer, without an error, or that there is no such name.
    flags = b"\x81\x80" if known else b"\x81\x83"
    # An address of the name in the question, of version 4, for a minute.
    records = b""
    if known and kind == 1:
        records = b"\xc0\x0c\0\x01\0\x01\0\0\0\x3c\0\x04" + socket.inet_aton(ADDRESS)
    count = b"\0\x01" if records else b"\0\0"
    return query[:2] + flags + b"\0\x01" + count + b"\0\0\0\0" + query[12:end] + records


def serve_names(server):
    while True:
        query, client = server.recvfrom(512)
        server.sendto(answer(query), client)


names = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
names.bind((ADDRESS, 53))
threading.Thread(target=serve_names, args=(names,), daemon=True).start()

context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(f"{DIR}/cert.pem", f"{DIR}/key.pem")
listener = socket.create_server((ADDRESS, 443))
print("listening", flush=True)
while True:
    connection, _ = listener.accept()
    try:
        with context.wrap_socket(connection, server_side=True) as stream:
            received = b""
            while not received.endswith(b"}"):
                received += stream.recv(4096)
            stream.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")
    except (ssl.SSLError, ConnectionError) as error:
        print(error, file=sys.stderr, flush=True)
