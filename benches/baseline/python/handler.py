"""A pre-authentication trigger in Python: `python -m awslambdaric handler.handler`."""

import json
import time

import requests

import scoring

session = requests.Session()


def score_of(ip):
    score = scoring.cached(ip)
    if score is None:
        answer = session.post(scoring.service_url, json={"ip": ip}, timeout=1.2)
        answer.raise_for_status()
        score = scoring.scores[ip] = float(answer.json()["score"])
    return score


def handler(event, context):
    started = time.perf_counter()
    request = event.get("request") or {}
    ip = (request.get("validationData") or {}).get("ip")
    decision, score, reasons = scoring.decide(event.get("userName"), ip, score_of(ip) if ip else 0.0)
    print(json.dumps({
        "_aws": {
            "Timestamp": int(time.time() * 1000),
            "CloudWatchMetrics": [{
                "Namespace": "baseline", "Dimensions": [["decision"]],
                "Metrics": [{"Name": "duration", "Unit": "Seconds"}, {"Name": "score", "Unit": "None"}],
            }],
        },
        "decision": decision, "score": score, "reasons": reasons, "duration": time.perf_counter() - started,
    }))
    if decision == "deny":
        raise PermissionError("Sign-in was declined")
    return event
