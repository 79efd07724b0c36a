"""The same decision as an ASGI service: `python service.py PORT`."""

import json
import sys
import time

import httpx
import uvicorn
from prometheus_client import Counter, Histogram, generate_latest

import scoring

decisions = Counter("baseline_decisions", "Sign-ins decided", ["decision"])
duration = Histogram("baseline_duration_seconds", "Time to the decision")
client = httpx.AsyncClient(timeout=1.2)


async def score_of(ip):
    score = scoring.cached(ip)
    if score is None:
        answer = await client.post(scoring.service_url, json={"ip": ip})
        answer.raise_for_status()
        score = scoring.scores[ip] = float(answer.json()["score"])
    return score


async def body_of(receive):
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    return body


async def app(scope, receive, send):
    if scope["type"] != "http":
        return
    if scope["path"] == "/metrics":
        content, kind = generate_latest(), b"text/plain"
    else:
        started = time.perf_counter()
        sign_in = json.loads(await body_of(receive))
        ip = sign_in.get("ip")
        decision, score, reasons = scoring.decide(sign_in["user"], ip, await score_of(ip) if ip else 0.0)
        took = time.perf_counter() - started
        decisions.labels(decision).inc()
        duration.observe(took)
        answer = {"decision": decision, "score": score, "reasons": [{"code": code, "weight": weight} for code, weight in reasons.items()],
                  "elapsed_ms": took * 1000}
        content, kind = json.dumps(answer).encode(), b"application/json"
    await send({"type": "http.response.start", "status": 200,
                "headers": [(b"content-type", kind), (b"content-length", str(len(content)).encode())]})
    await send({"type": "http.response.body", "body": content})


if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), log_level="warning", access_log=False, lifespan="off")
