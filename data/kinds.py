"""Classifies AS numbers: which belong to servers, which to homes and phones."""

import csv
import re

# A word in the name of an organisation whose business is servers, in the languages of the registries.
HOSTING = re.compile(
    r"hosting|\bhost|host\b|hoster|vps|\bvds\b|vdsina|servers?\b|server[a-z]|dedicated|dedibox|"
    r"data ?-?cent(er|re|rum|ro)|datacent|rechenzentrum|\bcolo\b|coloc|cloud|\bcdn|cdn\b|\biaas\b|bare ?metal")

VPN = re.compile(r"\bvpn|vpn\b")

# A word in the name of a provider of access, or of an organisation with people at its addresses.
ACCESS = re.compile(
    r"telecom|telekom|telco|\btel\b|telef|telephone|broadband|cable|wireless|wi-?fi|mobil|cellular|fib(er|re|ra)|optic|"
    r"\bisp\b|\bdsl|adsl|internet (service|provider)|provedor|banda larga|universit|school|college|academ|bank|hospital|health|"
    r"ministry|govern|municip|city of|county|state of|insur|\btv\b|satel|rural|electric|energy|communications?\b|comunica|hotel|"
    r"research|institut|airport|leibniz|wissenschaft")


class Operators:
    """`operators.csv`: names whose AS numbers have one kind, and AS numbers that the names misrepresent."""

    def __init__(self, path):
        self.names, self.asns = [], {}
        with open(path, newline="", encoding="utf-8") as rows:
            for row in csv.DictReader(rows):
                if row["asn"]:
                    self.asns[int(row["asn"])] = (row["operator"], row["kind"])
                else:
                    self.names.append((re.compile(rf"(?<![a-z0-9]){re.escape(row['operator'].lower())}(?![a-z])"), row))

    def check(self, names):
        """Every row must still match: an AS number changes hands, and an operator its name."""
        for asn, (operator, _) in self.asns.items():
            if not any(operator.lower() in text for text in names.get(asn, [])):
                raise SystemExit(f"operators.csv: AS{asn} is {names.get(asn)!r} now, not {operator!r}: remove or correct the row")
        for pattern, row in self.names:
            if not any(matches(pattern, texts) for texts in names.values()):
                raise SystemExit(f"operators.csv: no AS number is registered for {row['operator']!r} any more: remove or correct the row")


def matches(pattern, texts):
    """Whether two sources name it, or the only one."""
    return sum(bool(pattern.search(text)) for text in texts) >= min(2, len(texts))


def classify(names, operators):
    """The kind of each AS number that has one: `hosting`, `vpn`, or `access` for homes, phones and offices."""
    kinds = {}
    for asn, texts in names.items():
        if asn in operators.asns:
            kinds[asn] = operators.asns[asn][1]
            continue
        if any(ACCESS.search(text) for text in texts):
            kinds[asn] = "access"
            continue
        operator = next((row["kind"] for pattern, row in operators.names if matches(pattern, texts)), None)
        by_word = "vpn" if matches(VPN, texts) else "hosting" if matches(HOSTING, texts) else None
        if operator or by_word:
            kinds[asn] = operator or by_word
    return kinds
