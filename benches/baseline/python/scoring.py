"""What the handler and the service share: the address, the cached score, the decision."""

import os
import time

import maxminddb
from cachetools import LRUCache, TTLCache

DENY_AT = 80.0
REVIEW_AT = 50.0

networks = maxminddb.open_database(os.environ["NETWORKS"], maxminddb.MODE_AUTO)
service_url = os.environ["SERVICE_URL"]
scores = TTLCache(maxsize=20_000, ttl=3600)
countries = LRUCache(maxsize=20_000)


def cached(ip):
    """The service's score of an address, if it is known already."""
    return scores.get(ip)


def decide(user, ip, score):
    """Weighs the service's score with the network, the hour and the person's last country."""
    record = networks.get(ip) if ip else None
    record = record or {}
    reasons = {}
    if score:
        reasons["service_http"] = score
    if record.get("kind") in ("hosting", "vpn", "tor"):
        reasons[record["kind"]] = 20.0
    if time.gmtime().tm_hour < 5:
        reasons["unusual_hour"] = 10.0
    country = record.get("country")
    if country and countries.get(user, country) != country:
        reasons["new_country"] = 15.0
    total = min(100.0, sum(reasons.values()))
    decision = "deny" if total >= DENY_AT else "review" if total >= REVIEW_AT else "allow"
    if decision == "allow" and country:
        countries[user] = country
    return decision, total, reasons
