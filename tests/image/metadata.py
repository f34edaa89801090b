"""A metadata service whose answers may make a few hops only.

It has nothing to announce, or, with a second argument, that the machine goes in two minutes.
"""

import socket
import sys
import threading
import time

HOPS = int(sys.argv[1])
ANSWERS = {
    "/latest/api/token": "a-token",
    "/latest/meta-data/instance-id": "i-0123456789abcdef0",
    "/latest/meta-data/instance-life-cycle": "spot",
}
if sys.argv[2:] and sys.argv[2]:
    end = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 120))
    ANSWERS["/latest/meta-data/spot/instance-action"] = (
        '{"action": "terminate", "time": "' + end + '"}'
    )


def serve(connection):
    # The connection was made with the system's own limit; EC2's limit is the answers'.
    connection.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, HOPS)
    received = b""
    while data := connection.recv(4096):
        received += data
        while b"\r\n\r\n" in received:
            head, received = received.split(b"\r\n\r\n", 1)
            path = head.split(b" ")[1].decode().split("?")[0]
            body = ANSWERS.get(path)
            status = "404 Not Found" if body is None else "200 OK"
            headers = f"HTTP/1.1 {status}\r\nContent-Length: {len(body or '')}\r\n"
            headers += "X-aws-ec2-metadata-token-ttl-seconds: 21600\r\n\r\n"
            connection.sendall((headers + (body or "")).encode())


listener = socket.create_server(("169.254.169.254", 80))
print("listening", flush=True)
while True:
    connection, _ = listener.accept()
    threading.Thread(target=serve, args=(connection,), daemon=True).start()
