#!/usr/bin/env python3
"""Runs deploy/sql in DuckDB on a synthetic audit log, and compares every number with `riskgate replay --learn`.

Needs `pip install duckdb` and a built riskgate, set in RISKGATE_BIN or found in target/.
"""
import csv
import datetime
import json
import os
import pathlib
import random
import subprocess
import tempfile
import unittest

import duckdb

HERE = pathlib.Path(__file__).resolve().parent
BINARY = os.environ.get("RISKGATE_BIN") or next(
    str(path) for path in (HERE.parent / "target" / kind / "riskgate" for kind in ("release", "debug")) if path.exists()
)


def log() -> list[dict]:
    """Returns a log of eighty users over three months, in Iceland and Ghana, where local time is UTC. Every fourth user has a client that never reports outcomes."""
    chance = random.Random(7)
    rows = []
    for person in range(80):
        at = 1_767_225_600 + chance.random() * 86_400
        country, asn, net, device = "IS", 6677, f"{person + 1:08x}", f"{person + 1:08x}"
        for _ in range(chance.randint(1, 30)):
            at += chance.choice([30, 300, 2_000, 40_000, 250_000, 400_000]) * (0.5 + chance.random())
            if chance.random() < 0.08:
                country, asn = chance.choice([("IS", 6677), ("IS", 12969), ("GH", 30986)])
            if chance.random() < 0.2:
                net = f"{chance.randint(0, 2**31):08x}"
            if chance.random() < 0.1:
                device = f"{chance.randint(0, 2**31):08x}"
            row = {"at": at, "user": f"u{person}", "country": country, "asn": asn, "net": net, "device": device}
            rows.append({**row, "pool": "p", "client": "web" if person % 4 else "silent", "decision": "allow", "action": "allow", "degraded": None})
    # The silent client is known as silent before any user signs in again.
    rows.append({**rows[0], "at": 1_767_225_600 - 86_400, "user": "first", "client": "silent"})
    rows.sort(key=lambda row: row["at"])
    lines = []
    for number, row in enumerate(rows):
        at, ulid = row.pop("at"), f"01JD9W1Z5Y2N8Q4T7V{number:08}"
        if chance.random() < 0.05:
            row["degraded"] = {"causes": {"history": "timeout"}, "fallback": None}
        if chance.random() < 0.06:
            row["action"] = "deny"
        lines.append({**row, "id": ulid, "time": stamp(at)})
        outcome = chance.choices(["success", "failure", "fraud", "not_fraud", None], [80, 10, 2, 2, 6])[0]
        if row["client"] == "web" and outcome:
            learned = "learned" if outcome == "success" and row["degraded"] is None and chance.random() < 0.97 else "refused" if outcome == "success" else None
            lines.append({"time": stamp(at + 1), "trigger": "outcome", "id": ulid, "outcome": outcome, "learned": learned, "pool": None, "client": None, "user": None})
    return lines


def stamp(at: float) -> str:
    whole, part = divmod(int(at * 1000), 1000)
    return f"{datetime.datetime.fromtimestamp(whole, datetime.timezone.utc):%Y-%m-%dT%H:%M:%S}.{part:03}Z"


class Sql(unittest.TestCase):
    @classmethod
    def setUpClass(cls) -> None:
        cls.folder = tempfile.TemporaryDirectory()
        folder = pathlib.Path(cls.folder.name)
        lines = log()
        text = "".join(json.dumps(line) + "\n" for line in lines)
        (folder / "log.jsonl").write_text(text)
        environment = {"PATH": os.environ["PATH"], "RISKGATE_DENY_AT": "100", "RISKGATE_REVIEW_AT": "100"}

        def replay(*options: str, **more: str) -> dict:
            command = [BINARY, "replay", "log.jsonl", "--json", *options]
            return json.loads(subprocess.run(command, cwd=folder, env=environment | more, check=True, capture_output=True, text=True).stdout)

        # Novelty is counted under the shipped tables. The report and the scores are those of the learned ones, on all users.
        replay("--scores", "shipped")
        replay("--learn", "learned")
        cls.report = replay("--scores", "scores", RISKGATE_MODEL="learned")
        cls.learned = folder / "learned"
        scores, shipped = ({score["row"]: score for score in map(json.loads, (folder / name).read_text().splitlines())} for name in ("scores", "shipped"))
        decisions = [line for line in lines if "decision" in line]
        for row, line in enumerate(decisions):
            # replay does not score failures. The live engine did, and no query may use that score.
            line["score"] = scores[row]["score"] if row in scores else 99.9
            line["decision"] = shipped[row]["decision"] if row in shipped else "allow"
        assert any(line["decision"] == "deny" for line in decisions), "some succeed but are not learned"
        assert cls.report["rows"]["legitimate"] > 500 and cls.report["rows"]["failed"] > 100 and cls.report["rows"]["labelled"] > 10, cls.report["rows"]
        assert all(cls.report["log"][name] > 10 for name in ("presumed", "kept_out")), cls.report["log"]
        audit = "".join(json.dumps(line) + "\n" for line in lines)
        (folder / "audit.jsonl").write_text(audit)
        cls.duck = duckdb.connect()
        cls.duck.execute((HERE / "sql" / "sign_ins.sql").read_text().replace("audit.jsonl", str(folder / "audit.jsonl")))

    @classmethod
    def tearDownClass(cls) -> None:
        cls.duck.close()
        cls.folder.cleanup()

    def query(self, name: str) -> list[tuple]:
        return self.duck.execute((HERE / "sql" / name).read_text()).fetchall()

    def table(self, name: str) -> list[dict]:
        with open(self.learned / name, newline="", encoding="utf-8") as file:
            return list(csv.DictReader(file))

    def test_novelty(self) -> None:
        found = {(level, seen, gap): (novel, total) for level, seen, gap, novel, total in self.query("novelty.sql")}
        learned = {(row["level"], row["seen"], row["gap"]): (float(row["novel"]), float(row["total"])) for row in self.table("novelty.csv") if float(row["total"])}
        self.assertGreater(len(learned), 60)
        self.assertEqual(found, learned)

    def test_priors(self) -> None:
        found = {(level, first, second or ""): (legit, attack) for level, first, second, legit, attack in self.query("priors.sql")}
        learned = {(row["level"], row["first"], row["second"]): (int(row["legit"]), int(row["attack"])) for row in self.table("priors.csv") if row["level"] in ("country", "asn")}
        self.assertGreater(len(learned), 4)
        self.assertEqual(found, learned)

    def test_hours(self) -> None:
        found = {int(hour): (legit, attack) for hour, legit, attack in self.query("hours.sql")}
        learned = {int(row["hour"]): (int(row["legit"]), int(row["attack"])) for row in self.table("hours.csv")}
        self.assertEqual(found, learned)

    def test_thresholds(self) -> None:
        found = {float(threshold): round(float(share), 9) for threshold, share in self.query("thresholds.sql")}
        reported = {row["threshold"]: round(row["legitimate"], 9) for row in self.report["trade_off"]}
        self.assertEqual(found, reported)


if __name__ == "__main__":
    unittest.main()
