"""Signs in on fresh connections, in calm and while hostile clients do their worst, and compares the times: 55-siege.py PORT"""

import asyncio
import os
import sys
import time

PORT, ATTACK = int(sys.argv[1]), sys.argv[2:]
BODY = b'{"user":"ada","ip":"8.8.8.8"}'
HEAD = b"POST /v1/assess HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
GOOD = HEAD + b"Content-Length: %d\r\nConnection: close\r\n\r\n" % len(BODY) + BODY


async def dial():
    return await asyncio.open_connection("127.0.0.1", PORT)


async def sign_in():
    began = time.perf_counter()
    reader, writer = await dial()
    writer.write(GOOD)
    answer = await reader.read()
    took = time.perf_counter() - began
    writer.close()
    assert answer.startswith(b"HTTP/1.1 200 "), answer[:80]
    return took


async def forever(attack, pause):
    while True:
        try:
            await attack()
        except OSError:
            pass
        await asyncio.sleep(pause)


async def silent():
    reader, _ = await dial()
    await reader.read()


async def slow(first):
    _, writer = await dial()
    for byte in first + b"x" * 100:
        writer.write(bytes([byte]))
        await writer.drain()
        await asyncio.sleep(1)


async def send(bytes_):
    reader, writer = await dial()
    writer.write(bytes_)
    await asyncio.wait_for(reader.read(65536), 10)
    writer.close()


async def flood():
    _, writer = await dial()
    writer.write(HEAD + b"Transfer-Encoding: chunked\r\n\r\n")
    chunk = b"10000\r\n" + b"a" * 65536 + b"\r\n"
    for _ in range(16384):  # a gigabyte, if anybody took it
        writer.write(chunk)
        await writer.drain()


SMUGGLED = HEAD + b"Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\nGET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
PATHS = [b"/../../etc/passwd", b"/%2e%2e/%2e%2e/etc/passwd", b"//v1//assess", b"/v1/assess%00.html", b"http://elsewhere/metrics", b"/metrics", b"/" + b"a/" * 4000, b"/metrics/..;/v1/assess"]
SIEGES = {
    "10,000 silent connections": (silent, 10_000, 10),
    "500 slow heads": (lambda: slow(HEAD), 500, 1),
    "500 slow bodies": (lambda: slow(b""), 500, 1),
    "4 bodies of 1 GB": (flood, 4, 0.2),
    "head bombs": (lambda: send(b"GET / HTTP/1.1\r\n" + b"X-Bomb: " + b"a" * 100_000 + b"\r\n\r\n"), 4, 0.05),
    "path tricks": (lambda: send(b"".join(b"GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n" % path for path in PATHS)), 4, 0.05),
    "smuggled requests": (lambda: send(SMUGGLED), 4, 0.05),
}


ROUNDS, COUNT, ATTEMPTS = 4, 400, 4


async def times():
    return [await sign_in() for _ in range(COUNT)]


def p99(times):
    return sorted(times)[int(len(times) * 0.99)]


async def attack(name):
    act, many, pause = SIEGES[name]
    # Work that the attackers' own machine would do: here it gives way to the sidecar and to who signs in.
    os.nice(19)
    attackers = []
    for started in range(many):
        attackers.append(asyncio.create_task(forever(act, pause)))
        if started % 100 == 99:
            await asyncio.sleep(0.02)
    print("all there", flush=True)
    await asyncio.sleep(60)


async def besiege(name):
    attackers = await asyncio.create_subprocess_exec(sys.executable, __file__, str(PORT), name, stdout=asyncio.subprocess.PIPE)
    try:
        assert await asyncio.wait_for(attackers.stdout.readline(), 60) == b"all there\n", name
        besieged = await times()
        assert attackers.returncode is None, f"{name}: the attackers gave up"
    finally:
        attackers.kill()
        await attackers.wait()
    await asyncio.sleep(0.5)
    return besieged


async def compare(name):
    """The 99th percentiles in calm and besieged, in seconds."""
    calm, besieged = [], []
    # In turns: other load on the machine affects both alike.
    for _ in range(ROUNDS):
        calm += await times()
        besieged += await besiege(name)
    calm, besieged = p99(calm), p99(besieged)
    print(f"  {name}: p99 {calm * 1e3:.2f} ms in calm, {besieged * 1e3:.2f} ms besieged", flush=True)
    return calm, besieged


async def main():
    await times()
    failed = []
    for name in SIEGES:
        # A neighbour on a shared machine can spoil one comparison; a sidecar that gives way fails every one.
        for _ in range(ATTEMPTS):
            calm, besieged = await compare(name)
            # Under a millisecond a time is the scheduler's, not the sidecar's.
            if besieged <= 2 * max(calm, 0.001):
                break
        else:
            failed.append(name)
    assert not failed, f"more than twice in {ATTEMPTS} comparisons: {failed}"


asyncio.run(attack(ATTACK[0]) if ATTACK else main())
