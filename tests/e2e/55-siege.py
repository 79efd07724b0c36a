"""Signs in on fresh connections while hostile clients do their worst, and compares the times: 55-siege.py PORT"""

import asyncio
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
SIEGES = {
    "10,000 silent connections": (silent, 10_000, 10),
    "500 slow heads": (lambda: slow(HEAD), 500, 1),
    "500 slow bodies": (lambda: slow(b""), 500, 1),
    "4 bodies of 1 GB": (flood, 4, 0.2),
    "head bombs": (lambda: send(b"GET / HTTP/1.1\r\n" + b"X-Bomb: " + b"a" * 100_000 + b"\r\n\r\n"), 4, 0.05),
    "smuggled requests": (lambda: send(SMUGGLED), 4, 0.05),
}


async def p99(count=300):
    times = sorted([await sign_in() for _ in range(count)])
    return times[int(count * 0.99)]


async def attack(name):
    act, many, pause = SIEGES[name]
    attackers = []
    for started in range(many):
        attackers.append(asyncio.create_task(forever(act, pause)))
        if started % 100 == 99:
            await asyncio.sleep(0.02)
    await asyncio.sleep(60)


async def main():
    await p99(100)
    for name in SIEGES:
        alone = await p99()
        # A process of its own: its work is not part of the times.
        attackers = await asyncio.create_subprocess_exec(sys.executable, __file__, str(PORT), name)
        await asyncio.sleep(3)
        besieged = await p99()
        assert attackers.returncode is None, f"{name}: the attackers gave up"
        attackers.kill()
        await attackers.wait()
        await asyncio.sleep(0.5)
        print(f"  {name}: p99 {alone * 1e3:.1f} ms alone, {besieged * 1e3:.1f} ms besieged", flush=True)
        # Twice, and what the attackers themselves take of the machine's cores.
        assert besieged <= 2 * alone + 0.1, name


asyncio.run(attack(ATTACK[0]) if ATTACK else main())
