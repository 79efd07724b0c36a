#!/usr/bin/env python3
"""Runs deploy/sql in a real DuckDB on an invented audit log, and holds every number against `riskgate replay --learn`.

Needs `pip install duckdb` and a built riskgate, named by RISKGATE_BIN or found in target/.
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
    """Sixty people over three months; in Iceland and Ghana, whose clocks show UTC."""
    chance = random.Random(7)
    rows = []
    for person in range(60):
        at = 1_767_225_600 + chance.random() * 86_400
        country, asn, net, device = "IS", 6677, f"{person:08x}", f"{person:08x}"
        for _ in range(chance.randint(1, 30)):
            at += chance.choice([30, 300, 2_000, 40_000, 250_000, 400_000]) * (0.5 + chance.random())
            if chance.random() < 0.08:
                country, asn = chance.choice([("IS", 6677), ("IS", 12969), ("GH", 30986)])
            if chance.random() < 0.2:
                net = f"{chance.randint(0, 2**31):08x}"
            if chance.random() < 0.1:
                device = f"{chance.randint(0, 2**31):08x}"
            rows.append({"at": at, "user": f"u{person}", "country": country, "asn": asn, "net": net, "device": device, "decision": "allow"})
    rows.sort(key=lambda row: row["at"])
    for row in rows:
        at = row.pop("at")
        whole, part = divmod(int(at * 1000), 1000)
        row["time"] = f"{datetime.datetime.fromtimestamp(whole, datetime.timezone.utc):%Y-%m-%dT%H:%M:%S}.{part:03}Z"
    return rows


class Sql(unittest.TestCase):
    @classmethod
    def setUpClass(cls) -> None:
        cls.folder = tempfile.TemporaryDirectory()
        folder = pathlib.Path(cls.folder.name)
        rows = log()
        text = "".join(json.dumps(row) + "\n" for row in rows)
        (folder / "log.jsonl").write_text(text)
        environment = {"PATH": os.environ["PATH"], "RISKGATE_DENY_AT": "100", "RISKGATE_REVIEW_AT": "100"}
        out = subprocess.run(
            [BINARY, "replay", "log.jsonl", "--json", "--learn", "learned", "--scores", "scores"], cwd=folder, env=environment, check=True, capture_output=True, text=True
        ).stdout
        cls.report = json.loads(out)
        cls.learned = folder / "learned"
        scores = [json.loads(line) for line in (folder / "scores").read_text().splitlines()]
        assert len(scores) == len(rows) and not any(score["decision"] == "deny" for score in scores)
        audit = "".join(json.dumps({**row, "score": score["score"]}) + "\n" for row, score in zip(rows, scores, strict=True))
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
        found = {(level, first, second or ""): legit for level, first, second, legit in self.query("priors.sql")}
        learned = {(row["level"], row["first"], row["second"]): int(row["legit"]) for row in self.table("priors.csv") if row["level"] in ("country", "asn")}
        self.assertGreater(len(learned), 4)
        self.assertEqual(found, learned)

    def test_hours(self) -> None:
        found = {int(hour): legit for hour, legit in self.query("hours.sql")}
        learned = {int(row["hour"]): int(row["legit"]) for row in self.table("hours.csv") if int(row["legit"])}
        self.assertEqual(found, learned)

    def test_thresholds(self) -> None:
        found = {float(threshold): round(float(share), 9) for threshold, share in self.query("thresholds.sql")}
        reported = {row["threshold"]: round(row["legitimate"], 9) for row in self.report["trade_off"]}
        self.assertEqual(found, reported)


if __name__ == "__main__":
    unittest.main()
